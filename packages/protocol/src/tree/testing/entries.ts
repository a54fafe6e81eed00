/** Entries of every kind, for property tests. */

import * as fc from 'fast-check'

import { compareBytes, utf8 } from '../../bytes.ts'
import { ENTRY_TYPES, PageWriter, type Entry } from '../index.ts'

/** Bounds of a signed number of 64 bits. */
export const INT64: { min: bigint; max: bigint } = { min: -(2n ** 63n), max: 2n ** 63n - 1n }
/** Bytes, `min` to `max` of them. */
export const bytes = (min: number, max: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: min, maxLength: max })
/** `fc.record` whose objects are plain, so that they compare equal to decoded ones. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(model, { noNullPrototype: true })
}
const name = bytes(1, 40)
  .map((value) => value.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte)))
  .map((value) => (value[0] === 0x2e ? utf8('dot') : value))
const ids = fc.integer({ min: 1, max: 4 }).chain((count) => bytes(32 * count, 32 * count))
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff })
/** A number of 64 bits. */
export const uint64: fc.Arbitrary<bigint> = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const owner = fc.string({ unit: 'grapheme', maxLength: 40 })

/** In the order of names, each once. */
export function sortedUnique<T extends { name: Uint8Array }>(items: T[]): T[] {
  const sorted = items.toSorted((a, b) => compareBytes(a.name, b.name))
  return sorted.filter((item, i) => i === 0 || compareBytes(sorted[i - 1]!.name, item.name) !== 0)
}

/** The same without members that are undefined. */
export function without<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T
}

const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(value, { nil: undefined })
const stream = record({
  name,
  size: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  chunks: ids,
}).map((value) => (value.size % 3 === 0 ? { name: value.name, size: 0 } : value))
const extras = record({
  user: optional(owner),
  group: optional(owner),
  ctime: optional(fc.bigInt(INT64)),
  atime: optional(fc.bigInt(INT64)),
  btime: optional(fc.bigInt(INT64)),
  inode: optional(uint64),
  device: optional(uint64),
  links: optional(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })),
  xattrs: optional(
    fc
      .array(record({ name, value: bytes(0, 300) }), { minLength: 1, maxLength: 4 })
      .map(sortedUnique),
  ),
  flags: optional(uint32),
  project: optional(uint32),
  bsdFlags: optional(uint32),
  acl: optional(bytes(0, 60)),
  windowsAttributes: optional(uint32),
  securityDescriptor: optional(bytes(0, 60)),
  shortName: optional(owner),
  caseSensitive: optional(fc.boolean()),
  objectId: optional(bytes(16, 16)),
  reparse: optional(bytes(0, 60)),
  streams: optional(fc.array(stream, { minLength: 1, maxLength: 3 }).map(sortedUnique)),
  error: optional(fc.string({ maxLength: 60 })),
})
const base = record({
  name,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: uint32,
  gid: uint32,
  mtime: fc.bigInt(INT64),
})

/** A valid entry; every field of the format appears now and then. */
export const entry: fc.Arbitrary<Entry> = fc
  .tuple(base, extras, fc.constantFrom(...ENTRY_TYPES), ids, uint64, bytes(0, 80), fc.nat(3))
  .map(([common, extra, type, content, wide, target, variant]): Entry => {
    const made: Entry = without({ ...common, ...extra, type, size: 0 }) as Entry
    if (type === 'file' && variant === 1) return { ...made, size: 4096, chunks: content }
    if (type === 'file' && variant === 2) {
      return { ...made, size: 9000, list: content, holes: [{ offset: 0, length: 4096 }] }
    }
    if (type === 'file' && variant === 3) return { ...made, size: 2n ** 60n, chunks: content }
    if (type === 'directory') return variant === 0 ? made : { ...made, chunks: content }
    if (type === 'symlink') return { ...made, target: target.map((byte) => byte || 1) }
    if (type === 'block' || type === 'char') return { ...made, rdev: wide }
    return made
  })

/** The pages of one directory. */
export function pagesOf(entries: Iterable<Entry>): Uint8Array[] {
  const pages: Uint8Array[] = []
  const writer = new PageWriter({ emit: (page) => void pages.push(page) })
  for (const one of entries) writer.add(one)
  writer.end()
  return pages
}
