/**
 * `$MOYAI_HOME/config.toml`: what a person may change about this host, documented in
 * docs/reference/config.md.
 *
 * Every key is in one table here; a key that is not is an error that names the nearest one, because
 * a misspelt setting that is silently ignored protects nobody.
 */

import {
  type Code,
  fromUtf8,
  isCode,
  isLabel,
  MoyaiError,
  NAME_LENGTH_MAX,
  PLAN_SHARDS_MAX,
  printable,
  toMoyaiError,
  type HostClass,
} from '@moyai/protocol'
import { parse, TomlError } from 'smol-toml'

import { parseTimetable, type Timetable } from '../bandwidth/index.ts'
import { nearest } from './nearest.ts'
import { parseBytes, parseDuration } from './quantity.ts'

/** How a host is switched on and off; decides what is expected of it. */
export const HOST_CLASSES: readonly HostClass[] = ['always-on', 'desktop', 'laptop']

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** Ways of reaching others that can be switched off. */
type Reaching = { relay: boolean; mdns: boolean; upnp: boolean }

/** A checked configuration; sizes in bytes. */
export type Config = {
  host: { name: string; site: string; provider: string; class: HostClass }
  storage: { offerBytes: number; reserveBytes: number; surplusAfterMs: number }
  /** `code` is undefined where the planner chooses. */
  store: { code: Code | undefined }
  audit: { dailyBudgetBytes: number }
  network: {
    listen: string[]
    announce: string[]
    peers: string[]
    upload: Timetable
    download: Timetable
  } & Reaching
  log: { level: LogLevel; fileBytesMax: number; filesMax: number }
}

/** config.toml is a page of text, never more. */
export const CONFIG_BYTES_MAX: number = 64 * 1024
const ADDRESSES_MAX = 32
const ADDRESS_LENGTH_MAX = 300

type Value = string | number | boolean | string[]

/** One key of the file: its default in TOML, what it means in one line, and its check. */
export type ConfigKey = {
  key: string
  /** The value that an absent key has, as it would be written in the file. */
  absent: Value
  about: string
  check: (value: unknown) => Value
}

function fail(message: string): never {
  throw new MoyaiError('CONFIG_INVALID', message)
}

function label(value: unknown): string {
  if (typeof value === 'string' && isLabel(value)) return value
  return fail(
    `must be 1 to ${NAME_LENGTH_MAX} visible characters, without any of # : / \\ " ' < > | * ?`,
  )
}

function oneOf(...words: readonly string[]): (value: unknown) => string {
  return (value) =>
    words.find((word) => word === value) ?? fail(`must be one of ${words.join(', ')}`)
}

function size(value: unknown): string | number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  if (typeof value !== 'string') return fail('must be a size such as "500GB"')
  parseBytes(value)
  return value
}

function duration(value: unknown): string {
  if (typeof value !== 'string') return fail('must be a length of time such as "30d"')
  parseDuration(value)
  return value
}

/** Undefined for `auto`, or for what is no code that a stripe can have. */
function codeOf(text: string): Code | undefined {
  const match = /^([1-9]\d?)\+([1-9]\d?)$/.exec(text)
  if (match === null) return undefined
  const code = { k: Number(match[1]), m: Number(match[2]) }
  return isCode(code) && code.k + code.m <= PLAN_SHARDS_MAX ? code : undefined
}

function codeText(value: unknown): string {
  if (value === 'auto') return value
  if (typeof value === 'string' && codeOf(value) !== undefined) return value
  return fail(`must be "auto", or a code such as "4+2" of at most ${PLAN_SHARDS_MAX} shards`)
}

function timetable(value: unknown): string {
  if (typeof value !== 'string') return fail('must be a text such as "2MB/s Mon-Fri 08:00-19:00"')
  try {
    return parseTimetable(value).text
  } catch (error) {
    return fail(`cannot be read: ${toMoyaiError(error).message}`)
  }
}

function addresses(value: unknown): string[] {
  if (!Array.isArray(value)) return fail('must be a list of addresses')
  if (value.length > ADDRESSES_MAX) fail(`must have at most ${ADDRESSES_MAX} addresses`)
  return value.map((one: unknown) => {
    if (typeof one === 'string' && one.startsWith('/') && one.length <= ADDRESS_LENGTH_MAX) {
      return one
    }
    return fail('must contain addresses such as "/ip4/0.0.0.0/tcp/4001"')
  })
}

function yesOrNo(value: unknown): boolean {
  return typeof value === 'boolean' ? value : fail('must be true or false')
}

function count(o: { min: number; max: number }): (value: unknown) => number {
  return (value) => {
    const whole = typeof value === 'number' && Number.isSafeInteger(value)
    return whole && value >= o.min && value <= o.max
      ? value
      : fail(`must be a whole number from ${o.min} to ${o.max}`)
  }
}

/** Every key that the file may contain. */
export const CONFIG_KEYS: readonly ConfigKey[] = [
  { key: 'host.name', absent: 'host', about: 'Short name of this host.', check: label },
  { key: 'host.site', absent: 'main', about: 'The building this host stands in.', check: label },
  {
    key: 'host.provider',
    absent: 'self',
    about: 'Who runs the machine: `self`, or the name of a company.',
    check: label,
  },
  {
    key: 'host.class',
    absent: 'desktop',
    about: 'How it is switched on: `always-on`, `desktop` or `laptop`.',
    check: oneOf(...HOST_CLASSES),
  },
  {
    key: 'storage.offer',
    absent: '100GB',
    about: "Space that other hosts' shards may take here.",
    check: size,
  },
  {
    key: 'storage.reserve',
    absent: '1GB',
    about: 'Free space of the disk that shards never take.',
    check: size,
  },
  {
    key: 'storage.surplus-after',
    absent: '30d',
    about: 'How long a shard is kept that another host has, too.',
    check: duration,
  },
  {
    key: 'store.code',
    absent: 'auto',
    about: 'For experts: the code of new data stripes, such as `4+2`; `auto` suits the pool.',
    check: codeText,
  },
  {
    key: 'audit.daily-budget',
    absent: '256MiB',
    about: 'What this host reads from others in a day to see that they keep what they say.',
    check: size,
  },
  {
    key: 'network.listen',
    absent: ['/ip4/0.0.0.0/tcp/4001'],
    about: 'Addresses to listen on.',
    check: addresses,
  },
  {
    key: 'network.announce',
    absent: [],
    about: 'Further addresses under which others reach this host, such as a forwarded port.',
    check: addresses,
  },
  {
    key: 'network.peers',
    absent: [],
    about: 'Hosts of the pool (addresses with `/p2p/…`) to ask when the database is lost.',
    check: addresses,
  },
  {
    key: 'network.relay',
    absent: true,
    about: 'Carry bytes between hosts of the pool that do not reach one another.',
    check: yesOrNo,
  },
  {
    key: 'network.mdns',
    absent: true,
    about: 'Find hosts of the pool on the local network, and be found (mDNS).',
    check: yesOrNo,
  },
  {
    key: 'network.upnp',
    absent: true,
    about: 'Ask the router to forward the port to this host (UPnP).',
    check: yesOrNo,
  },
  {
    key: 'network.upload',
    absent: 'unlimited',
    about:
      'How fast payload may leave: `unlimited`, or `2MB/s Mon-Fri 08:00-19:00, else unlimited`.',
    check: timetable,
  },
  {
    key: 'network.download',
    absent: 'unlimited',
    about: 'How fast payload may come in, written in the same way.',
    check: timetable,
  },
  {
    key: 'log.level',
    absent: 'info',
    about: 'The least important events that are logged: `debug`, `info`, `warn` or `error`.',
    check: oneOf(...LOG_LEVELS),
  },
  {
    key: 'log.file-size',
    absent: '8MB',
    about: 'A log file is rotated when it has grown to this.',
    check: size,
  },
  {
    key: 'log.files',
    absent: 4,
    about: 'Log files kept, the newest included.',
    check: count({ min: 1, max: 100 }),
  },
]

function invalid(message: string, hint?: string): MoyaiError {
  return new MoyaiError(
    'CONFIG_INVALID',
    `config.toml: ${message}`,
    hint === undefined ? {} : { hint },
  )
}

function unknownKey(key: string): MoyaiError {
  const known = CONFIG_KEYS.map((one) => one.key)
  const near = nearest(key, known)
  return invalid(
    `unknown key '${printable(key, 80)}'`,
    near === undefined ? 'docs/reference/config.md lists every key' : `did you mean '${near}'?`,
  )
}

/** `section.key` → value, two levels deep. */
function flatten(table: object): Map<string, unknown> {
  const sections = new Set(CONFIG_KEYS.map((one) => one.key.split('.')[0]))
  const flat = new Map<string, unknown>()
  for (const [section, inner] of Object.entries(table)) {
    const isTable = typeof inner === 'object' && inner !== null && !Array.isArray(inner)
    if (!sections.has(section)) {
      const first = isTable ? Object.keys(inner)[0] : undefined
      throw unknownKey(first === undefined ? section : `${section}.${first}`)
    }
    if (!isTable) throw invalid(`'${section}' must be a section, [${section}]`)
    for (const [key, value] of Object.entries(inner)) flat.set(`${section}.${key}`, value)
  }
  return flat
}

function bytesOf(value: Value): number {
  return typeof value === 'number' ? value : parseBytes(String(value))
}

/** The configuration of checked values. */
function build(values: ReadonlyMap<string, Value>): Config {
  const text = (key: string): string => String(values.get(key))
  const list = (key: string): string[] => values.get(key) as string[]
  const bytes = (key: string): number => bytesOf(values.get(key) as Value)
  return {
    host: {
      name: text('host.name'),
      site: text('host.site'),
      provider: text('host.provider'),
      class: text('host.class') as HostClass,
    },
    storage: {
      offerBytes: bytes('storage.offer'),
      reserveBytes: bytes('storage.reserve'),
      surplusAfterMs: 1000 * parseDuration(text('storage.surplus-after')),
    },
    store: { code: codeOf(text('store.code')) },
    audit: { dailyBudgetBytes: bytes('audit.daily-budget') },
    network: {
      listen: list('network.listen'),
      announce: list('network.announce'),
      peers: list('network.peers'),
      relay: values.get('network.relay') === true,
      mdns: values.get('network.mdns') === true,
      upnp: values.get('network.upnp') === true,
      upload: parseTimetable(text('network.upload')),
      download: parseTimetable(text('network.download')),
    },
    log: {
      level: text('log.level') as LogLevel,
      fileBytesMax: bytes('log.file-size'),
      filesMax: Number(text('log.files')),
    },
  }
}

/**
 * The configuration in the bytes of config.toml. CONFIG_INVALID names the key (and the nearest
 * known one), or the line that is no TOML.
 */
export function parseConfig(bytes: Uint8Array): Config {
  let table: object
  try {
    table = parse(fromUtf8(bytes))
  } catch (cause) {
    const reason =
      cause instanceof TomlError ? `line ${cause.line}: not valid TOML` : 'not valid UTF-8'
    throw new MoyaiError('CONFIG_INVALID', `config.toml: ${reason}`, { cause })
  }
  const given = flatten(table)
  const values = new Map<string, Value>()
  for (const { key, absent, check } of CONFIG_KEYS) {
    values.set(key, absent)
    if (!given.has(key)) continue
    try {
      values.set(key, check(given.get(key)))
    } catch (error) {
      if (!(error instanceof MoyaiError)) throw error
      throw invalid(`'${key}' ${error.message}`, error.hint)
    }
    given.delete(key)
  }
  for (const key of given.keys()) throw unknownKey(key)
  return build(values)
}

function toml(value: Value): string {
  if (Array.isArray(value)) return `[${value.map((one) => JSON.stringify(one)).join(', ')}]`
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}

/**
 * The text of a config.toml in which every key is explained; those in `values` are set, the others
 * are there as comments with their defaults. CONFIG_INVALID when a value is not valid.
 */
export function configText(values: Readonly<Record<string, Value>>): string {
  for (const key of Object.keys(values)) {
    if (!CONFIG_KEYS.some((one) => one.key === key)) throw unknownKey(key)
  }
  const lines = ['# moyai: the settings of this host (docs/reference/config.md)']
  let section = ''
  for (const { key, absent, about } of CONFIG_KEYS) {
    const [head, name] = key.split('.') as [string, string]
    if (head !== section) lines.push('', `[${head}]`)
    section = head
    const value = values[key]
    lines.push(`# ${about}`)
    lines.push(value === undefined ? `# ${name} = ${toml(absent)}` : `${name} = ${toml(value)}`)
  }
  const text = `${lines.join('\n')}\n`
  parseConfig(new TextEncoder().encode(text))
  return text
}
