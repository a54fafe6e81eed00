/**
 * What processes cost, from Linux's /proc: of daemons that run all the time, and of commands that
 * are started to be measured.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import type { Readable } from 'node:stream'

/** USER_HZ, the unit of /proc/PID/stat, is 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100
/** Peaks only grow, so that only what a process takes in its last moment is missed. */
const SAMPLE_INTERVAL_MS = 40
/** What is kept of a command's output; a summary is its last line. */
const OUTPUT_KEPT_CHARACTERS = 200_000
/** How long what was asked to end may take before it is killed. */
const END_DEADLINE_MS = 3000

export type Usage = {
  wallSeconds: number
  /** User and system, all threads. */
  cpuSeconds: number
  /** Peak resident memory of the largest process. */
  peakBytes: number
  /** Bytes that read calls returned, those from the page cache and from sockets included. */
  readBytes: number
  /** Bytes that came from the disk. */
  diskReadBytes: number
}

export type Finished = { code: number | null; stdout: string; stderr: string; usage: Usage }

export type Counters = { cpuSeconds: number; readBytes: number; diskReadBytes: number }

/** What a running process has used since it started; undefined when it is gone. */
export function countersOf(pid: number): Counters | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const ticks = Number(fields[11]) + Number(fields[12])
    const io = ioOf(readFileSync(`/proc/${pid}/io`, 'latin1'))
    return { cpuSeconds: ticks / TICKS_PER_SECOND, ...io }
  } catch {
    return undefined
  }
}

function ioOf(text: string): { readBytes: number; diskReadBytes: number } {
  const field = (name: string): number =>
    Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
  return { readBytes: field('rchar'), diskReadBytes: field('read_bytes') }
}

/** Peak resident memory since the start or the last `resetPeak`; 0 when the process is gone. */
export function peakBytesOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

/** Bytes that went over the loopback interface, of everybody on this machine. */
export function loopbackBytes(): number {
  const line = /^\s*lo:\s*(\d+)/m.exec(readFileSync('/proc/net/dev', 'latin1'))
  return Number(line?.[1] ?? 0)
}

/** Peak of the largest of `pid` and its descendants. */
function peakOfTree(pid: number): number {
  let peak = peakBytesOf(pid)
  let children = ''
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
  } catch {
    return peak
  }
  for (const child of children.split(' ')) {
    if (child !== '') peak = Math.max(peak, peakOfTree(Number(child)))
  }
  return peak
}

/** The shell's own clock has the CPU time of what it waited for, and its /proc/…/io the bytes. */
const WRAPPER = `
TIMEFORMAT='%R %U %S'
{ time "$@" 2>&5 3>&- 5>&-; } 5>&2 2>&3
code=$?
while read -r line; do printf '%s\\n' "$line" >&3; done < "/proc/$$/io"
exit $code`

export type RunOptions = {
  env?: Readonly<Record<string, string>>
  cwd?: string
  /** The command is killed and the run fails when it takes longer. */
  boundMs: number
}

/** Runs commands; what still runs is killed when `signal` aborts. */
export class Runner {
  readonly signal: AbortSignal

  constructor(signal: AbortSignal) {
    this.signal = signal
  }

  /** Runs `argv` and measures it with its children, whatever its exit code. */
  async measure(argv: readonly string[], o: RunOptions): Promise<Finished> {
    const began = performance.now()
    const child = this.#spawn(['bash', '-c', WRAPPER, 'bash', ...argv], o)
    let peak = 0
    const sample = setInterval(() => {
      if (child.pid !== undefined) peak = Math.max(peak, peakOfTreeBelow(child.pid))
    }, SAMPLE_INTERVAL_MS)
    try {
      const { code, stdout, stderr, report } = await this.#finished(child, { argv, ...o })
      const [wall, user, system] = (report.split('\n')[0] ?? '').split(' ').map(Number)
      const cpuSeconds = (user ?? 0) + (system ?? 0)
      const wallSeconds = wall ?? (performance.now() - began) / 1000
      const usage = { wallSeconds, cpuSeconds, peakBytes: peak, ...ioOf(report) }
      return { code, stdout, stderr, usage }
    } finally {
      clearInterval(sample)
    }
  }

  /** As `measure`, but a code other than 0 is an error with the command's own words. */
  async must(argv: readonly string[], o: RunOptions): Promise<Finished> {
    const finished = await this.measure(argv, o)
    if (finished.code === 0) return finished
    const said = (finished.stderr.trim() || finished.stdout.trim()).slice(-1000)
    throw new Error(`${argv.slice(0, 4).join(' ')} ended with ${finished.code}: ${said}`)
  }

  /** Starts a process that goes on; `stop` ends it. */
  background(argv: readonly string[], o: Omit<RunOptions, 'boundMs'>): Background {
    const child = this.#spawn(argv, o, 'ignore')
    const onAbort = (): void => signalGroup(child, 'SIGKILL')
    this.signal.addEventListener('abort', onAbort, { once: true })
    const exited = new Promise<void>((resolve) => {
      child.once('error', () => resolve())
      child.once('exit', () => resolve())
    })
    return {
      pid: child.pid ?? 0,
      stop: async (how: 'SIGTERM' | 'SIGKILL' = 'SIGTERM') => {
        this.signal.removeEventListener('abort', onAbort)
        signalGroup(child, how)
        const deadline = setTimeout(() => signalGroup(child, 'SIGKILL'), END_DEADLINE_MS)
        await exited
        clearTimeout(deadline)
      },
    }
  }

  #spawn(
    argv: readonly string[],
    o: Omit<RunOptions, 'boundMs'>,
    output: 'pipe' | 'ignore' = 'pipe',
  ): ChildProcess {
    this.signal.throwIfAborted()
    const [program = '', ...args] = argv
    return spawn(program, args, {
      env: { ...process.env, LC_ALL: 'C.UTF-8', ...o.env },
      stdio: ['ignore', output, output, output],
      // A group of its own, so that its children can be ended with it.
      detached: true,
      ...(o.cwd === undefined ? {} : { cwd: o.cwd }),
    })
  }

  #finished(
    child: ChildProcess,
    o: RunOptions & { argv: readonly string[] },
  ): Promise<{ code: number | null; stdout: string; stderr: string; report: string }> {
    return new Promise((resolve, reject) => {
      const [, stdout, stderr, report] = child.stdio.map((stream) => kept(stream as Readable))
      let reason: Error | undefined
      const kill = (why: Error): void => {
        reason ??= why
        signalGroup(child, 'SIGKILL')
      }
      const onAbort = (): void => kill(new Error('interrupted'))
      this.signal.addEventListener('abort', onAbort, { once: true })
      const name = o.argv.slice(0, 3).join(' ')
      const late = new Error(`${name} took longer than ${Math.round(o.boundMs / 1000)} s`)
      const deadline = setTimeout(() => kill(late), o.boundMs)
      child.once('error', (error) => (reason ??= error))
      child.once('close', (code) => {
        clearTimeout(deadline)
        this.signal.removeEventListener('abort', onAbort)
        if (reason !== undefined) return reject(reason)
        const text = (part: (() => string) | undefined): string => part?.() ?? ''
        resolve({ code, stdout: text(stdout), stderr: text(stderr), report: text(report) })
      })
    })
  }
}

export type Background = {
  pid: number
  /** Ends the process and waits for it. */
  stop: (how?: 'SIGTERM' | 'SIGKILL') => Promise<void>
}

/** The wrapping shell itself is not what is measured. */
function peakOfTreeBelow(shell: number): number {
  try {
    const children = readFileSync(`/proc/${shell}/task/${shell}/children`, 'latin1')
    const pids = children.split(' ').filter((pid) => pid !== '')
    return Math.max(0, ...pids.map((pid) => peakOfTree(Number(pid))))
  } catch {
    return 0
  }
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // It is gone already.
  }
}

/** Collects the end of a stream's text. */
function kept(stream: Readable | null): () => string {
  let text = ''
  stream?.setEncoding('utf8').on('data', (more: string) => {
    text = `${text}${more}`
    if (text.length > 2 * OUTPUT_KEPT_CHARACTERS) text = text.slice(-OUTPUT_KEPT_CHARACTERS)
  })
  return () => text
}
