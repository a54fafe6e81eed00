/** A command together with the daemons that do its work. */

import { setTimeout as sleep } from 'node:timers/promises'

import type { Sample } from './contenders.ts'
import {
  type Counters,
  countersOf,
  type Finished,
  loopbackBytes,
  peakBytesOf,
  resetPeak,
  type RunOptions,
  type Runner,
} from './processes.ts'

/** Daemons are quiet when all of them together use less than this in one interval. */
const QUIET_CPU_SECONDS = 0.03
const QUIET_INTERVAL_MS = 500
/** What they do later than this is not work that the step left behind. */
const QUIET_DEADLINE_MS = 5000

/** Process ids. `owner`: the daemon that the command talks to. */
export type Daemons = { owner: number; others: readonly number[] }

/**
 * Runs `argv` and counts what it and the daemons use. What they put off until after the answer is
 * counted as CPU time, but not waited for as wall time.
 */
export async function measureWithDaemons(
  runner: Runner,
  daemons: Daemons,
  command: RunOptions & { argv: readonly string[] },
): Promise<{ finished: Finished; sample: Omit<Sample, 'diskBytes' | 'payloadBytes'> }> {
  const pids = [daemons.owner, ...daemons.others]
  for (const pid of pids) resetPeak(pid)
  const before = pids.map(mustCount)
  const wireBefore = loopbackBytes()
  const finished = await runner.measure(command.argv, command)
  const { usage } = finished
  const wireBytes = loopbackBytes() - wireBefore
  await quiet(pids)
  const used = pids.map((pid, i) => difference(mustCount(pid), before[i]))
  const peaks = pids.map(peakBytesOf)
  const sum = (of: (one: Counters) => number): number =>
    used.reduce((total, one) => total + of(one), 0)
  const sample = {
    wallSeconds: usage.wallSeconds,
    cpuSeconds: usage.cpuSeconds + sum((one) => one.cpuSeconds),
    ownerCpuSeconds: usage.cpuSeconds + (used[0]?.cpuSeconds ?? 0),
    peakBytes: Math.max(peaks[0] ?? 0, usage.peakBytes),
    holderPeakBytes: Math.max(0, ...peaks.slice(1)),
    readBytes: usage.readBytes + sum((one) => one.readBytes),
    diskReadBytes: usage.diskReadBytes + sum((one) => one.diskReadBytes),
    wireBytes,
  }
  return { finished, sample }
}

function mustCount(pid: number): Counters {
  const counters = countersOf(pid)
  if (counters === undefined) throw new Error('a daemon has ended by itself')
  return counters
}

function difference(after: Counters, before: Counters | undefined): Counters {
  return {
    cpuSeconds: after.cpuSeconds - (before?.cpuSeconds ?? 0),
    readBytes: after.readBytes - (before?.readBytes ?? 0),
    diskReadBytes: after.diskReadBytes - (before?.diskReadBytes ?? 0),
  }
}

async function quiet(pids: readonly number[]): Promise<void> {
  const total = (): number => pids.reduce((sum, pid) => sum + (countersOf(pid)?.cpuSeconds ?? 0), 0)
  const giveUp = performance.now() + QUIET_DEADLINE_MS
  for (let before = total(); performance.now() < giveUp;) {
    await sleep(QUIET_INTERVAL_MS)
    const now = total()
    if (now - before < QUIET_CPU_SECONDS) return
    before = now
  }
}
