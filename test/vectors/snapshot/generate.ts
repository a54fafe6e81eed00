/** Writes the vectors of spec/snapshot.md: `node test/vectors/snapshot/generate.ts`. */

import { writeFileSync } from 'node:fs'
import {
  encodeCbor,
  encodeIndexSegment,
  encodeRootEntry,
  encodeSnapshot,
  fields,
  PACK_HEADER_BYTES,
  toHex,
  utf8,
  type CborMap,
  type Entry,
  type IndexPack,
  type Snapshot,
} from '@moyai/protocol'

const fill = (value: number, length = 32): Uint8Array => new Uint8Array(length).fill(value)

const root: Entry = {
  name: new Uint8Array(0),
  type: 'directory',
  mode: 0o755,
  uid: 1000,
  gid: 1000,
  user: 'alice',
  group: 'users',
  mtime: 1_790_000_000_123_456_789n,
  size: 0,
  chunks: fill(0x22),
}
const snapshot: Snapshot = {
  time: 1_790_000_000_000,
  source: 'home',
  paths: [utf8('/home/alice')],
  hostname: 'tokyo',
  username: 'alice',
  tags: ['daily'],
  root,
  stats: { files: 2, directories: 1, others: 0, bytes: 12_345, errors: 0, bytesNew: 12_345 },
  parent: fill(0x33),
  indexPacks: [fill(0x44)],
  program: 'moyai 0.1.0',
  excludes: ['*.tmp'],
  partial: false,
}
const plain: CborMap = fields({
  v: 1,
  ...snapshot,
  root: encodeRootEntry(root),
  stats: fields(snapshot.stats),
})
const bytes = toHex(encodeSnapshot(snapshot))
const bad = (
  name: string,
  expect: string,
  change: CborMap,
): { name: string; hex: string; expect: string } => ({
  name,
  hex: toHex(encodeCbor({ ...plain, ...change })),
  expect,
})
const without = (key: string): CborMap =>
  Object.fromEntries(Object.entries(plain).filter(([name]) => name !== key))
const { chunks: _, ...bare } = root
const minimal: Snapshot = { ...snapshot, root: bare, indexPacks: [], tags: [], excludes: [] }
const snapshots = [
  { name: 'a snapshot', hex: bytes, expect: 'ok', source: 'home' },
  {
    name: 'the first snapshot of an empty folder',
    hex: toHex(encodeSnapshot({ ...minimal, stats: { ...minimal.stats, files: 0 } })),
    expect: 'ok',
    source: 'home',
  },
  { name: 'cut by one byte', hex: bytes.slice(0, -2), expect: 'MALFORMED' },
  { name: 'a byte too many', hex: `${bytes}00`, expect: 'MALFORMED' },
  bad('a later version', 'UNKNOWN_VERSION', { v: 2 }),
  bad('an unknown key', 'MALFORMED', { more: 1 }),
  { name: 'a key missing', hex: toHex(encodeCbor(without('partial'))), expect: 'MALFORMED' },
  bad('a source without a name', 'MALFORMED', { source: '' }),
  bad('a time after the year 9999', 'MALFORMED', { time: 253_402_300_800_000 }),
  bad('a parent that is no id', 'MALFORMED', { parent: fill(1, 31) }),
  bad('an index pack that is no id', 'MALFORMED', { indexPacks: [fill(1, 33)] }),
  bad('a count below zero', 'MALFORMED', { stats: fields({ ...snapshot.stats, files: -1 }) }),
  bad('an unknown count', 'MALFORMED', { stats: fields({ ...snapshot.stats, lost: 1 }) }),
  bad('a root that is a file', 'MALFORMED', {
    root: encodeRootEntry({ ...bare, type: 'file' }),
  }),
  bad('a root that is no entry', 'MALFORMED', { root: fill(0) }),
  bad('a root with bytes after it', 'MALFORMED', {
    root: new Uint8Array([...encodeRootEntry(root), 0]),
  }),
]

const pack: IndexPack = {
  pack: fill(0x55),
  salt: fill(0x66),
  packClass: 'data',
  length: 6 * 65_536,
  stripe: fill(0x77, 300),
  blobs: [
    {
      index: 0,
      kind: 'data',
      compression: 'zstd',
      offset: PACK_HEADER_BYTES,
      sealedLength: 1016,
      rawLength: 3000,
      chunks: [
        { id: fill(1), offset: 0, length: 1000 },
        { id: fill(2), offset: 1000, length: 2000 },
      ],
    },
    {
      index: 1,
      kind: 'data',
      compression: 'none',
      offset: PACK_HEADER_BYTES + 1016,
      sealedLength: 116,
      rawLength: 100,
      chunks: [{ id: fill(3), offset: 0, length: 100 }],
    },
  ],
}
const segment = toHex(encodeIndexSegment([pack]))
const replaced = (from: string, to: string): string => {
  if (!segment.includes(from)) throw new Error(`no ${from} in the segment`)
  return segment.replace(from, to)
}
const emptyList = encodeCbor({ v: 1, packs: [] })
const segments = [
  { name: 'one pack of two blobs', hex: segment, expect: 'ok', packs: [toHex(pack.pack)] },
  {
    name: 'two packs, one without blobs',
    hex: toHex(encodeIndexSegment([pack, { ...pack, pack: fill(0x56), packClass: 'meta', blobs: [] }])),
    expect: 'ok',
    packs: [toHex(pack.pack), toHex(fill(0x56))],
  },
  { name: 'no packs', hex: toHex(emptyList), expect: 'MALFORMED' },
  { name: 'cut by one byte', hex: segment.slice(0, -2), expect: 'MALFORMED' },
  { name: 'a byte too many', hex: `${segment}00`, expect: 'MALFORMED' },
  { name: 'a later version', hex: replaced('617601', '617602'), expect: 'UNKNOWN_VERSION' },
  // The key "sealed" and 116 as an integer; 117 leaves the blob one byte longer than its raw length
  // and tag.
  {
    name: 'a blob whose lengths contradict each other',
    hex: replaced('667365616c65641874', '667365616c65641875'),
    expect: 'MALFORMED',
  },
  {
    name: 'a pack shorter than its blobs',
    hex: replaced(`666c656e6774681a${(6 * 65_536).toString(16).padStart(8, '0')}`, '666c656e677468190400'),
    expect: 'MALFORMED',
  },
]

function write(name: string, cases: unknown): void {
  const json = { format: name, spec: 'spec/snapshot.md', cases }
  const file = new URL(`${name}.json`, import.meta.url)
  writeFileSync(file, `${JSON.stringify(json, undefined, 2)}\n`)
}

write('snapshots', snapshots)
write('index-segments', segments)
