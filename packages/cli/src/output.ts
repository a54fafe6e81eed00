/**
 * Terminal rules, in one place. stdout is data: what was asked for, or JSON lines with
 * `message_type` under `--json`. stderr is for people: `moyai: lower-case sentence without a
 * period`, then `hint: …`. Progress goes to stderr: one line rewritten in place on a terminal, one
 * line a minute otherwise, none with `-q`. Nothing is coloured when NO_COLOR is set or stdout is
 * not a terminal.
 */

import { type MoyaiError, printable } from '@moyai/protocol/command'

const PROGRESS_TTY_MS = 250
const PROGRESS_LOG_MS = 60_000

export type OutputOptions = {
  json: boolean
  quiet: boolean
  verbosity: number
}

/** Where text goes; process.stdout and process.stderr satisfy it. */
export type TextSink = { write(text: string): unknown; isTTY?: boolean; columns?: number }

export class Output {
  readonly json: boolean
  readonly quiet: boolean
  readonly verbosity: number
  readonly colour: boolean
  readonly #out: TextSink
  readonly #err: TextSink
  #progressAt = 0
  #progressShown = false

  constructor(options: OutputOptions, sinks: { out: TextSink; err: TextSink; noColour: boolean }) {
    this.json = options.json
    this.quiet = options.quiet
    this.verbosity = options.verbosity
    this.#out = sinks.out
    this.#err = sinks.err
    this.colour = !sinks.noColour && sinks.out.isTTY === true && !options.json
  }

  /** A line of what the person asked for; nothing under `--json`. */
  line(text = ''): void {
    if (this.json) return
    this.#clearProgress()
    this.#out.write(`${text}\n`)
  }

  /** A line that only explains; dropped by `-q` and under `--json`. */
  say(text: string): void {
    if (!this.quiet) this.line(text)
  }

  /** Something to look at, on a terminal only; dropped by `-q` and under `--json`. */
  picture(text: string): void {
    if (this.quiet || this.json || this.#err.isTTY !== true) return
    this.#clearProgress()
    this.#err.write(`${text}\n`)
  }

  /** One JSON line; nothing without `--json`. */
  message(value: { message_type: string; [key: string]: unknown }): void {
    if (this.json) this.#out.write(`${JSON.stringify(value)}\n`)
  }

  /** A warning for people; does not end the command. */
  warn(text: string, hint?: string): void {
    this.#clearProgress()
    this.#err.write(`moyai: ${text}\n`)
    if (hint !== undefined) this.#err.write(`hint: ${hint}\n`)
  }

  /** The error that ends the command. */
  fail(error: MoyaiError): void {
    this.warn(printable(error.message, 2000), error.hint)
    this.message({
      message_type: 'exit_error',
      code: error.exitCode,
      error: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(error.data === undefined ? {} : { data: error.data }),
    })
  }

  /** Shows `text` at most a few times a second on a terminal, at most once a minute elsewhere. */
  progress(text: string, nowMs: number): void {
    if (this.quiet || this.json) return
    const tty = this.#err.isTTY === true
    if (this.#progressAt === 0 && !tty) this.#progressAt = nowMs
    if (nowMs - this.#progressAt < (tty ? PROGRESS_TTY_MS : PROGRESS_LOG_MS)) return
    this.#progressAt = nowMs
    if (!tty) {
      this.#err.write(`${text}\n`)
      return
    }
    const width = Math.max(20, (this.#err.columns ?? 80) - 1)
    this.#err.write(`\r\u001b[K${text.slice(0, width)}`)
    this.#progressShown = true
  }

  #clearProgress(): void {
    if (!this.#progressShown) return
    this.#err.write('\r\u001b[K')
    this.#progressShown = false
  }

  bold(text: string): string {
    return this.colour ? `\u001b[1m${text}\u001b[0m` : text
  }
}

/** Rows under a heading, columns padded; numbers (by content) are set right. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  const numeric = heading.map((_, column) =>
    rows.every((row) => /^[\d.,–-]*( ?([KMGT]iB|B|ms|s|%))?$/.test(row[column] ?? '')),
  )
  const format = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        numeric[column] === true
          ? cell.padStart(widths[column] ?? 0)
          : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd()
  return [format(heading), ...rows.map(format)].join('\n')
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** `1536` → `1.5 KiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1
  return `${value.toFixed(digits)} ${UNITS[unit]}`
}

/** Seconds as a person would say them: `7 s`, `3 min 20 s`, `2 h 5 min`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}

/** `1 file`, `3 files`. */
export function count(number: number, noun: string): string {
  return `${number.toLocaleString('en-US')} ${noun}${number === 1 ? '' : 's'}`
}
