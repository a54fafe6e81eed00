/**
 * Writes the vectors of spec/tree.md: `node test/vectors/tree/generate.ts`. The tests of the tree
 * format read them; a change of these files is a change of the format.
 */

import { writeFileSync } from 'node:fs'
import {
  encodeChunkList,
  encodeRootEntry,
  encodeCbor, fromHex, PageWriter, toHex, utf8, type CborMap, type Entry } from '@moyai/protocol'

type Case = { name: string; hex: string; expect: string; after?: string; entries?: unknown }

const cases: Case[] = []
const chunk = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)

function toJson(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return toHex(value)
  if (Array.isArray(value)) return value.map(toJson)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item)]))
  }
  return value
}

function ok(name: string, entries: Entry[]): void {
  const pages: Uint8Array[] = []
  const writer = new PageWriter({ emit: (page) => void pages.push(page) })
  for (const entry of entries) writer.add(entry)
  writer.end()
  if (pages.length !== 1) throw new Error(`${name}: ${pages.length} pages`)
  cases.push({ name, hex: toHex(pages[0] as Uint8Array), expect: 'ok', entries: sorted(entries) })
}

/**
 * Keys in the order in which a decoder meets them does not matter to the comparison; kept as given.
 */
function sorted(entries: Entry[]): unknown {
  return toJson(entries)
}

const common = { mode: 0o644, uid: 1000, gid: 1000, mtime: 1_790_000_000_123_456_789n }
const file = (name: string, more: Partial<Entry> = {}): Entry => ({
  name: utf8(name),
  type: 'file',
  ...common,
  size: 0,
  ...more,
})

ok('one empty file', [file('a')])
ok('a file of one chunk', [file('hello.txt', { size: 6, chunks: chunk(0x11) })])
ok('all types', [
  { ...file('block'), type: 'block', rdev: 2049n },
  { ...file('char'), type: 'char', rdev: 259n },
  { ...file('directory'), type: 'directory', mode: 0o755, chunks: chunk(0x22) },
  { ...file('empty directory'), type: 'directory', mode: 0o1777 },
  { ...file('fifo'), type: 'fifo' },
  file('file', { size: 3, chunks: chunk(0x33) }),
  { ...file('socket'), type: 'socket' },
  { ...file('symlink'), type: 'symlink', mode: 0o777, target: utf8('../else where') },
])
ok('all fields of Linux', [
  file('linux', {
    size: 1_048_576,
    chunks: new Uint8Array([...chunk(1), ...chunk(2)]),
    holes: [
      { offset: 0, length: 4096 },
      { offset: 8192, length: 65_536 },
    ],
    user: 'alice',
    group: 'users',
    ctime: 1_790_000_001_000_000_000n,
    atime: 1_790_000_002_000_000_001n,
    btime: 1_700_000_000_999_999_999n,
    inode: 18_446_744_073_709_551_615n,
    device: 64_769n,
    links: 2,
    flags: 0x10,
    project: 42,
    xattrs: [
      { name: utf8('security.capability'), value: fromHex('0100000200040000') },
      { name: utf8('user.note'), value: utf8('grüße') },
    ],
  }),
])
ok('all fields of macOS', [
  file('macos', {
    bsdFlags: 0x8000,
    acl: fromHex('012cc16d'),
    xattrs: [{ name: utf8('com.apple.FinderInfo'), value: new Uint8Array(32) }],
    streams: [{ name: utf8('com.apple.ResourceFork'), size: 100_000, chunks: chunk(0x44) }],
  }),
])
ok('all fields of Windows', [
  file('windows', {
    windowsAttributes: 0x2220,
    securityDescriptor: fromHex('0100048000000000000000000000000000000000'),
    shortName: 'WINDOW~1',
    objectId: fromHex('000102030405060708090a0b0c0d0e0f'),
    reparse: fromHex('0c0000a004000000aabbccdd'),
    streams: [
      { name: utf8('Zone.Identifier'), size: 26, chunks: chunk(0x55) },
      { name: utf8('empty'), size: 0 },
    ],
  }),
  { ...file('windows directory'), type: 'directory', caseSensitive: true },
])
ok('a long file with list pages', [file('big', { size: 2n ** 53n, list: chunk(0x66) })])
ok('times before 1970 and at the ends of 64 bits', [
  file('a', { mtime: -1n, ctime: -(2n ** 63n), atime: 2n ** 63n - 1n, btime: 0n }),
])
ok('names of raw bytes, WTF-8 and one platform only', [
  file('CON'),
  file('a\\b'),
  file('new\nline'),
  file('', { name: fromHex('eda080') }),
  file('', { name: fromHex('ff') }),
])
ok('a file that could not be read', [file('locked', { size: 10, error: 'permission denied' })])

/** The plain form of a minimal entry, to be bent. */
const plain = (name: string, more: CborMap = {}): CborMap => ({
  M: 0,
  T: 0,
  g: 0,
  m: 0,
  n: utf8(name),
  s: 0,
  u: 0,
  ...more,
})

function bad(name: string, expect: string, value: CborMap, after?: string): void {
  const where = after === undefined ? {} : { after }
  cases.push({ name, hex: toHex(encodeCbor(value)), expect, ...where })
}

const one = (entry: CborMap): CborMap => ({ e: [entry], v: 1 })
const minimal = toHex(encodeCbor(one(plain('a'))))
cases.push({ name: 'cut by one byte', hex: minimal.slice(0, -2), expect: 'TRUNCATED' })
cases.push({ name: 'no bytes', hex: '', expect: 'TRUNCATED' })
cases.push({ name: 'a byte too many', hex: `${minimal}00`, expect: 'MALFORMED' })
cases.push({
  name: 'an integer that is not in its shortest form',
  hex: minimal.replace('617300', '61731800'),
  expect: 'MALFORMED',
})
cases.push({
  name: 'an indefinite list',
  hex: minimal.replace('616581', '61659f').replace('6176', 'ff6176'),
  expect: 'MALFORMED',
})
cases.push({
  name: 'a field twice',
  hex: minimal.replace('a7614d00', 'a8614d00614d00'),
  expect: 'MALFORMED',
})
cases.push({
  name: 'fields out of order',
  hex: minimal.replace('614d00615400', '615400614d00'),
  expect: 'MALFORMED',
})
cases.push({
  name: 'a list that claims more entries than bytes follow',
  hex: minimal.replace('616581', '6165990400'),
  expect: 'TRUNCATED',
})
cases.push({
  name: 'a list that claims more entries than a page can have',
  hex: minimal.replace('616581', '65 9a7fffffff'.replace('65 ', '6165')),
  expect: 'TOO_LARGE',
})
bad('no entries', 'MALFORMED', { e: [], v: 1 })
bad('a later version', 'UNKNOWN_VERSION', { e: [plain('a')], v: 2 })
bad('a key beside entries and version', 'MALFORMED', { e: [plain('a')], v: 1, w: 0 })
bad('an unknown field', 'MALFORMED', one(plain('a', { Z: 0 })))
bad('a field with a long key', 'MALFORMED', one(plain('a', { zz: 0 })))
bad('a field missing', 'MALFORMED', { e: [{ M: 0, T: 0, g: 0, m: 0, n: utf8('a'), s: 0 }], v: 1 })
bad('an unknown type', 'MALFORMED', one(plain('a', { T: 7 })))
bad('a mode with type bits', 'MALFORMED', one(plain('a', { m: 0o100644 })))
bad('a negative uid', 'MALFORMED', one(plain('a', { u: -1 })))
bad('a uid beyond 32 bits', 'MALFORMED', one(plain('a', { u: 2 ** 32 })))
bad('a time beyond 64 bits', 'MALFORMED', one(plain('a', { M: 2n ** 63n })))
bad('a size beyond 63 bits', 'MALFORMED', one(plain('a', { s: 2n ** 63n, c: chunk(1) })))
for (const name of ['', '.', '..', 'a/b', 'a\0']) {
  bad(`the name ${JSON.stringify(name)}`, 'MALFORMED', one(plain(name)))
}
bad('a name of 1025 bytes', 'TOO_LARGE', one(plain('x'.repeat(1025))))
bad('names in the wrong order', 'MALFORMED', { e: [plain('b'), plain('a')], v: 1 })
bad('a name twice', 'MALFORMED', { e: [plain('a'), plain('a')], v: 1 })
bad('a name not after that of the page before', 'MALFORMED', one(plain('a')), toHex(utf8('b')))
bad('data without chunks', 'MALFORMED', one(plain('a', { s: 1 })))
bad('chunks without data', 'MALFORMED', one(plain('a', { c: chunk(1) })))
bad('chunks and list', 'MALFORMED', one(plain('a', { s: 1, c: chunk(1), L: chunk(2) })))
bad('half a chunk id', 'MALFORMED', one(plain('a', { s: 1, c: new Uint8Array(48) })))
bad('too many chunks', 'TOO_LARGE', one(plain('a', { s: 1, c: new Uint8Array(32 * 1025) })))
bad('a directory with a size', 'MALFORMED', one(plain('a', { T: 1, s: 4096 })))
bad('a symlink without a target', 'MALFORMED', one(plain('a', { T: 2 })))
bad('a file with a target', 'MALFORMED', one(plain('a', { t: utf8('b') })))
bad('a target with NUL', 'MALFORMED', one(plain('a', { T: 2, t: utf8('a\0b') })))
bad('a fifo with chunks', 'MALFORMED', one(plain('a', { T: 3, c: chunk(1) })))
bad('a device without its number', 'MALFORMED', one(plain('a', { T: 5 })))
bad('a file with a device number', 'MALFORMED', one(plain('a', { r: 1 })))
const holed = (holes: number[][]): CborMap => one(plain('a', { s: 100, c: chunk(1), h: holes }))
bad('holes that overlap', 'MALFORMED', holed([[0, 10], [9, 10]]))
bad('holes that touch', 'MALFORMED', holed([[0, 10], [10, 10]]))
bad('a hole of no length', 'MALFORMED', holed([[0, 0]]))
bad('a hole beyond the end', 'MALFORMED', holed([[90, 11]]))
bad('chunks of a file that is one hole', 'MALFORMED', holed([[0, 100]]))
bad('an empty list of holes', 'MALFORMED', holed([]))
const xattrs = (list: string[]): CborMap =>
  one(plain('a', { x: list.map((name) => [utf8(name), new Uint8Array(0)]) }))
bad('xattrs out of order', 'MALFORMED', xattrs(['user.b', 'user.a']))
bad('an xattr twice', 'MALFORMED', xattrs(['user.a', 'user.a']))
bad('an xattr without a name', 'MALFORMED', xattrs(['']))
bad('a stream whose size has no chunks', 'MALFORMED', one(plain('a', { S: [[utf8('s'), 1, chunk(0).subarray(32), chunk(0).subarray(32)]] })))
bad('a float as size', 'MALFORMED', one(plain('a')))
const last = cases.at(-1) as Case
last.hex = minimal.replace('617300', '6173fb3ff0000000000000')
bad('a text that is not UTF-8', 'MALFORMED', one(plain('a', { U: 'ab' })))
const text = cases.at(-1) as Case
text.hex = text.hex.replace('626162', '62c328')

const rootEntry: Entry = {
  ...file('', { chunks: chunk(0x22) }),
  type: 'directory',
  mode: 0o755,
}
const root = toHex(encodeRootEntry(rootEntry))
const roots = [
  { name: 'a root', hex: root, expect: 'ok', entry: toJson(rootEntry) },
  { name: 'cut by one byte', hex: root.slice(0, -2), expect: 'TRUNCATED' },
  { name: 'a byte too many', hex: `${root}00`, expect: 'MALFORMED' },
  { name: 'a root with a name', hex: toHex(encodeCbor(plain('a'))), expect: 'MALFORMED' },
]

const ids = new Uint8Array([...chunk(1), ...chunk(2), ...chunk(3)])
const list = toHex(encodeChunkList(ids))
const badList = (name: string, expect: string, value: CborMap): unknown => ({
  name,
  hex: toHex(encodeCbor(value)),
  expect,
})
const lists = [
  { name: 'three ids', hex: list, expect: 'ok', ids: toHex(ids) },
  { name: 'cut by one byte', hex: list.slice(0, -2), expect: 'TRUNCATED' },
  { name: 'a byte too many', hex: `${list}00`, expect: 'MALFORMED' },
  badList('no ids', 'MALFORMED', { c: new Uint8Array(0), v: 1 }),
  badList('half an id', 'MALFORMED', { c: new Uint8Array(48), v: 1 }),
  badList('a list of ids instead of bytes', 'MALFORMED', { c: [chunk(1)], v: 1 }),
  badList('a later version', 'UNKNOWN_VERSION', { c: ids, v: 2 }),
  badList('an unknown key', 'MALFORMED', { c: ids, v: 1, w: 0 }),
]

function write(name: string, of: unknown): void {
  const json = { format: 'tree', spec: 'spec/tree.md', cases: of }
  const path = new URL(`${name}.json`, import.meta.url)
  writeFileSync(path, `${JSON.stringify(json, undefined, 2)}\n`)
}

write('pages', cases)
write('roots', roots)
write('chunk-lists', lists)
