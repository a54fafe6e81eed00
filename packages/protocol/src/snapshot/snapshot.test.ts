import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex, utf8 } from '../bytes.ts'
import { decodeCbor } from '../cbor/index.ts'
import { MoyaiError } from '../errors.ts'
import { INDEX_SEGMENT_BYTES_MAX, PACK_HEADER_BYTES } from '../limits.ts'
import type { BlobEntry } from '../pack/index.ts'
import {
  decodeIndexSegment,
  decodeSnapshot,
  encodeIndexSegment,
  encodeSnapshot,
  indexSegments,
  type IndexPack,
  type Snapshot,
} from './index.ts'

const VECTORS = new URL('../../../../test/vectors/snapshot/', import.meta.url)

const minimal: Snapshot = {
  time: 0,
  source: 'home',
  paths: [],
  hostname: '',
  username: '',
  tags: [],
  root: {
    name: new Uint8Array(0),
    type: 'directory',
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: 0n,
    size: 0,
  },
  stats: { files: 0, directories: 1, others: 0, bytes: 0, errors: 0 },
  indexPacks: [],
  program: '',
  excludes: [],
  partial: false,
}

const text = (max: number): fc.Arbitrary<string> =>
  fc
    .string({ unit: 'grapheme', maxLength: max })
    .filter((value) => value.length <= 255 && !value.startsWith('\uFEFF'))
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })
const snapshot: fc.Arbitrary<Snapshot> = fc
  .tuple(
    fc.nat(),
    fc.array(text(20), { maxLength: 3 }),
    fc.array(hash, { maxLength: 3 }),
    fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 3 }),
    fc.boolean(),
    fc.option(hash, { nil: undefined }),
  )
  .map(([time, texts, packs, paths, partial, parent]) => ({
    ...minimal,
    time,
    source: texts[0] || 'source',
    paths,
    hostname: texts[1] ?? '',
    tags: texts,
    excludes: texts,
    indexPacks: packs,
    stats: { ...minimal.stats, files: time, ...(partial ? { bytesNew: time } : {}) },
    partial,
    ...(parent === undefined ? {} : { parent }),
  }))

function blob(index: number, offset: number, ids: Uint8Array[]): BlobEntry {
  const chunks = ids.map((id, i) => ({ id, offset: 100 * i, length: 100 }))
  const rawLength = 100 * Math.max(ids.length, 1)
  const sealedLength = rawLength + 16
  return { index, kind: 'data', compression: 'none', offset, sealedLength, rawLength, chunks }
}

function packOf(fill: number, blobCount: number): IndexPack {
  const blobs: BlobEntry[] = []
  let offset = PACK_HEADER_BYTES
  for (let index = 0; index < blobCount; index++) {
    const one = blob(index, offset, [new Uint8Array(32).fill(fill), new Uint8Array(32).fill(index)])
    offset += one.sealedLength
    blobs.push(one)
  }
  return {
    pack: new Uint8Array(32).fill(fill),
    salt: new Uint8Array(32).fill(fill + 1),
    packClass: fill % 2 === 0 ? 'data' : 'meta',
    length: 4 << 20,
    stripe: new Uint8Array(300).fill(fill),
    blobs,
  }
}

test('a snapshot comes back as it was', () => {
  fc.assert(
    fc.property(snapshot, (one) => {
      const bytes = encodeSnapshot(one)
      assert.deepEqual(decodeSnapshot(bytes), one)
      decodeCbor(bytes, { bytesMax: bytes.length })
    }),
  )
})

test('a snapshot cut short anywhere, or random bytes, give a MoyaiError', () => {
  const bytes = encodeSnapshot({ ...minimal, tags: ['a'], parent: new Uint8Array(32) })
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => decodeSnapshot(bytes.subarray(0, length)), MoyaiError)
    assert.throws(() => decodeIndexSegment(bytes.subarray(0, length)), MoyaiError)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (random) => {
      assert.throws(() => decodeSnapshot(random), MoyaiError)
      assert.throws(() => decodeIndexSegment(random), MoyaiError)
    }),
  )
})

test('what is outside its limits is refused on the way in, with a code', () => {
  const named = { ...minimal.root, name: utf8('x') }
  assert.throws(() => encodeSnapshot({ ...minimal, root: named }), { code: 'MALFORMED' })
  const file = { ...minimal.root, type: 'file' as const }
  assert.throws(() => encodeSnapshot({ ...minimal, root: file }), { code: 'MALFORMED' })
  assert.throws(() => encodeSnapshot({ ...minimal, source: '' }), { code: 'MALFORMED' })
  for (const tag of ['\uFEFFtag', '\ud800', 'x'.repeat(256)]) {
    assert.throws(() => encodeSnapshot({ ...minimal, tags: [tag] }), { code: 'MALFORMED' })
    assert.throws(() => encodeSnapshot({ ...minimal, source: tag }), { code: 'MALFORMED' })
  }
  assert.throws(() => encodeSnapshot({ ...minimal, time: -1 }), { code: 'MALFORMED' })
  const excludes = Array.from({ length: 1024 }, () => 'x'.repeat(4096))
  assert.throws(() => encodeSnapshot({ ...minimal, excludes }), { code: 'TOO_LARGE' })
})

test('index segments come back, in order, and split where they grow large', () => {
  const packs = [packOf(1, 3), packOf(2, 1), packOf(3, 0)]
  assert.deepEqual(decodeIndexSegment(encodeIndexSegment(packs)), packs)
  const many = Array.from({ length: 60 }, (_, i) => packOf(i, 300))
  const segments = [...indexSegments(many)]
  assert.ok(segments.length > 1)
  assert.ok(segments.every((segment) => segment.length <= INDEX_SEGMENT_BYTES_MAX))
  assert.deepEqual(segments.flatMap(decodeIndexSegment), many)
  assert.deepEqual([...indexSegments([])], [])
})

test('an index segment cut short anywhere is refused', () => {
  const segment = encodeIndexSegment([packOf(1, 2)])
  for (let length = 0; length < segment.length; length++) {
    assert.throws(() => decodeIndexSegment(segment.subarray(0, length)), MoyaiError)
  }
})

test('the vectors of snapshots and index segments hold', () => {
  type Case = { name: string; hex: string; expect: string; source?: string; packs?: string[] }
  const read = (name: string): Case[] => {
    const json = readFileSync(new URL(name, VECTORS), 'utf8')
    return (JSON.parse(json) as { cases: Case[] }).cases
  }
  for (const one of read('snapshots.json')) {
    const bytes = fromHex(one.hex)
    if (one.expect === 'ok') {
      const decoded = decodeSnapshot(bytes)
      assert.equal(decoded.source, one.source, one.name)
      assert.equal(toHex(encodeSnapshot(decoded)), one.hex, one.name)
    } else assert.throws(() => decodeSnapshot(bytes), { code: one.expect }, one.name)
  }
  for (const one of read('index-segments.json')) {
    const bytes = fromHex(one.hex)
    if (one.expect === 'ok') {
      const packs = decodeIndexSegment(bytes)
      assert.deepEqual(
        packs.map((pack) => toHex(pack.pack)),
        one.packs,
        one.name,
      )
      assert.equal(toHex(encodeIndexSegment(packs)), one.hex, one.name)
    } else assert.throws(() => decodeIndexSegment(bytes), { code: one.expect }, one.name)
  }
})
