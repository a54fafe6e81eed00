import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { zstdCompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { AssertionError } from '../assert.ts'
import { equalBytes, fromHex, toHex, utf8 } from '../bytes.ts'
import { isMoyaiError, MoyaiError } from '../errors.ts'
import {
  BLOB_CHUNKS_MAX,
  CHUNK_BYTES_MAX,
  PACK_BLOBS_MAX,
  PACK_FOOTER_BYTES,
  PACK_HEADER_BYTES,
  SEGMENT_BYTES_MAX,
  SHARD_LENGTH_MAX,
  SHARD_LENGTHS,
} from '../limits.ts'
import { PackBuilder, shardLengthFor, type BlobInput } from './builder.ts'
import { compressBlob } from './compress.ts'
import { decodeBlobEntries, encodeBlobEntries, type BlobEntry } from './directory.ts'
import { packHeader, parsePackHeader } from './keys.ts'
import { openBlob, PackReader, readPackDirectory } from './reader.ts'

type BlobVector = {
  kind: BlobInput['kind']
  compression: BlobInput['compression']
  raw: string
  stored: string
  chunks: { id: string; offset: number; length: number }[]
}
type PackVector = {
  name: string
  expect: string
  failsAt?: 'directory' | number
  dataKey: string
  vault: string
  pack: string
  blobs?: BlobVector[]
}

const VECTORS = JSON.parse(
  readFileSync(new URL('../../../../test/vectors/pack/pack.json', import.meta.url), 'utf8'),
) as { cases: PackVector[] }

const DATA_KEY = new Uint8Array(32).fill(1)
const VAULT = new Uint8Array(32).fill(2)
const SALT = new Uint8Array(32).fill(3)
const SECRET = { dataKey: DATA_KEY, vault: VAULT }

/** Bytes that do not compress, the same for the same seed. */
function noise(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed | 0 || 1
  for (let i = 0; i < length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[i] = state & 0xff
  }
  return bytes
}

function idOf(n: number): Uint8Array {
  const id = new Uint8Array(32)
  new DataView(id.buffer).setUint32(0, n)
  return id
}

function builderOf(buffer: Uint8Array, salt = SALT): PackBuilder {
  return new PackBuilder({ buffer, ...SECRET, packClass: 'data', salt })
}

function inputOf(raw: Uint8Array, kind: BlobInput['kind'] = 'data'): BlobInput {
  const target = new Uint8Array(raw.length)
  const { compression, length } = compressBlob(raw, { level: 1, target })
  const sealedInput = target.subarray(0, length)
  const chunks = [{ id: idOf(raw.length), offset: 0, length: raw.length }]
  return { kind, compression, sealedInput, rawLength: raw.length, chunks }
}

function packOf(raws: readonly Uint8Array[], length: number, salt = SALT): Uint8Array {
  const buffer = new Uint8Array(length)
  const builder = builderOf(buffer, salt)
  for (const raw of raws) assert.ok(builder.add(inputOf(raw)))
  builder.finish(length)
  return buffer
}

function sealedOf(pack: Uint8Array, entry: BlobEntry): Uint8Array {
  return pack.subarray(entry.offset, entry.offset + entry.sealedLength)
}

/** The raw bytes of every blob of a pack. */
function readAll(pack: Uint8Array): Uint8Array[] {
  const directory = readPackDirectory({ pack, ...SECRET })
  const reader = new PackReader({ header: pack, ...SECRET })
  return directory.blobs.map((entry) => reader.open(entry, sealedOf(pack, entry)))
}

const RAWS = [utf8('moyai'), utf8('the rope that moors boats '.repeat(20)), noise(60)]
const SMALL = packOf(RAWS, 1024)

function assertBlob(
  o: { entry: BlobEntry; raw: Uint8Array; expected: BlobVector },
  name: string,
): void {
  const { kind, compression, chunks } = o.expected
  assert.equal(toHex(o.raw), o.expected.raw, name)
  assert.equal(o.entry.kind, kind, name)
  assert.equal(o.entry.compression, compression, name)
  const given = chunks.map((chunk) => ({ ...chunk, id: fromHex(chunk.id) }))
  assert.deepEqual(o.entry.chunks, given, name)
}

test('pack vectors: what another writer made opens, what it broke is refused', () => {
  assert.ok(VECTORS.cases.length > 60)
  for (const vector of VECTORS.cases) {
    const pack = fromHex(vector.pack)
    const secret = { dataKey: fromHex(vector.dataKey), vault: fromHex(vector.vault) }
    const read = (): BlobEntry[] => readPackDirectory({ pack, ...secret }).blobs
    if (vector.failsAt === 'directory') {
      assert.throws(read, { code: vector.expect }, vector.name)
      continue
    }
    const entries: readonly BlobEntry[] = read()
    for (const entry of entries) {
      const open = (): Uint8Array =>
        openBlob({ header: pack, ...secret, entry, sealed: sealedOf(pack, entry) })
      if (vector.failsAt === entry.index) {
        assert.throws(open, { code: vector.expect }, vector.name)
        continue
      }
      const raw = open()
      const expected = vector.blobs?.[entry.index]
      if (expected !== undefined) assertBlob({ entry, raw, expected }, vector.name)
    }
    if (vector.blobs !== undefined) assert.equal(entries.length, vector.blobs.length, vector.name)
  }
})

test('pack vectors: our writer makes the same bytes', () => {
  for (const vector of VECTORS.cases) {
    if (vector.blobs === undefined) continue
    const pack = fromHex(vector.pack)
    const { packClass, salt } = parsePackHeader(pack)
    const buffer = new Uint8Array(pack.length)
    const builder = new PackBuilder({
      buffer,
      dataKey: fromHex(vector.dataKey),
      vault: fromHex(vector.vault),
      packClass,
      salt,
    })
    for (const blob of vector.blobs) {
      const chunks = blob.chunks.map((chunk) => ({ ...chunk, id: fromHex(chunk.id) }))
      const { kind, compression } = blob
      const rawLength = blob.raw.length / 2
      const sealedInput = fromHex(blob.stored)
      assert.ok(builder.add({ kind, compression, sealedInput, rawLength, chunks }), vector.name)
    }
    builder.finish(pack.length)
    assert.equal(toHex(buffer), vector.pack, vector.name)
  }
})

test('any blobs come back from a pack of any length, in any memory', () => {
  const kinds = fc.constantFrom<BlobInput['kind']>('data', 'tree', 'list', 'index')
  const blob = fc.tuple(
    fc.uint8Array({ minLength: 1, maxLength: 400 }),
    fc.integer({ min: 1, max: 30 }),
    kinds,
  )
  fc.assert(
    fc.property(
      fc.array(blob, { maxLength: 12 }),
      fc.nat(5000),
      fc.boolean(),
      (list, extra, shared) => {
        const capacity = 200_000
        const memory = shared ? new SharedArrayBuffer(capacity) : new ArrayBuffer(capacity)
        const buffer = new Uint8Array(memory).fill(0xaa)
        const builder = builderOf(buffer)
        const raws = list.map(([bytes, times, kind]) => {
          const raw = new Uint8Array(bytes.length * times)
          for (let i = 0; i < times; i++) raw.set(bytes, i * bytes.length)
          return { raw, kind }
        })
        for (const { raw, kind } of raws) assert.ok(builder.add(inputOf(raw, kind)))
        assert.equal(builder.blobCount, raws.length)
        const length = builder.minLength() + extra
        const { directory } = builder.finish(length)
        const pack = buffer.subarray(0, length)
        assert.deepEqual(readPackDirectory({ pack, ...SECRET }), directory)
        for (const [index, entry] of directory.blobs.entries()) {
          const header = packHeader({ ...SECRET, packClass: 'data', salt: SALT })
          const raw = openBlob({ header, ...SECRET, entry, sealed: sealedOf(pack, entry) })
          assert.deepEqual(raw, raws[index]?.raw)
          assert.equal(entry.kind, raws[index]?.kind)
        }
        assert.ok(buffer.subarray(length).every((byte) => byte === 0xaa))
      },
    ),
    { numRuns: 60 },
  )
})

test('every single bit of header, blobs, directory and footer counts', () => {
  const { blobs } = readPackDirectory({ pack: SMALL, ...SECRET })
  const last = blobs.at(-1) as BlobEntry
  const paddingStart = last.offset + last.sealedLength
  const builder = builderOf(new Uint8Array(1024))
  for (const raw of RAWS) builder.add(inputOf(raw))
  const paddingEnd = 1024 - (builder.minLength() - builder.usedBytes)
  const changed = new Uint8Array(SMALL)
  for (let bit = 0; bit < SMALL.length * 8; bit++) {
    const at = bit >> 3
    if (at >= paddingStart && at < paddingEnd) continue
    changed[at] = (changed[at] as number) ^ (1 << (bit & 7))
    assert.throws(
      () => readAll(changed),
      (error: unknown) => isMoyaiError(error, 'SEAL_MISMATCH', 'MALFORMED', 'UNKNOWN_VERSION'),
      `bit ${bit}`,
    )
    changed[at] = SMALL[at] as number
  }
  assert.deepEqual(readAll(changed), RAWS)
})

test('every truncation of a pack and of a blob is refused', () => {
  const codes = ['TRUNCATED', 'SEAL_MISMATCH'] as const
  for (let length = 0; length < SMALL.length; length++) {
    const pack = SMALL.subarray(0, length)
    assert.throws(
      () => readPackDirectory({ pack, ...SECRET }),
      (error: unknown) => isMoyaiError(error, ...codes),
    )
  }
  const entry = readPackDirectory({ pack: SMALL, ...SECRET }).blobs[1] as BlobEntry
  const sealed = sealedOf(SMALL, entry)
  const reader = new PackReader({ header: SMALL, ...SECRET })
  for (let length = 0; length < sealed.length; length++) {
    assert.throws(() => reader.open(entry, sealed.subarray(0, length)), { code: 'TRUNCATED' })
    const shorter = { ...entry, sealedLength: length }
    assert.throws(
      () => reader.open(shorter, sealed.subarray(0, length)),
      (error: unknown) => isMoyaiError(error, 'SEAL_MISMATCH', 'MALFORMED'),
    )
  }
})

test('another data key or vault is known before anything is decrypted', () => {
  const mismatch = { code: 'SEAL_MISMATCH', message: /sealed with another key/ }
  for (const other of [{ dataKey: new Uint8Array(32) }, { vault: new Uint8Array(32) }]) {
    const secret = { ...SECRET, ...other }
    assert.throws(() => readPackDirectory({ pack: SMALL, ...secret }), mismatch)
    assert.throws(() => new PackReader({ header: SMALL, ...secret }), mismatch)
    const header = packHeader({ ...secret, packClass: 'data', salt: SALT })
    assert.ok(!equalBytes(header, SMALL.subarray(0, PACK_HEADER_BYTES)))
  }
})

test('a blob opens only at its own place, in its own pack, as its own kind', () => {
  const other = packOf(RAWS, 1024, new Uint8Array(32).fill(4))
  const entries = readPackDirectory({ pack: SMALL, ...SECRET }).blobs
  const reader = new PackReader({ header: SMALL, ...SECRET })
  const [first, second] = entries as [BlobEntry, BlobEntry]
  const mismatch = { code: 'SEAL_MISMATCH' }
  assert.throws(() => reader.open(first, sealedOf(other, first)), mismatch)
  assert.throws(() => reader.open({ ...first, index: 1 }, sealedOf(SMALL, first)), mismatch)
  assert.throws(() => reader.open({ ...second, index: 0 }, sealedOf(SMALL, second)), mismatch)
  assert.throws(() => reader.open({ ...first, kind: 'tree' }, sealedOf(SMALL, first)), mismatch)
})

test('an entry that lies about lengths is refused before or after decompression, never believed', () => {
  const [, entry] = readPackDirectory({ pack: SMALL, ...SECRET }).blobs as [BlobEntry, BlobEntry]
  assert.equal(entry.compression, 'zstd')
  const reader = new PackReader({ header: SMALL, ...SECRET })
  const lies: Partial<BlobEntry>[] = [
    { rawLength: entry.rawLength - 1, chunks: [] },
    { rawLength: entry.rawLength + 1, chunks: [] },
    { rawLength: CHUNK_BYTES_MAX + 1 },
    { rawLength: 0, chunks: [] },
    { compression: 'none' },
    { chunks: [{ id: idOf(0), offset: 0, length: entry.rawLength + 1 }] },
  ]
  for (const lie of lies) {
    assert.throws(() => reader.open({ ...entry, ...lie }, sealedOf(SMALL, entry)), {
      code: 'MALFORMED',
    })
  }
})

test('a decompression bomb, even one the owner sealed, costs no more than its stated length', () => {
  // 512 MiB of zeros in 16 KiB: opening must fail without ever holding them.
  const frame = zstdCompressSync(new Uint8Array(16 << 20))
  const bomb = new Uint8Array(frame.length * 32)
  for (let i = 0; i < 32; i++) bomb.set(frame, i * frame.length)
  const buffer = new Uint8Array(1 << 20)
  const builder = builderOf(buffer)
  const rawLength = 1 << 18
  assert.ok(bomb.length < rawLength)
  const blob: BlobInput = {
    kind: 'data',
    compression: 'zstd',
    sealedInput: bomb,
    rawLength,
    chunks: [],
  }
  assert.ok(builder.add(blob))
  builder.finish(buffer.length)
  const before = process.memoryUsage().arrayBuffers
  assert.throws(() => readAll(buffer), { code: 'MALFORMED' })
  assert.ok(process.memoryUsage().arrayBuffers - before < 8 << 20)
})

test('what does not fit changes nothing', () => {
  const buffer = new Uint8Array(4096)
  const builder = builderOf(buffer)
  assert.ok(builder.add(inputOf(noise(1000))))
  const before = [builder.usedBytes, builder.blobCount, builder.minLength()]
  assert.equal(builder.add(inputOf(noise(3000, 2))), false)
  assert.deepEqual([builder.usedBytes, builder.blobCount, builder.minLength()], before)
  assert.ok(builder.add(inputOf(noise(500, 3))))
  builder.finish(4096)
  assert.deepEqual(readAll(buffer), [noise(1000), noise(500, 3)])
})

test('minLength is exact: one byte more than fits is refused', () => {
  for (const size of [1, 23, 24, 200, 255, 256, 60_000]) {
    const probe = builderOf(new Uint8Array(100_000))
    assert.ok(probe.add(inputOf(noise(size))))
    const length = probe.minLength()
    const exact = new Uint8Array(length)
    const builder = builderOf(exact)
    assert.ok(builder.add(inputOf(noise(size))))
    builder.finish(length)
    assert.deepEqual(readAll(exact), [noise(size)])
    assert.equal(builderOf(new Uint8Array(length - 1)).add(inputOf(noise(size))), false)
  }
})

test('the largest chunk that does not compress fits a pack of one shard', () => {
  const raw = noise(CHUNK_BYTES_MAX)
  const buffer = new Uint8Array(SHARD_LENGTH_MAX)
  const builder = builderOf(buffer)
  assert.ok(builder.add(inputOf(raw)))
  assert.equal(shardLengthFor(builder.minLength(), 1), SHARD_LENGTH_MAX)
  builder.finish(SHARD_LENGTH_MAX)
  const [back] = readAll(buffer)
  assert.ok(back !== undefined && equalBytes(back, raw))
})

test('a segment of as many chunks as there may be comes back', () => {
  const raw = noise(SEGMENT_BYTES_MAX)
  const length = SEGMENT_BYTES_MAX / BLOB_CHUNKS_MAX
  const chunks = Array.from({ length: BLOB_CHUNKS_MAX }, (_, i) => ({
    id: idOf(i),
    offset: i * length,
    length,
  }))
  const buffer = new Uint8Array(SHARD_LENGTH_MAX)
  const builder = builderOf(buffer)
  const blob = {
    kind: 'data',
    compression: 'none',
    sealedInput: raw,
    rawLength: raw.length,
  } as const
  assert.ok(builder.add({ ...blob, chunks }))
  builder.finish(SHARD_LENGTH_MAX)
  const { blobs } = readPackDirectory({ pack: buffer, ...SECRET })
  assert.deepEqual(blobs[0]?.chunks, chunks)
  const more = [...chunks, { id: idOf(9), offset: 0, length: 1 }]
  assert.throws(() => builderOf(buffer).add({ ...blob, chunks: more }), AssertionError)
})

test('a pack holds PACK_BLOBS_MAX blobs and no more', () => {
  const buffer = new Uint8Array(SHARD_LENGTH_MAX)
  const builder = builderOf(buffer)
  const blob = inputOf(Uint8Array.of(1))
  for (let i = 0; i < PACK_BLOBS_MAX; i++) assert.ok(builder.add(blob))
  assert.equal(builder.add(blob), false)
  builder.finish(SHARD_LENGTH_MAX)
  assert.equal(readPackDirectory({ pack: buffer, ...SECRET }).blobs.length, PACK_BLOBS_MAX)
})

test('how full a pack is does not show: padding is as random as the rest, and differs by pack', () => {
  const padding = (salt: number): Uint8Array =>
    packOf([], 65_536, new Uint8Array(32).fill(salt)).subarray(PACK_HEADER_BYTES, 65_000)
  const bytes = padding(1)
  const counts = new Uint32Array(256)
  for (const byte of bytes) counts[byte] = (counts[byte] as number) + 1
  const expected = bytes.length / 256
  let chiSquare = 0
  for (const count of counts) chiSquare += (count - expected) ** 2 / expected
  // 255 degrees of freedom: mean 255, deviation 22.6.
  assert.ok(chiSquare > 140 && chiSquare < 370, `chi-square ${chiSquare}`)
  assert.ok(!equalBytes(padding(1), padding(2)))
})

test('entries travel as they are in index segments, too', () => {
  const { blobs } = readPackDirectory({ pack: SMALL, ...SECRET })
  const value = encodeBlobEntries(blobs)
  assert.deepEqual(decodeBlobEntries(value, 1024), blobs)
  const last = blobs.at(-1) as BlobEntry
  assert.throws(() => decodeBlobEntries(value, last.offset + last.sealedLength - 1), {
    code: 'MALFORMED',
  })
})

test('compression is used where it helps only, and level -1 is not taken for something else', () => {
  const text = utf8('in common, '.repeat(10_000))
  const target = new Uint8Array(CHUNK_BYTES_MAX + 1)
  assert.equal(compressBlob(text, { level: 1, target }).compression, 'zstd')
  const random = noise(100_000)
  const kept = compressBlob(random, { level: 1, target })
  assert.deepEqual(kept, { compression: 'none', length: random.length })
  assert.deepEqual(target.subarray(0, random.length), random)
  assert.equal(compressBlob(noise(1000), { level: 3, target }).compression, 'none')
  assert.throws(() => compressBlob(text, { level: -1, target }), AssertionError)
  assert.throws(() => compressBlob(new Uint8Array(0), { level: 1, target }), AssertionError)
  const long = new Uint8Array(CHUNK_BYTES_MAX + 1)
  assert.throws(() => compressBlob(long, { level: 1, target }), AssertionError)
  const narrow = target.subarray(0, text.length - 1)
  assert.throws(() => compressBlob(text, { level: 1, target: narrow }), AssertionError)
})

test('arbitrary bytes are refused as packs, with our errors only', () => {
  const header = SMALL.subarray(0, PACK_HEADER_BYTES)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, withHeader) => {
      const pack = withHeader ? new Uint8Array([...header, ...bytes]) : bytes
      try {
        readPackDirectory({ pack, ...SECRET })
        assert.fail('arbitrary bytes were a pack')
      } catch (error) {
        assert.ok(error instanceof MoyaiError)
      }
    }),
    { numRuns: 300 },
  )
})

test('shard lengths: the smallest that holds the bytes', () => {
  const [smallest, next] = SHARD_LENGTHS as [number, number]
  assert.equal(shardLengthFor(1, 1), smallest)
  assert.equal(shardLengthFor(smallest * 3, 3), smallest)
  assert.equal(shardLengthFor(smallest * 3 + 1, 3), next)
  assert.throws(() => shardLengthFor(SHARD_LENGTH_MAX + 1, 1), AssertionError)
})

test('a finished pack takes nothing more, and wrong lengths are our bug', () => {
  const builder = builderOf(new Uint8Array(1024))
  assert.throws(() => builder.finish(PACK_FOOTER_BYTES), AssertionError)
  assert.throws(() => builder.finish(1025), AssertionError)
  builder.finish(1024)
  assert.throws(() => builder.add(inputOf(utf8('x'))), AssertionError)
  assert.throws(() => builder.finish(1024), AssertionError)
})
