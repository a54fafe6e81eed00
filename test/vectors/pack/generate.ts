/** Writes pack.json and box.json: `node test/vectors/pack/generate.ts`. */

import { createCipheriv } from 'node:crypto'
import { zstdCompressSync } from 'node:zlib'
import {
  ascii,
  cat,
  cborArray,
  cborBytes,
  cborInt,
  cborMap,
  cborText,
  flip,
  gcm,
  hex,
  hkdf,
  named,
  u32,
  writeVectors,
  type Bytes,
} from './independent.ts'

const DATA_KEY = named('data key')
const VAULT = named('vault')
const CHUNK_BYTES_MAX = 4 * 1024 * 1024 - 64 * 1024

type Chunk = { id: Uint8Array; offset: number; length: number }
type Blob = {
  kind: string
  kindByte: number
  compression: string
  stored: Uint8Array
  raw: Uint8Array
  rawLength?: number
  chunks?: Chunk[]
  packedChunks?: Uint8Array
  offset?: number
}
type Options = {
  salt?: Uint8Array
  classByte?: number
  length?: number
  reserved?: Uint8Array
  directory?: (entries: Uint8Array[]) => Uint8Array
  footer?: (fields: number[]) => number[]
  footerTail?: Uint8Array
}

function pack(blobs: Blob[], o: Options = {}): Bytes {
  const salt = o.salt ?? named('salt')
  const classByte = Uint8Array.of(o.classByte ?? 1)
  const keys = hkdf({
    key: DATA_KEY,
    salt,
    label: 'pack',
    context: cat(VAULT, classByte),
    length: 96,
  })
  const header = cat(
    ascii('MOYAIPK'),
    hex('01'),
    classByte,
    o.reserved ?? Buffer.alloc(7),
    salt,
    keys.subarray(64),
  )
  const seal = (nonce: number, kind: number, plaintext: Uint8Array): Bytes =>
    gcm({
      key: keys.subarray(0, 32),
      nonce,
      aad: cat(header, u32(nonce), Uint8Array.of(kind)),
      plaintext,
    })
  let end = header.length
  const entries: Uint8Array[] = []
  const sealed: Uint8Array[] = []
  for (const [index, blob] of blobs.entries()) {
    const bytes = seal(index, blob.kindByte, blob.stored)
    const records = (blob.chunks ?? []).map((c) => cat(c.id, u32(c.offset), u32(c.length)))
    entries.push(
      cborMap([
        ['raw', cborInt(blob.rawLength ?? blob.raw.length)],
        ['kind', cborText(blob.kind)],
        ['chunks', cborBytes(blob.packedChunks ?? cat(...records))],
        ['offset', cborInt(blob.offset ?? end)],
        ['sealed', cborInt(bytes.length)],
        ['compression', cborText(blob.compression)],
      ]),
    )
    sealed.push(bytes)
    end += bytes.length
  }
  const build = o.directory ?? plainDirectory
  const directory = seal(0xffffffff, 0xf0, build(entries))
  const length = o.length ?? 1024
  const directoryOffset = length - 64 - directory.length
  const fields = [1, length, end, directoryOffset, directory.length, blobs.length]
  const padding = createCipheriv('aes-256-ctr', keys.subarray(32, 64), Buffer.alloc(16))
  const footer = cat(
    ...(o.footer ?? ((f) => f))(fields).map((n) => u32(n)),
    o.footerTail ?? Buffer.alloc(24),
  )
  return cat(
    header,
    ...sealed,
    padding.update(Buffer.alloc(directoryOffset - end)),
    directory,
    seal(0xfffffffe, 0xf1, footer),
  )
}

function plainDirectory(entries: Uint8Array[]): Bytes {
  return cborMap([
    ['v', cborInt(1)],
    ['blobs', cborArray(entries)],
  ])
}

const KIND_BYTES: Record<string, number> = { data: 1, tree: 2, list: 3, index: 4 }

function blobOf(raw: Uint8Array, o: Partial<Blob> = {}): Blob {
  const kind = o.kind ?? 'data'
  const compression = o.compression ?? 'none'
  const stored = compression === 'zstd' ? zstdCompressSync(raw) : raw
  const chunks = [{ id: named(`chunk ${raw.length}`), offset: 0, length: raw.length }]
  return { kind, kindByte: KIND_BYTES[kind] ?? 9, compression, stored, raw, chunks, ...o }
}

const ROPE = ascii('The rope that moors boats to one another, and work done in common. ')
const LONG = cat(...Array.from({ length: 30 }, () => ROPE))
const ID = named('chunk')
const TWO = [blobOf(ROPE), blobOf(LONG, { compression: 'zstd' })]
const BASE = pack(TWO)
const DIRECTORY_AT = BASE.length - 64 - 40

const chunked = (chunks: Chunk[]): Bytes => pack([blobOf(ROPE, { chunks })])
const at = (offset: number, length: number): Chunk => ({ id: ID, offset, length })

type Case = {
  name: string
  pack: Uint8Array
  expect: string
  /** Where the failure shows: reading the directory, or opening the blob with this index. */
  failsAt?: 'directory' | number
  dataKey?: Uint8Array
  vault?: Uint8Array
  blobs?: Blob[]
}

const good: Case[] = [
  { name: 'no blobs', pack: pack([]), expect: 'ok', blobs: [] },
  { name: 'a plain and a compressed blob', pack: BASE, expect: 'ok', blobs: TWO },
  {
    name: 'meta pack with each kind',
    pack: pack(
      ['tree', 'list', 'index'].map((kind) => blobOf(ROPE, { kind })),
      { classByte: 2 },
    ),
    expect: 'ok',
    blobs: ['tree', 'list', 'index'].map((kind) => blobOf(ROPE, { kind })),
  },
  {
    name: 'several chunks, a gap, a blob without chunks',
    pack: pack([blobOf(ROPE, { chunks: [at(0, 5), at(10, 1)] }), blobOf(ROPE, { chunks: [] })]),
    expect: 'ok',
    blobs: [blobOf(ROPE, { chunks: [at(0, 5), at(10, 1)] }), blobOf(ROPE, { chunks: [] })],
  },
  {
    name: 'no padding at all',
    pack: pack([blobOf(Uint8Array.of(7), { chunks: [] })], { length: 80 + 17 + 85 + 64 }),
    expect: 'ok',
    blobs: [blobOf(Uint8Array.of(7), { chunks: [] })],
  },
]

const changed: Case[] = [
  { name: 'other data key', pack: BASE, dataKey: named('other'), expect: 'SEAL_MISMATCH' },
  { name: 'other vault', pack: BASE, vault: named('other'), expect: 'SEAL_MISMATCH' },
  { name: 'magic', pack: flip(BASE, 0), expect: 'MALFORMED' },
  { name: 'version', pack: flip(BASE, 7, 2), expect: 'UNKNOWN_VERSION' },
  { name: 'class zero', pack: flip(BASE, 8), expect: 'MALFORMED' },
  { name: 'class three', pack: flip(BASE, 8, 2), expect: 'MALFORMED' },
  { name: 'class of the other kind', pack: flip(BASE, 8, 3), expect: 'SEAL_MISMATCH' },
  { name: 'reserved byte', pack: flip(BASE, 12), expect: 'MALFORMED' },
  {
    name: 'reserved byte, sealed so',
    pack: pack(TWO, { reserved: hex('00000000000001') }),
    expect: 'MALFORMED',
  },
  { name: 'salt', pack: flip(BASE, 16), expect: 'SEAL_MISMATCH' },
  { name: 'commitment', pack: flip(BASE, 79, 0x80), expect: 'SEAL_MISMATCH' },
  { name: 'directory', pack: flip(BASE, DIRECTORY_AT), expect: 'SEAL_MISMATCH' },
  { name: 'directory tag', pack: flip(BASE, -65), expect: 'SEAL_MISMATCH' },
  { name: 'footer', pack: flip(BASE, -64), expect: 'SEAL_MISMATCH' },
  { name: 'footer tag', pack: flip(BASE, -1), expect: 'SEAL_MISMATCH' },
  { name: 'one byte short', pack: BASE.subarray(0, -1), expect: 'SEAL_MISMATCH' },
  { name: 'one byte long', pack: cat(BASE, hex('00')), expect: 'SEAL_MISMATCH' },
  { name: 'header alone', pack: BASE.subarray(0, 80), expect: 'TRUNCATED' },
  { name: 'nothing', pack: Buffer.alloc(0), expect: 'TRUNCATED' },
  {
    name: 'footer of another pack',
    pack: cat(BASE.subarray(0, -64), pack(TWO, { salt: named('salt 2') }).subarray(-64)),
    expect: 'SEAL_MISMATCH',
  },
  { name: 'first blob', pack: flip(BASE, 80), failsAt: 0, expect: 'SEAL_MISMATCH' },
  { name: 'second blob', pack: flip(BASE, 80 + 83), failsAt: 1, expect: 'SEAL_MISMATCH' },
]

const badFooter: [string, (f: number[]) => number[], string][] = [
  ['version 2', (f) => [2, ...f.slice(1)], 'UNKNOWN_VERSION'],
  ['other pack length', (f) => f.with(1, 2048), 'MALFORMED'],
  ['blobs end inside the header', (f) => f.with(2, 79), 'MALFORMED'],
  ['blobs end before they do', (f) => f.with(2, (f[2] ?? 0) - 1), 'MALFORMED'],
  ['blobs end later', (f) => f.with(2, (f[2] ?? 0) + 1), 'MALFORMED'],
  ['blobs end in the directory', (f) => f.with(2, (f[3] ?? 0) + 1), 'MALFORMED'],
  ['directory elsewhere', (f) => f.with(3, (f[3] ?? 0) - 1), 'MALFORMED'],
  ['directory beyond the pack', (f) => f.with(4, 0xffffffff), 'MALFORMED'],
  ['directory too short', (f) => f.with(3, 1024 - 64 - 16).with(4, 16), 'MALFORMED'],
  ['other blob count', (f) => f.with(5, 3), 'MALFORMED'],
]

const entryOf = (change: (entry: [string, Uint8Array][]) => [string, Uint8Array][]): Bytes =>
  pack([blobOf(ROPE)], {
    directory: () =>
      plainDirectory([
        cborMap(
          change([
            ['raw', cborInt(ROPE.length)],
            ['kind', cborText('data')],
            ['chunks', cborBytes(Buffer.alloc(0))],
            ['offset', cborInt(80)],
            ['sealed', cborInt(ROPE.length + 16)],
            ['compression', cborText('none')],
          ]),
        ),
      ]),
  })
const set = (key: string, value: Uint8Array): Bytes =>
  entryOf((entry) => entry.map(([k, v]) => [k, k === key ? value : v]))

const malformed: [string, Bytes][] = [
  ['footer tail not zero', pack(TWO, { footerTail: cat(Buffer.alloc(23), hex('01')) })],
  ['blobs overlap', pack([TWO[0] as Blob, { ...(TWO[1] as Blob), offset: 100 }])],
  ['gap between blobs', pack([TWO[0] as Blob, { ...(TWO[1] as Blob), offset: 80 + 83 + 1 }])],
  ['first blob in the header', set('offset', cborInt(16))],
  ['raw length zero', set('raw', cborInt(0))],
  ['raw length beyond a chunk', set('raw', cborInt(CHUNK_BYTES_MAX + 1))],
  ['raw length of a plain blob is another', set('raw', cborInt(ROPE.length + 1))],
  ['sealed length of nothing', set('sealed', cborInt(16))],
  ['sealed length beyond the pack', set('sealed', cborInt(4096))],
  ['compressed blob not smaller', set('compression', cborText('zstd'))],
  ['unknown compression', set('compression', cborText('lz4'))],
  ['unknown kind', set('kind', cborText('note'))],
  ['offset as text', set('offset', cborText('80'))],
  ['field missing', entryOf((entry) => entry.slice(1))],
  ['field unknown', entryOf((entry) => [['x', cborInt(1)], ...entry])],
  ['fields out of order', entryOf((entry) => entry.toReversed())],
  ['chunk record cut', pack([blobOf(ROPE, { packedChunks: Buffer.alloc(41) })])],
  ['chunk empty', chunked([at(0, 0)])],
  ['chunk beyond the blob', chunked([at(0, ROPE.length + 1)])],
  ['chunk offset overflowing', chunked([at(0xffffffff, 0xffffffff)])],
  ['chunks overlap', chunked([at(0, 5), at(4, 5)])],
  ['chunks out of order', chunked([at(10, 5), at(0, 5)])],
  [
    'directory not canonical',
    pack([], { directory: () => hex('a2617618016562 6c6f627380'.replace(' ', '')) }),
  ],
  [
    'directory with a trailing byte',
    pack([], { directory: (e) => cat(plainDirectory(e), hex('00')) }),
  ],
  ['directory is no map', pack([], { directory: () => hex('80') })],
]

const bomb = zstdCompressSync(Buffer.alloc(CHUNK_BYTES_MAX))
/**
 * RFC 8878 by hand: a frame without content size that asks for a window of 2^log and repeats one
 * byte 2000 times.
 */
function window(log: number): Bytes {
  const block = (2000 << 3) | 0b011
  return cat(hex('28b52ffd00'), Uint8Array.of((log - 10) << 3, block & 0xff, block >> 8, 0, 0x61))
}
const stored = (bytes: Uint8Array, rawLength: number): Bytes =>
  pack([blobOf(LONG, { compression: 'zstd', stored: bytes, rawLength, chunks: [] })])
const ropes = zstdCompressSync(LONG)

const badBlobs: [string, Bytes, string][] = [
  ['decompresses to more than stated', stored(bomb, 2000), 'MALFORMED'],
  ['decompresses to one byte more', stored(ropes, LONG.length - 1), 'MALFORMED'],
  ['decompresses to one byte less', stored(ropes, LONG.length + 1), 'MALFORMED'],
  ['not compressed at all', stored(ROPE, LONG.length), 'MALFORMED'],
  ['compressed bytes cut', stored(ropes.subarray(0, -3), LONG.length), 'MALFORMED'],
  ['window larger than any chunk', stored(window(23), 2000), 'MALFORMED'],
  ['bytes after the compressed frame', stored(cat(ropes, hex('00')), LONG.length), 'MALFORMED'],
  ['sealed as another kind', pack([blobOf(ROPE, { kindByte: 2 })]), 'SEAL_MISMATCH'],
]

const WINDOW = blobOf(Buffer.alloc(2000, 0x61), { compression: 'zstd', stored: window(22) })

const cases: Case[] = [
  ...good,
  { name: 'the largest window', pack: pack([WINDOW]), expect: 'ok', blobs: [WINDOW] },
  ...changed,
  ...badFooter.map(([name, footer, expect]) => ({
    name: `footer: ${name}`,
    pack: pack(TWO, { footer }),
    expect,
  })),
  ...malformed.map(([name, bytes]) => ({ name, pack: bytes, expect: 'MALFORMED' })),
  {
    name: 'directory version 2',
    pack: pack([], { directory: () => cborMap([['v', cborInt(2)]]) }),
    expect: 'UNKNOWN_VERSION',
  },
  ...badBlobs.map(([name, bytes, expect]) => ({ name, pack: bytes, failsAt: 0, expect })),
]

writeVectors(import.meta, 'pack.json', {
  format: 'pack',
  spec: 'spec/pack.md',
  cases: cases.map((c) => ({
    name: c.name,
    expect: c.expect,
    ...(c.expect === 'ok' ? {} : { failsAt: c.failsAt ?? 'directory' }),
    dataKey: Buffer.from(c.dataKey ?? DATA_KEY).toString('hex'),
    vault: Buffer.from(c.vault ?? VAULT).toString('hex'),
    pack: Buffer.from(c.pack).toString('hex'),
    ...(c.blobs === undefined
      ? {}
      : {
          blobs: c.blobs.map((b) => ({
            kind: b.kind,
            compression: b.compression,
            raw: Buffer.from(b.raw).toString('hex'),
            stored: Buffer.from(b.stored).toString('hex'),
            chunks: (b.chunks ?? []).map((chunk) => ({
              ...chunk,
              id: Buffer.from(chunk.id).toString('hex'),
            })),
          })),
        }),
  })),
})

const BOX_KEY = named('box key')
const AAD = ascii('moyai/vector')
function box(plaintext: Uint8Array, salt: Uint8Array): Bytes {
  const both = hkdf({ key: BOX_KEY, salt, label: 'box', length: 64 })
  const body = gcm({ key: both.subarray(0, 32), nonce: 0, aad: AAD, plaintext })
  return cat(salt, both.subarray(32), body)
}
const BOX = box(ROPE, named('box salt'))
const boxes: {
  name: string
  box: Uint8Array
  expect: string
  key?: Uint8Array
  aad?: Uint8Array
  max?: number
}[] = [
  { name: 'a box', box: BOX, expect: 'ok' },
  { name: 'an empty box', box: box(Buffer.alloc(0), named('s')), expect: 'ok' },
  { name: 'other key', box: BOX, key: named('other'), expect: 'SEAL_MISMATCH' },
  { name: 'other authenticated data', box: BOX, aad: ascii('moyai/x'), expect: 'SEAL_MISMATCH' },
  { name: 'salt', box: flip(BOX, 0), expect: 'SEAL_MISMATCH' },
  { name: 'commitment', box: flip(BOX, 63), expect: 'SEAL_MISMATCH' },
  { name: 'ciphertext', box: flip(BOX, 64), expect: 'SEAL_MISMATCH' },
  { name: 'tag', box: flip(BOX, -1), expect: 'SEAL_MISMATCH' },
  { name: 'too short', box: BOX.subarray(0, 79), expect: 'TRUNCATED' },
  { name: 'too large', box: BOX, max: ROPE.length - 1, expect: 'TOO_LARGE' },
]
writeVectors(import.meta, 'box.json', {
  format: 'box',
  spec: 'spec/pack.md',
  cases: boxes.map((b) => ({
    name: b.name,
    expect: b.expect,
    key: Buffer.from(b.key ?? BOX_KEY).toString('hex'),
    aad: Buffer.from(b.aad ?? AAD).toString('hex'),
    plaintextMax: b.max ?? 1000,
    box: Buffer.from(b.box).toString('hex'),
    ...(b.expect === 'ok'
      ? { plaintext: b.name === 'a box' ? Buffer.from(ROPE).toString('hex') : '' }
      : {}),
  })),
})
