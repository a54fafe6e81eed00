import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'

import { Chunker, gearTable, HASH_BYTES, portableHasher } from '@moyai/protocol'
import type { Hasher } from '@moyai/protocol'

import { SeededRandom } from '../random.ts'
import { bytePathOfText } from './byte-path.ts'
import { ContentReader } from './content-reader.ts'
import type { FileOutcome } from './content-reader.ts'
import { dedupSegment, DedupTable } from './dedup-table.ts'
import type { PackWriter } from './pack-writer.ts'
import { SharedState } from './shared-state.ts'
import type { Span } from './span.ts'

/** A reader whose chunks are kept in memory; `onHash` runs while a file is being read. */
function makeReader(
  t: TestContext,
  onHash: () => void = () => undefined,
  offered?: (span: Span, other: ContentReader) => void,
) {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-read-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const chunks = new Map<string, Uint8Array>()
  const writer = {
    add: ({ id, bytes }: { id: Uint8Array; bytes: Uint8Array }) => {
      chunks.set(Buffer.from(id).toString('hex'), bytes.slice())
    },
  } as unknown as PackWriter
  const hasher: Hasher = {
    hash: (bytes) => portableHasher.hash(bytes),
    keyedHash: (key, bytes) => {
      onHash()
      return portableHasher.keyedHash(key, bytes)
    },
  }
  const components = {
    hasher,
    chunkIdKey: new Uint8Array(32),
    table: new DedupTable([dedupSegment(1000)]),
    writer,
    state: new SharedState(),
  }
  const chunker = (): Chunker => new Chunker(gearTable(new Uint8Array(32)))
  // as in another thread, which may take a span at any moment
  const other = new ContentReader({ ...components, chunker: chunker() })
  const offer = offered === undefined ? {} : { offer: (span: Span) => offered(span, other) }
  const reader = new ContentReader({ ...components, chunker: chunker(), ...offer })
  const read = (path: string): FileOutcome =>
    reader.read({ path: bytePathOfText(path) }, { ids: () => undefined, restart: () => undefined })
  const content = (outcome: FileOutcome): Buffer => {
    const ids = Buffer.from(outcome.ids ?? [])
    const parts: Uint8Array[] = []
    for (let at = 0; at < ids.length; at += HASH_BYTES) {
      parts.push(chunks.get(ids.toString('hex', at, at + HASH_BYTES)) as Uint8Array)
    }
    return Buffer.concat(parts)
  }
  return { folder, read, content }
}

test('Goal: content of every size comes back exactly, window edges included.', (t) => {
  const { folder, read, content } = makeReader(t)
  const path = join(folder, 'f')
  const mib = 1024 * 1024
  for (const size of [
    0,
    1,
    262_143,
    262_144,
    262_145,
    4 * mib,
    8 * mib - 131_072,
    8 * mib,
    20 * mib + 7,
  ]) {
    const bytes = new SeededRandom(`size ${size}`).bytes(size)
    writeFileSync(path, bytes)
    const outcome = read(path)
    assert.equal(outcome.error, undefined)
    assert.equal(Number(outcome.stat?.size), size)
    assert.ok(content(outcome).equals(bytes), `${size} bytes`)
  }
})

test('Goal: a file that changes at every attempt is kept as it was read, and marked.', (t) => {
  let path = ''
  const { folder, read, content } = makeReader(t, () => {
    if (path !== '') appendFileSync(path, 'more')
  })
  const file = join(folder, 'log')
  writeFileSync(file, 'start')
  path = file
  const outcome = read(file)
  assert.match(outcome.error?.message ?? '', /changed/)
  assert.equal(content(outcome).length, Number(outcome.stat?.size))
  assert.equal(content(outcome).toString(), 'startmore')
})

test('Goal: a file that shrinks once is read again, and is whole then.', (t) => {
  let path = ''
  const { folder, read, content } = makeReader(t, () => {
    if (path !== '') truncateSync(path, 1000)
    path = ''
  })
  const file = join(folder, 'shrinks')
  writeFileSync(file, new SeededRandom('s').bytes(30_000_000))
  path = file
  const outcome = read(file)
  assert.equal(outcome.error, undefined)
  assert.equal(Number(outcome.stat?.size), 1000)
  assert.equal(content(outcome).length, 1000)
})

test('Goal: a large file is cut the same whoever reads its parts, holes included.', (t) => {
  const mib = 1024 * 1024
  const alone = makeReader(t)
  const file = join(alone.folder, 'image')
  const part = new SeededRandom('image').bytes(40 * mib)
  const fd = openSync(file, 'w')
  writeSync(fd, part, 0, part.length, 5 * mib)
  writeSync(fd, part, 0, part.length, 60 * mib + 123)
  closeSync(fd)
  const expected = alone.read(file)
  for (const takes of [() => false, (n: number) => n % 2 === 0, () => true]) {
    let spans = 0
    const shared = makeReader(t, undefined, (span, other) => {
      if (takes(spans++)) other.readSpan(span)
    })
    const outcome = shared.read(file)
    assert.ok(spans >= 5, `${spans} spans were offered`)
    assert.deepEqual(outcome, expected)
    assert.ok(shared.content(outcome).equals(alone.content(expected)))
  }
})

test('Goal: a large file that changes while others read parts of it is read again.', (t) => {
  const mib = 1024 * 1024
  let spans = 0
  const { folder, read, content } = makeReader(t, undefined, (span, other) => {
    if (spans++ === 2) truncateSync(span.path, 70 * mib)
    other.readSpan(span)
  })
  const file = join(folder, 'image')
  const half = new SeededRandom('image').bytes(40 * mib)
  const bytes = Buffer.concat([half, half])
  writeFileSync(file, bytes)
  const outcome = read(file)
  assert.equal(outcome.error, undefined)
  assert.ok(content(outcome).equals(bytes.subarray(0, 70 * mib)))
})

test('Goal: what is not a regular file any more is never read, and cannot hang.', (t) => {
  const { folder, read } = makeReader(t)
  execFileSync('mkfifo', [join(folder, 'pipe')])
  symlinkSync('/etc/passwd', join(folder, 'link'))
  mkdirSync(join(folder, 'folder'))
  for (const name of ['pipe', 'link', 'folder', 'gone']) {
    const outcome = read(join(folder, name))
    assert.equal(outcome.error?.code, 'SOURCE_UNREADABLE', name)
    assert.equal(outcome.ids, undefined)
  }
})
