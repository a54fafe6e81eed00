/** What is compared: programs that keep copies, and the steps that each of them is put through. */

import type { Runner, Usage } from './processes.ts'

export const STEPS = ['first', 'second', 'change', 'restore', 'one', 'gone'] as const
export type Step = (typeof STEPS)[number]

export const STEP_TITLES: Readonly<Record<Step, string>> = {
  first: 'first store',
  second: 'unchanged second store',
  change: 'store after a small change',
  restore: 'full restore',
  one: 'restore of one file',
  gone: 'restore, two hosts gone',
}

/** One step of one contender. `cpuSeconds` are those of all its processes. */
export type Sample = Usage & {
  /** The command and the daemon that it talks to; of a peer without daemons the same as all. */
  ownerCpuSeconds: number
  /** The largest process of another host; 0 without. */
  holderPeakBytes: number
  /** Bytes over the loopback interface, headers included; 0 where there is no network. */
  wireBytes: number
  /** Bytes of the repository afterwards, or of all holders' shards. */
  diskBytes: number
  /** Of these, without parity. */
  payloadBytes: number
}

/** A contender with a repository of its own, for one round over one corpus. */
export type Session = {
  store: () => Promise<Sample>
  /** Restores the newest snapshot below `to`; `root` is where the corpus ended up. */
  restore: (to: string) => Promise<{ sample: Sample; root: string }>
  /** Restores one file, named relative to the corpus. */
  restoreOne?: (file: string, to: string) => Promise<{ sample: Sample; root: string }>
  /** Ends two of the hosts; what is restored afterwards comes from the others. */
  loseTwoHosts?: () => Promise<void>
  /** Folders that the next restore will read: they are read once before it is timed. */
  warmed: () => readonly string[]
  close: () => Promise<void>
}

export type SessionOptions = {
  /** An empty folder for this session. */
  folder: string
  /** The folder that is stored, absolute. */
  source: string
  /** Whether files have holes that a restore should make again. */
  sparse: boolean
  round: number
  boundMs: number
  runner: Runner
}

export type Contender = {
  /** Short and without spaces, unique in a run. */
  id: string
  /** Name and version for people. */
  label: string
  /** How it is set, in one line. */
  settings: string
  open: (o: SessionOptions) => Promise<Session>
}

/** A program that would have been compared if it were here. */
export type Absent = { label: string; why: string }

export function isAbsent(found: Contender | Absent): found is Absent {
  return 'why' in found
}
