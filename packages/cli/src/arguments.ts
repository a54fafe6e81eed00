/**
 * Reading of the command line: strict, with errors that say what was wrong and what would be right.
 */

import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'

import { MoyaiError } from '@moyai/protocol/command'

/** Options that every command takes. */
export const GLOBAL_OPTIONS: ParseArgsOptionsConfig = {
  json: { type: 'boolean' },
  quiet: { type: 'boolean', short: 'q' },
  verbose: { type: 'boolean', short: 'v', multiple: true },
  help: { type: 'boolean', short: 'h' },
}

type Value = string | boolean | (string | boolean)[] | undefined

/** The parsed line of one command, with typed look-ups. */
export class Arguments {
  readonly positionals: readonly string[]
  readonly #values: Readonly<Record<string, Value>>

  constructor(positionals: readonly string[], values: Readonly<Record<string, Value>>) {
    this.positionals = positionals
    this.#values = values
  }

  flag(name: string): boolean {
    return this.#values[name] === true
  }

  /** How often a repeatable flag was given. */
  times(name: string): number {
    const value = this.#values[name]
    return Array.isArray(value) ? value.length : value === true ? 1 : 0
  }

  text(name: string): string | undefined {
    const value = this.#values[name]
    return typeof value === 'string' ? value : undefined
  }

  texts(name: string): string[] {
    const value = this.#values[name]
    return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
  }

  /** One of a closed set of words; USAGE otherwise. */
  choice<T extends string>(name: string, choices: readonly T[], fallback: T): T {
    const value = this.text(name)
    if (value === undefined) return fallback
    const found = choices.find((choice) => choice === value)
    if (found !== undefined) return found
    throw usage(`--${name} takes ${choices.join(', ')}; not "${value}"`)
  }
}

/** USAGE error with a hint. */
export function usage(message: string, hint = 'moyai --help lists the commands'): MoyaiError {
  return new MoyaiError('USAGE', message, { hint })
}

/** Parses `args` against `options` and the global ones. */
export function parseArguments(args: string[], options: ParseArgsOptionsConfig): Arguments {
  try {
    const { values, positionals } = parseArgs({
      args,
      options: { ...GLOBAL_OPTIONS, ...options },
      allowPositionals: true,
      strict: true,
    })
    return new Arguments(positionals, values)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    const first = text.split('. ')[0] ?? text
    throw usage(`${first.charAt(0).toLowerCase()}${first.slice(1)}`.replace(/\.$/, ''))
  }
}

const SIZE = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?)b?$/i

/** `500GB`, `1.5TiB`, `4096`: bytes. USAGE when it is not a size. */
export function parseSize(text: string, what: string): number {
  const match = SIZE.exec(text.trim())
  if (match === null)
    throw usage(`${what}: "${text}" is not a size`, 'write it like 500GB or 1.5TiB')
  const power = ' kmgtp'.indexOf((match[2] ?? '').toLowerCase() || ' ')
  const bytes = Number(match[1]) * (match[3] === '' ? 1000 : 1024) ** power
  if (!Number.isSafeInteger(Math.round(bytes))) throw usage(`${what}: "${text}" is too large`)
  return Math.round(bytes)
}

const DURATION_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/** `24h`, `30m`, `7d`: seconds. USAGE when it is not a duration. */
export function parseDuration(text: string, what: string): number {
  const match = /^(\d+)([smhd])$/.exec(text.trim())
  const unit = DURATION_SECONDS[match?.[2] ?? '']
  if (match === null || unit === undefined) {
    throw usage(`${what}: "${text}" is not a duration`, 'write it like 30m, 24h or 7d')
  }
  return Number(match[1]) * unit
}

/** A whole number between bounds; USAGE otherwise. */
export function parseCount(
  text: string,
  what: string,
  bounds: { min: number; max: number },
): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= bounds.min && value <= bounds.max)) {
    throw usage(`${what} takes a whole number from ${bounds.min} to ${bounds.max}; not "${text}"`)
  }
  return value
}
