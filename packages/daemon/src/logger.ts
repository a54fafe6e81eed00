/**
 * Structured logs: JSON lines in `$MOYAI_HOME/log/daemon.log`, rotated by size so that they can
 * never fill a disk.
 *
 * Each part of the daemon has an `events.ts` with one helper per event; messages are fixed texts,
 * particulars go in fields. Fields whose name says that they are secret are blotted out whatever
 * they hold. Text from peers comes through `printable()` and, above debug, not at all.
 */

import { closeSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'

import { pino, type DestinationStream } from 'pino'
import type { MoyaiError } from '@moyai/protocol'

import { SECRET_DIRECTORY_MODE, SECRET_MODE } from './file-system/index.ts'

/** What goes with an event. */
export type Fields = Record<string, unknown>

/** Where events go. */
export interface Logger {
  debug(fields: Fields, message: string): void
  info(fields: Fields, message: string): void
  warn(fields: Fields, message: string): void
  error(fields: Fields, message: string): void
}

/** Field names that are never written, at the top and one level down. */
const SECRET_FIELDS = [
  'phrase',
  'secret',
  'seed',
  'signingSeed',
  'chunkIdKey',
  'dataKey',
  'token',
  'passphrase',
  'key',
  'bundle',
]

/** One event is a line, not a document; a longer one is cut to a note that says so. */
const LINE_BYTES_MAX: number = 16 * 1024

export type LogFileOptions = {
  /** Folder of the logs; made when it is not there. */
  folder: string
  /** A file is rotated before it grows beyond this. */
  fileBytesMax: number
  /** Files kept: daemon.log, daemon.log.1 … */
  filesMax: number
}

/**
 * The log file. A line that cannot be written (full disk) is counted and dropped: logging never
 * stops the daemon. The next line that can be written says how many are missing.
 */
export class LogFile implements DestinationStream, Disposable {
  readonly #o: LogFileOptions
  readonly #path: string
  #descriptor: number | undefined
  #length = 0
  #dropped = 0

  constructor(o: LogFileOptions) {
    this.#o = o
    this.#path = `${o.folder}/daemon.log`
  }

  write(line: string): void {
    const bytes = Buffer.from(line)
    const short =
      bytes.length <= LINE_BYTES_MAX
        ? bytes
        : Buffer.from(`{"level":"warn","msg":"event too long","bytes":${bytes.length}}\n`)
    try {
      this.#append(short)
    } catch {
      // Nowhere to report it but here; the count is written with the next line that fits.
      this.#dropped++
      this.#close()
    }
  }

  [Symbol.dispose](): void {
    this.#close()
  }

  #append(bytes: Uint8Array): void {
    if (this.#length > 0 && this.#length + bytes.length > this.#o.fileBytesMax) this.#rotate()
    const descriptor = this.#open()
    if (this.#dropped > 0) {
      const note = `{"level":"warn","msg":"events dropped","count":${this.#dropped}}\n`
      this.#length += writeSync(descriptor, note)
      this.#dropped = 0
    }
    this.#length += writeSync(descriptor, bytes)
  }

  #open(): number {
    if (this.#descriptor !== undefined) return this.#descriptor
    mkdirSync(this.#o.folder, { recursive: true, mode: SECRET_DIRECTORY_MODE })
    this.#descriptor = openSync(this.#path, 'a', SECRET_MODE)
    this.#length = fstatSync(this.#descriptor).size
    return this.#descriptor
  }

  #close(): void {
    if (this.#descriptor === undefined) return
    closeSync(this.#descriptor)
    this.#descriptor = undefined
  }

  #rotate(): void {
    this.#close()
    const name = (index: number): string => (index === 0 ? this.#path : `${this.#path}.${index}`)
    rmSync(name(this.#o.filesMax - 1), { force: true })
    for (let index = this.#o.filesMax - 2; index >= 0; index--) {
      try {
        renameSync(name(index), name(index + 1))
      } catch {
        // That one is not there yet.
      }
    }
    this.#length = 0
  }
}

/** A logger that writes JSON lines of `level` and above to `destination`. */
export function createLogger(o: {
  level: 'debug' | 'info' | 'warn' | 'error'
  destination: DestinationStream
}): Logger {
  return pino(
    {
      level: o.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      redact: {
        paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`]),
        censor: '[secret]',
      },
    },
    o.destination,
  )
}

/** Logs nothing. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/** An error as fields of an event: its code and sentence, and the system's error under it. */
export function errorFields(error: MoyaiError): Fields {
  const cause = error.cause instanceof Error ? error.cause.message : undefined
  return { code: error.code, error: error.message, ...(cause === undefined ? {} : { cause }) }
}
