import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'

import { encodeRootEntry, HASH_BYTES, toHex, utf8 } from '@moyai/protocol'
import type { Entry } from '@moyai/protocol'
import * as fc from 'fast-check'

import { loadHasher } from './native-hasher.ts'
import { OldDirectory } from './old-directory.ts'
import { commitPageCache, PageCache, PageCacheWriter } from './page-cache.ts'
import { TreeEmitter } from './tree-emitter.ts'

const hasher = loadHasher()
const chunkIdKey = new Uint8Array(32).fill(7)
const idOf = (page: Uint8Array): Uint8Array => hasher.keyedHash(chunkIdKey, page)
const NONE = new Uint8Array()

/** Files of one folder by number; about 190 bytes each, so that a page has some hundred. */
type Folder = Map<number, number>

const nameOf = (i: number): string =>
  `a file with a rather long name ${String(i).padStart(90, '0')}`

function fileOf(i: number, version: number): Entry {
  return {
    name: utf8(nameOf(i)),
    type: 'file',
    mode: 0o644,
    uid: 1,
    gid: 1,
    mtime: BigInt(version),
    size: 1,
    chunks: new Uint8Array(HASH_BYTES).fill(version % 251),
  }
}

type Emitted = { chunks: Uint8Array; stored: Set<string>; cache: PageCache }

/** Emits `folder` into a cache of its own; takes over what `old` has of it. */
function emit(path: string, folder: Folder, old?: { folder: Folder; emitted: Emitted }): Emitted {
  const cache = new PageCacheWriter(path)
  const stored = new Set<string>()
  const store = ({ id }: { id: Uint8Array }): void => void stored.add(toHex(id))
  const previous = old?.emitted.cache
  const emitter = new TreeEmitter({ hasher, chunkIdKey, previous, cache, store })
  const recorded =
    old === undefined
      ? undefined
      : new OldDirectory({ chunks: old.emitted.chunks, list: NONE }, old.emitted.cache)
  emitter.begin()
  for (const i of [...folder.keys()].sort((a, b) => a - b)) {
    const version = folder.get(i) as number
    const isThere = recorded?.seek(nameOf(i)) === true
    assert.equal(isThere, old?.folder.has(i) === true)
    const page = recorded?.page
    if (isThere && page !== undefined && old?.folder.get(i) === version) {
      emitter.take(page, recorded?.cursor ?? assert.fail())
    } else {
      emitter.add(fileOf(i, version))
    }
  }
  const { chunks = NONE } = emitter.end()
  const root: Entry = { name: NONE, type: 'directory', mode: 0, uid: 0, gid: 0, mtime: 0n, size: 0 }
  cache.end({ generation: new Uint8Array(16), began: 1, root: encodeRootEntry(root) })
  commitPageCache(path)
  const opened = PageCache.open(path, idOf)
  assert.ok(opened !== undefined)
  return { chunks, stored, cache: opened }
}

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-emitter-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('Goal: whatever changes, taking over makes the pages that writing anew makes.', (t) => {
  const work = temporaryFolder(t)
  const size = 4000
  const before: Folder = new Map(Array.from({ length: size }, (_, i) => [2 * i, 1]))
  const emitted = emit(join(work, 'old'), before)
  t.after(() => emitted.cache.close())
  assert.ok(emitted.chunks.length > 3 * HASH_BYTES, 'several pages')
  const place = fc.nat(2 * size + 20)
  const range = fc.record({ from: place, length: fc.nat(1500) })
  const change = fc.record({
    set: fc.array(place, { maxLength: 3 }),
    removed: fc.array(place, { maxLength: 3 }),
    gone: fc.array(range, { maxLength: 2 }),
    cut: fc.option(place, { nil: undefined }),
  })
  fc.assert(
    fc.property(change, ({ set, removed, gone, cut }) => {
      const after = new Map(before)
      for (const i of set) after.set(i, 2)
      for (const i of removed) after.delete(i)
      for (const { from, length } of gone) for (let i = 0; i < length; i++) after.delete(from + i)
      if (cut !== undefined) for (const i of before.keys()) if (i > cut) after.delete(i)
      const anew = emit(join(work, 'anew'), after)
      const taken = emit(join(work, 'taken'), after, { folder: before, emitted })
      try {
        assert.equal(toHex(taken.chunks), toHex(anew.chunks))
        for (let at = 0; at < taken.chunks.length; at += HASH_BYTES) {
          const id = taken.chunks.subarray(at, at + HASH_BYTES)
          assert.deepEqual(taken.cache.page(id), anew.cache.page(id))
          assert.ok(taken.cache.page(id) !== undefined, 'the next cache has every page')
          const isStored = taken.stored.has(toHex(id))
          assert.notEqual(isStored, emitted.cache.has(id), 'only pages that are new are stored')
        }
      } finally {
        anew.cache.close()
        taken.cache.close()
      }
    }),
    { numRuns: 40 },
  )
})

test('Goal: a cache finds every page of many, and no other.', (t) => {
  const path = join(temporaryFolder(t), 'cache')
  const writer = new PageCacheWriter(path)
  const pages = Array.from({ length: 3000 }, (_, i) => utf8(`page ${i} `.repeat(1 + (i % 7))))
  for (const page of pages) writer.add(idOf(page), page)
  const root: Entry = { name: NONE, type: 'directory', mode: 0, uid: 0, gid: 0, mtime: 0n, size: 0 }
  const info = { generation: new Uint8Array(16), began: 5, root: encodeRootEntry(root) }
  writer.end(info)
  commitPageCache(path)
  const cache = PageCache.open(path, idOf)
  assert.ok(cache !== undefined)
  t.after(() => cache.close())
  assert.deepEqual(cache.info, info)
  for (const page of pages) {
    assert.ok(cache.has(idOf(page)))
    assert.deepEqual(cache.page(idOf(page)), page)
  }
  assert.equal(cache.has(idOf(utf8('page 3000 '))), false)
  assert.equal(cache.page(new Uint8Array(HASH_BYTES)), undefined)
})
