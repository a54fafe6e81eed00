import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as dagCbor from '@ipld/dag-cbor'
import * as fc from 'fast-check'
import { fromHex, toHex, utf8 } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'
import { CHUNK_LIST_IDS_MAX, TREE_PAGE_BYTES_MAX } from '../limits.ts'
import {
  chunkListPages,
  decodeChunkList,
  decodePage,
  decodeRootEntry,
  encodeChunkList,
  encodeRootEntry,
  ENTRY_TYPES,
  PageWriter,
  type Entry,
} from './index.ts'
import { bytes, entry, pagesOf, sortedUnique, without } from './testing/entries.ts'

const VECTORS = new URL('../../../../test/vectors/tree/', import.meta.url)

/** The same entry as a plain value for the reference encoder. */
function plain(of: Entry): Record<string, unknown> {
  return without({
    A: of.atime,
    B: of.btime,
    C: of.ctime,
    D: of.securityDescriptor,
    E: of.error,
    F: of.flags,
    G: of.group,
    L: of.list,
    M: of.mtime,
    O: of.objectId,
    P: of.project,
    R: of.reparse,
    S: of.streams?.map((s) => [
      s.name,
      s.size,
      s.chunks ?? new Uint8Array(0),
      s.list ?? new Uint8Array(0),
    ]),
    T: ENTRY_TYPES.indexOf(of.type),
    U: of.user,
    W: of.windowsAttributes,
    a: of.acl,
    b: of.bsdFlags,
    c: of.chunks,
    d: of.device,
    g: of.gid,
    h: of.holes?.map((hole) => [hole.offset, hole.length]),
    i: of.inode,
    k: of.shortName,
    l: of.links,
    m: of.mode,
    n: of.name,
    r: of.rdev,
    s: of.size,
    t: of.target,
    u: of.uid,
    v: of.caseSensitive,
    x: of.xattrs?.map((xattr) => [xattr.name, xattr.value]),
  })
}

const file = (text: string, more: Partial<Entry> = {}): Entry => ({
  name: utf8(text),
  type: 'file',
  mode: 0o644,
  uid: 1000,
  gid: 1000,
  mtime: 1_790_000_000_123_456_789n,
  size: 0,
  ...more,
})

function refuses(run: () => unknown): void {
  assert.throws(run, MoyaiError)
}

/** Decodes `page`, or gets a MoyaiError; what is accepted must be canonical. */
function acceptsOnlyCanonical(page: Uint8Array): void {
  let entries: Entry[]
  try {
    entries = [...decodePage(page)]
  } catch (error) {
    assert.ok(error instanceof MoyaiError, String(error))
    return
  }
  assert.equal(toHex(dagCbor.encode({ e: entries.map(plain), v: 1 })), toHex(page))
}

test('a page is byte for byte what the reference DAG-CBOR encoder makes, and comes back equal', () => {
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 6 }), (made) => {
      const entries = sortedUnique(made)
      const pages = pagesOf(entries)
      assert.equal(pages.length, 1)
      const reference = dagCbor.encode({ e: entries.map(plain), v: 1 })
      assert.equal(toHex(pages[0]!), toHex(reference))
      assert.deepEqual([...decodePage(pages[0]!)], entries)
    }),
    { numRuns: 300 },
  )
})

test('every page cut short at any byte is refused', () => {
  fc.assert(
    fc.property(entry, (one) => {
      const page = pagesOf([one])[0]!
      for (let length = 0; length < page.length; length++) {
        refuses(() => [...decodePage(page.subarray(0, length))])
      }
      refuses(() => [...decodePage(new Uint8Array([...page, 0]))])
    }),
    { numRuns: 20 },
  )
})

test('random and changed bytes give entries or a MoyaiError, and what is accepted is canonical', () => {
  fc.assert(fc.property(bytes(0, 200), acceptsOnlyCanonical), { numRuns: 500 })
  fc.assert(
    fc.property(entry, fc.nat(), fc.integer({ min: 0, max: 255 }), (one, at, value) => {
      const page = pagesOf([one])[0]!
      page[at % page.length] = value
      acceptsOnlyCanonical(page)
    }),
    { numRuns: 2000 },
  )
})

test('a directory of many names is cut where its names say, so one new file changes one page', () => {
  const names = Array.from({ length: 20_000 }, (_, i) => `photo-${String(i).padStart(6, '0')}.jpg`)
  const content = new Uint8Array(32).fill(1)
  const before = pagesOf(names.map((one) => file(one, { size: 1, chunks: content })))
  assert.ok(before.length > 5, `${before.length} pages`)
  const more = [...names, 'photo-000777b.jpg'].sort()
  const after = pagesOf(more.map((one) => file(one, { size: 1, chunks: content })))
  const known = new Set(before.map(toHex))
  assert.ok(after.filter((page) => !known.has(toHex(page))).length <= 2)
  let last: Uint8Array | undefined
  let count = 0
  for (const page of after) {
    assert.ok(page.length <= TREE_PAGE_BYTES_MAX)
    for (const one of decodePage(page, last)) {
      last = one.name
      count++
    }
  }
  assert.equal(count, more.length)
})

test('order holds over pages, too', () => {
  const page = pagesOf([file('b')])[0]!
  assert.equal([...decodePage(page, utf8('a'))].length, 1)
  assert.throws(() => [...decodePage(page, utf8('b'))], { code: 'MALFORMED' })
  assert.throws(() => [...decodePage(page, utf8('c'))], { code: 'MALFORMED' })
})

test('entries with the largest fields fit pages, and larger ones are refused before they are added', () => {
  const xattrs = Array.from({ length: 7 }, (_, i) => ({
    name: utf8(`user.${i}`),
    value: new Uint8Array(65_536),
  }))
  const large = (text: string): Entry => file(text, { xattrs })
  const pages = pagesOf([large('a'), large('b'), large('c'), file('d')])
  assert.deepEqual(
    pages.map((page) => [...decodePage(page)].length),
    [2, 2],
  )
  const pages2: Uint8Array[] = []
  const writer = new PageWriter({ emit: (page) => void pages2.push(page) })
  writer.add(file('a'))
  const tooLarge = file('b', {
    xattrs: [...xattrs, { name: utf8('user.8'), value: new Uint8Array(65_536) }],
  })
  assert.throws(() => writer.add(tooLarge), { code: 'TOO_LARGE' })
  writer.add(file('c'))
  writer.end()
  assert.deepEqual([...decodePage(pages2[0]!)], [file('a'), file('c')])
})

test('names that could lead outside a directory are refused by writer and reader', () => {
  for (const bad of ['', '.', '..', 'a/b', '/', 'a\0b', 'x'.repeat(1025)]) {
    refuses(() => pagesOf([file(bad)]))
    const page = dagCbor.encode({ e: [plain(file(bad))], v: 1 })
    refuses(() => [...decodePage(page)])
  }
  // What one platform forbids and another allows is kept: a backslash, a device name, an unpaired
  // surrogate (WTF-8).
  for (const good of [utf8('a\\b'), utf8('CON'), utf8('...'), fromHex('eda080')]) {
    assert.deepEqual([...decodePage(pagesOf([file('', { name: good })])[0]!)][0]?.name, good)
  }
})

test('a root entry has no name, stands alone, and keeps every field', () => {
  fc.assert(
    fc.property(entry, (one) => {
      const root = { ...one, name: new Uint8Array(0) }
      assert.deepEqual(decodeRootEntry(encodeRootEntry(root)), root)
      assert.throws(() => encodeRootEntry(one), { code: 'MALFORMED' })
    }),
  )
})

test('chunk lists come back, and a change in the middle leaves most pages as they were', () => {
  let state = 1
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state >>> 24
  }
  const all = Uint8Array.from({ length: 32 * 50_000 }, random)
  const pages = [...chunkListPages(all)]
  const joined = pages.map((page) => toHex(decodeChunkList(page))).join('')
  assert.equal(joined, toHex(all))
  assert.ok(pages.length >= 5)
  const changed = new Uint8Array(all)
  changed[32 * 25_000] = (changed[32 * 25_000] as number) ^ 1
  const known = new Set(pages.map(toHex))
  assert.equal([...chunkListPages(changed)].filter((page) => !known.has(toHex(page))).length, 1)
  const page = encodeChunkList(all.subarray(0, 64))
  for (let i = 0; i < page.length; i++) refuses(() => decodeChunkList(page.subarray(0, i)))
  const long = dagCbor.encode({ c: new Uint8Array(32 * (CHUNK_LIST_IDS_MAX + 1)), v: 1 })
  assert.throws(() => decodeChunkList(long), { code: 'TOO_LARGE' })
})

test('the vectors of the tree format hold', () => {
  type Case = { name: string; hex: string; expect: string; entries?: unknown[]; after?: string }
  const { cases } = JSON.parse(readFileSync(new URL('pages.json', VECTORS), 'utf8')) as {
    cases: Case[]
  }
  assert.ok(cases.length > 20)
  for (const one of cases) {
    const after = one.after === undefined ? undefined : fromHex(one.after)
    const decode = (): Entry[] => [...decodePage(fromHex(one.hex), after)]
    if (one.expect === 'ok') {
      const entries = decode()
      assert.deepEqual(entries.map(toJson), one.entries, one.name)
      assert.equal(toHex(pagesOf(entries)[0]!), one.hex, one.name)
    } else assert.throws(decode, { code: one.expect }, one.name)
  }
})

test('the vectors of root entries and list pages hold', () => {
  type Case = { name: string; hex: string; expect: string; entry?: unknown; ids?: string }
  const read = (path: string): Case[] => {
    const json = readFileSync(new URL(path, VECTORS), 'utf8')
    return (JSON.parse(json) as { cases: Case[] }).cases
  }
  for (const one of read('roots.json')) {
    const decode = (): Entry => decodeRootEntry(fromHex(one.hex))
    if (one.expect === 'ok') {
      assert.deepEqual(toJson(decode()), one.entry, one.name)
      assert.equal(toHex(encodeRootEntry(decode())), one.hex, one.name)
    } else assert.throws(decode, { code: one.expect }, one.name)
  }
  for (const one of read('chunk-lists.json')) {
    const decode = (): Uint8Array => decodeChunkList(fromHex(one.hex))
    if (one.expect === 'ok') {
      assert.equal(toHex(decode()), one.ids, one.name)
      assert.equal(toHex(encodeChunkList(decode())), one.hex, one.name)
    } else assert.throws(decode, { code: one.expect }, one.name)
  }
})

/** Bytes as hex and 64-bit integers as decimal texts, as the vectors have them. */
function toJson(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return toHex(value)
  if (Array.isArray(value)) return value.map(toJson)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item)]))
  }
  return value
}
