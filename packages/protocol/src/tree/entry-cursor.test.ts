import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { toHex, utf8 } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'
import {
  decodeEntryAt,
  decodePage,
  type DraftFields,
  DraftWriter,
  EntryCursor,
  equalStamps,
  PageWriter,
  pageEntriesEnd,
  STAMP,
  STAMP_WORDS,
  stampNumber,
  type Entry,
} from './index.ts'
import { RawCborReader, RawCborWriter } from './raw-cbor.ts'
import { bytes, entry, INT64, pagesOf, sortedUnique, uint64 } from './testing/entries.ts'

const int64 = fc.bigInt(INT64)
const entries = fc.array(entry, { minLength: 1, maxLength: 6 }).map(sortedUnique)

function words(value: bigint): [number, number] {
  return [Number(BigInt.asIntN(32, value >> 32n)), Number(BigInt.asIntN(32, value))]
}

function stampOf(of: Entry): Int32Array {
  const { mtime, ctime = 0n, inode = 0n, device = 0n, size } = of
  const stamp = new Int32Array(STAMP_WORDS)
  stamp.set(words(mtime), STAMP.mtime)
  stamp.set(words(ctime), STAMP.ctime)
  stamp.set(words(inode), STAMP.inode)
  stamp.set(words(device), STAMP.device)
  stamp.set(words(BigInt(size)), STAMP.size)
  return stamp
}

function rangeHex(of: EntryCursor, start: number, end: number): string {
  return toHex(of.bytes.subarray(start, end))
}

/** Everything that the cursor says of its entry is as the decoded entry has it. */
function agrees(cursor: EntryCursor, one: Entry): void {
  const none = new Uint8Array()
  assert.equal(rangeHex(cursor, cursor.nameStart, cursor.nameEnd), toHex(one.name))
  assert.equal(rangeHex(cursor, cursor.chunksStart, cursor.chunksEnd), toHex(one.chunks ?? none))
  assert.equal(rangeHex(cursor, cursor.listStart, cursor.listEnd), toHex(one.list ?? none))
  assert.equal(cursor.type, one.type)
  assert.equal(cursor.hasError, one.error !== undefined)
  const { ctime, inode, device } = one
  assert.equal(cursor.hasStamp, ![ctime, inode, device].includes(undefined))
  if (!cursor.hasStamp) return
  assert.ok(equalStamps(cursor.stamp, stampOf(one)))
  const size = Number(one.size)
  assert.equal(stampNumber(cursor.stamp, STAMP.size), size)
}

test('a cursor says of every entry of a page what decoding it says', () => {
  fc.assert(
    fc.property(entries, (made) => {
      const page = pagesOf(made)[0]!
      const cursor = new EntryCursor()
      cursor.open(page)
      for (const one of decodePage(page)) {
        assert.ok(cursor.next())
        agrees(cursor, one)
        assert.deepEqual(decodeEntryAt(page, cursor), one)
        const again = new EntryCursor()
        again.at(page.slice(cursor.start, cursor.end), 0)
        agrees(again, one)
      }
      assert.equal(cursor.next(), false)
      assert.equal(cursor.end, pageEntriesEnd(page))
    }),
    { numRuns: 500 },
  )
})

/** Goes over `page`; gives the ends of the entries that were there. */
function stepOver(page: Uint8Array): number[] {
  const ends: number[] = []
  const cursor = new EntryCursor()
  try {
    cursor.open(page)
    while (cursor.next()) ends.push(cursor.end)
  } catch (error) {
    assert.ok(error instanceof MoyaiError, String(error))
  }
  for (const end of ends) assert.ok(end <= page.length, 'nothing is beyond the page')
  return ends
}

test('a cursor stays within pages that were cut short, changed, or are none', () => {
  fc.assert(
    fc.property(entries, (made) => {
      const page = pagesOf(made)[0]!
      for (let length = 0; length < page.length; length++) {
        const cut = page.subarray(0, length)
        const hasTail = toHex(cut.subarray(-3)) === '617601'
        if (!hasTail) assert.throws(() => new EntryCursor().open(cut), MoyaiError)
        stepOver(cut)
        stepOver(new Uint8Array([...cut, ...page.subarray(-3)]))
      }
    }),
    { numRuns: 10 },
  )
  fc.assert(fc.property(bytes(0, 200), (page) => void stepOver(page)))
  const head = [0xa2, 0x61, 0x65]
  fc.assert(
    fc.property(bytes(0, 60), (rest) => {
      stepOver(new Uint8Array([...head, ...rest, 0x61, 0x76, 1]))
    }),
    { numRuns: 2000 },
  )
  fc.assert(
    fc.property(entries, fc.nat(), fc.nat(255), (made, at, value) => {
      const page = pagesOf(made)[0]!
      page[at % page.length] = value
      stepOver(page)
    }),
    { numRuns: 3000 },
  )
})

test('a page of a later version is not read', () => {
  const page = pagesOf([{ ...plainFile, name: utf8('a') }])[0]!
  page[page.length - 1] = 2
  assert.throws(() => new EntryCursor().open(page), { code: 'UNKNOWN_VERSION' })
})

const plainFile: Entry = {
  name: utf8('name'),
  type: 'file',
  mode: 0o644,
  uid: 1,
  gid: 1,
  mtime: 1n,
  size: 0,
}

test('entries that are copied from a page make the page that adding them makes', () => {
  fc.assert(
    fc.property(entries, fc.array(fc.boolean()), (made, isCopied) => {
      const page = pagesOf(made)[0]!
      const again: Uint8Array[] = []
      const writer = new PageWriter({ emit: (one) => void again.push(one) })
      const cursor = new EntryCursor()
      cursor.open(page)
      for (const [i, one] of made.entries()) {
        cursor.next()
        if (isCopied[i] === true) writer.addEncoded(page, cursor)
        else writer.add(one)
      }
      writer.end()
      assert.deepEqual(again.map(toHex), [toHex(page)])
    }),
    { numRuns: 300 },
  )
})

test('many copied entries are cut into the pages that adding them makes', () => {
  const names = Array.from({ length: 9000 }, (_, i) => utf8(`n${String(i).padStart(150, '0')}`))
  const pages = pagesOf(names.map((name) => ({ ...plainFile, name })))
  assert.ok(pages.length > 3)
  const again: Uint8Array[] = []
  const writer = new PageWriter({ emit: (page) => void again.push(page) })
  const cursor = new EntryCursor()
  for (const page of pages) {
    cursor.open(page)
    while (cursor.next()) writer.addEncoded(page, cursor)
  }
  writer.end()
  assert.deepEqual(again, pages)
})

const owner = fc.option(fc.string({ unit: 'grapheme', maxLength: 60 }), { nil: undefined })
const uint32 = fc.nat(0xffff_ffff)
const drafted = fc.record({
  name: fc
    .array(fc.integer({ min: 0x30, max: 0xff }), { minLength: 1, maxLength: 255 })
    .map((codes) => Uint8Array.from(codes)),
  isFile: fc.boolean(),
  mode: fc.nat(0o7777),
  uid: uint32,
  gid: uint32,
  user: owner,
  group: owner,
  links: uint32,
  times: fc.tuple(int64, int64, int64),
  inode: uint64,
  device: uint64,
  size: fc.bigInt({ min: 1n, max: INT64.max }),
  chunks: fc.integer({ min: 0, max: 5 }).chain((count) => bytes(32 * count, 32 * count)),
})

/** A size as a decoder gives it. */
function asDecoded(size: bigint): bigint | number {
  return size <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(size) : size
}

test('a draft with its chunks is what adding the entry makes', () => {
  const drafts = new DraftWriter()
  fc.assert(
    fc.property(drafted, (o) => {
      const [mtime, ctime, btime] = o.times
      const { mode, uid, gid, user, group, links, inode, device, name } = o
      const hasChunks = o.chunks.length > 0
      const size = o.isFile && hasChunks ? asDecoded(o.size) : 0
      const one: Entry = {
        name,
        type: o.isFile ? 'file' : 'directory',
        mode,
        uid,
        gid,
        mtime,
        size,
      }
      Object.assign(one, { ctime, btime, links, inode, device })
      if (user !== undefined) one.user = user
      if (group !== undefined) one.group = group
      const [btimeHigh, btimeLow] = words(btime)
      const { type } = one
      assert.ok(type === 'file' || type === 'directory')
      const stamp = stampOf(one)
      const fields: DraftFields = {
        type,
        mode,
        uid,
        gid,
        user,
        group,
        links,
        btimeHigh,
        btimeLow,
        stamp,
      }
      const draft = drafts.write(Buffer.from(name).toString('latin1'), fields)
      assert.deepEqual(decodeEntryAt(draft.bytes, draft), one)
      if (hasChunks) one.chunks = o.chunks
      const made: Uint8Array[] = []
      const writer = new PageWriter({ emit: (page) => void made.push(page) })
      writer.addDraft(draft, one.chunks)
      writer.end()
      assert.deepEqual(made.map(toHex), pagesOf([one]).map(toHex))
      assert.equal(rangeHexOf(draft), toHex(name))
    }),
    { numRuns: 500 },
  )
})

function rangeHexOf(of: { bytes: Uint8Array; nameStart: number; nameEnd: number }): string {
  return toHex(of.bytes.subarray(of.nameStart, of.nameEnd))
}

test('drafts stay as they are while others are written', () => {
  const drafts = new DraftWriter()
  const stamp = new Int32Array(STAMP_WORDS)
  const fields: DraftFields = {
    type: 'file',
    mode: 0o644,
    uid: 1,
    gid: 2,
    user: 'anna',
    group: 'office',
    links: 1,
    btimeHigh: 0,
    btimeLow: 0,
    stamp,
  }
  const names = Array.from({ length: 3000 }, (_, i) => `file ${i}`)
  const made = names.map((name) => drafts.write(name, fields))
  for (const [i, draft] of made.entries()) assert.equal(rangeHexOf(draft), toHex(utf8(names[i]!)))
})

test('numbers given as words are encoded as those given as bigints, texts as their bytes', () => {
  const encoded = (write: (to: RawCborWriter) => void): string => {
    const to = new RawCborWriter(1)
    write(to)
    return toHex(to.copy())
  }
  const edges = [0n, 23n, 24n, 255n, 256n, 65_535n, 65_536n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n]
  for (const edge of [...edges, ...edges.map((value) => ~value), INT64.min, INT64.max]) {
    assert.equal(
      encoded((to) => to.int64Words(...words(edge))),
      encoded((to) => to.int64(edge)),
    )
  }
  fc.assert(
    fc.property(int64, uint64, (signed, unsigned) => {
      const hex = encoded((to) => to.int64Words(...words(signed)))
      assert.equal(
        hex,
        encoded((to) => to.int64(signed)),
      )
      assert.equal(new RawCborReader(Buffer.from(hex, 'hex'), 'test').int64(), signed)
      assert.equal(
        encoded((to) => to.uint64Words(...words(unsigned))),
        encoded((to) => to.uint64(unsigned)),
      )
    }),
  )
  fc.assert(
    fc.property(bytes(0, 600), fc.nat(600), fc.nat(600), (value, a, b) => {
      const text = Buffer.from(value).toString('latin1')
      assert.equal(
        encoded((to) => to.latin1(text)),
        encoded((to) => to.bytes(value)),
      )
      const [from, end] = [a, b].map((at) => Math.min(at, value.length)).sort((x, y) => x - y)
      assert.equal(
        encoded((to) => to.rawRange(value, from!, end!)),
        toHex(value.subarray(from, end)),
      )
    }),
  )
})
