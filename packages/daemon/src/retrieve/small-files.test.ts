/** Many small files: made in folders that have no name yet, by threads that share nothing. */

import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, beforeEach, test } from 'node:test'

import { concatBytes, toHex, utf8 } from '@moyai/protocol'
import type { Entry, RetrieveParams, RetrieveSummary } from '@moyai/protocol'

import { temporaryFolderName } from './target/safe-tree.ts'
import { hangAfter } from './testing/fake-pool.ts'
import { FakeVault, metadata, seededRandom } from './testing/fake-vault.ts'

const scratch = fs.mkdtempSync(join(tmpdir(), 'moyai-small-'))
after(() => fs.rmSync(scratch, { recursive: true, force: true }))
const random = seededRandom('small')
let vault: FakeVault
let to: string
let count = 0

beforeEach(() => {
  vault = new FakeVault({ k: 2, m: 1 })
  to = join(scratch, `t${count++}`)
})

afterEach(() => vault.service.close())

type Outcome = RetrieveSummary & { codes: Record<string, string> }

async function retrieve(
  o: Partial<RetrieveParams> = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<Outcome> {
  const codes: Record<string, string> = {}
  const filters = { includes: [], excludes: [], overwrite: 'always' as const }
  const params = { snapshot: 'latest', to, ...filters, verify: false, dryRun: false, ...o }
  const summary = await vault.service.retrieve(params, {
    signal,
    onEvent: (event) => {
      if (event.message_type === 'error') codes[event.item] = event.error.code
    },
  })
  return { ...summary, codes }
}

function file(name: string, bytes: Uint8Array, more: Partial<Entry> = {}): Entry {
  return { ...metadata(name, 'file'), size: bytes.length, ...vault.content(bytes), ...more }
}

function folder(name: string, children: Entry[]): Entry {
  return vault.directory(metadata(name, 'directory'), children)
}

/** Files with different content; several share each blob. */
function someFiles(prefix: string, length: number): { entries: Entry[]; bytes: Uint8Array[] } {
  const bytes = Array.from({ length }, (_, i) => random.bytes(200 + i))
  return { bytes, entries: bytes.map((one, i) => file(`${prefix}${i}`, one)) }
}

function holds(path: string, prefix: string, bytes: readonly Uint8Array[]): void {
  for (const [i, one] of bytes.entries()) {
    assert.deepEqual(new Uint8Array(fs.readFileSync(join(path, `${prefix}${i}`))), one)
  }
}

/** The retrieve stops in the middle: hosts hang after `requests`, then it is interrupted. */
async function interrupted(requests: number): Promise<void> {
  const stop = new AbortController()
  const undo = hangAfter(vault.pool.all, requests)
  const retrieving = retrieve({}, stop.signal)
  retrieving.catch(() => undefined) // it is looked at below
  const hidden = join(to, temporaryFolderName(utf8('top')).toString())
  // what was made of the first blob is there while the others do not come
  while (!(fs.existsSync(join(hidden, 'a')) && fs.readdirSync(join(hidden, 'a')).length > 0)) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  stop.abort()
  await assert.rejects(retrieving, { code: 'ABORTED' })
  undo()
  assert.deepEqual(fs.readdirSync(to), [temporaryFolderName(utf8('top')).toString()])
}

test('modes, times, owners and the longest names, whatever the umask', async () => {
  // Goal: exactly what was stored; temporary names fit where the real ones just do.
  const long = 'n'.repeat(255)
  const modes = [0o644, 0o400, 0o777, 0o4755, 0o2710, 0o1666, 0]
  const files = modes.map((mode, i) =>
    file(`f${i}`, random.bytes(100), { mode, mtime: -5_123_456_789n, atime: 987_654_321n }),
  )
  const empty: Entry = { ...metadata('empty', 'file'), mode: 0o600 }
  const children = [...files, empty, file(long, random.bytes(50))]
  await vault.commit(folder('', [folder(long, children)]))
  for (const umask of [0o022, 0o077]) {
    const before = process.umask(umask)
    try {
      assert.deepEqual((await retrieve()).codes, {})
    } finally {
      process.umask(before)
    }
    for (const [i, mode] of modes.entries()) {
      const stat = fs.lstatSync(join(to, long, `f${i}`), { bigint: true })
      assert.equal(Number(stat.mode & 0o7777n), mode)
      assert.equal(stat.mtimeNs, -5_123_456_789n)
      assert.equal(stat.atimeNs, 987_654_321n)
    }
    assert.equal(fs.statSync(join(to, long, 'empty')).size, 0)
    assert.equal(fs.statSync(join(to, long, long)).size, 50)
    fs.rmSync(to, { recursive: true })
  }
})

test('files of folders that were there, and of new ones beside them', async () => {
  // Goal: never keeps what is there; always replaces it; new folders come whole either way.
  const [a, b, c] = [random.bytes(100), random.bytes(100), random.bytes(100)]
  await vault.commit(
    folder('', [folder('old', [file('a', a), file('b', b)]), folder('x', [file('c', c)])]),
  )
  fs.mkdirSync(join(to, 'old'), { recursive: true, mode: 0o711 })
  fs.writeFileSync(join(to, 'old/a'), 'mine')
  const kept = await retrieve({ overwrite: 'never' })
  assert.deepEqual([kept.codes, kept.files_restored, kept.files_skipped], [{}, 2, 1])
  assert.equal(fs.readFileSync(join(to, 'old/a'), 'utf8'), 'mine')
  assert.deepEqual(new Uint8Array(fs.readFileSync(join(to, 'old/b'))), b)
  assert.deepEqual(new Uint8Array(fs.readFileSync(join(to, 'x/c'))), c)
  const replaced = await retrieve()
  assert.deepEqual([replaced.codes, replaced.files_restored], [{}, 1])
  assert.deepEqual(new Uint8Array(fs.readFileSync(join(to, 'old/a'))), a)
  assert.deepEqual(fs.readdirSync(to), ['old', 'x'])
})

test('a lost pack costs the files whose content is in it, and no other', async () => {
  // Goal: each lost file is named, none appears, everything else is exact and has its name.
  const kept = someFiles('kept', 20)
  await vault.flush()
  const before = vault.packs.length
  const lost = someFiles('lost', 20)
  await vault.flush()
  const gone = vault.packs.slice(before).map(toHex)
  await vault.commit(folder('', [folder('in', [...kept.entries, ...lost.entries])]))
  for (const host of vault.pool.all) {
    for (const pack of gone) for (let i = 0; i < 3; i++) host.shards.delete(`${pack}/${i}`)
  }
  const { codes, unrecoverable, files_restored: restored } = await retrieve()
  const names = lost.bytes.map((_, i) => `in/lost${i}`)
  assert.deepEqual(codes, Object.fromEntries(names.map((name) => [name, 'UNRECOVERABLE'])))
  assert.deepEqual([...unrecoverable].sort(), [...names].sort())
  assert.equal(restored, 20)
  holds(join(to, 'in'), 'kept', kept.bytes)
  assert.equal(fs.readdirSync(join(to, 'in')).length, 20)
})

test('verified, linked and sparse files are made the careful way', async () => {
  // Goal: what needs more than content, owner, mode and times gets it in new folders, too.
  const bytes = random.bytes(300)
  const linked = { links: 2, inode: 7n, device: 1n }
  const holes = [{ offset: 100, length: 65_536 }]
  const children = [
    file('first', bytes, linked),
    file('second', bytes, linked),
    file('sparse', bytes, { holes, size: 65_836 }),
    file('plain', bytes),
  ]
  await vault.commit(folder('', [folder('in', children)]))
  for (const verify of [false, true]) {
    const { codes, verified } = await retrieve({ verify })
    assert.deepEqual([codes, verified], [{}, verify])
    const [first, second] = ['first', 'second'].map((name) => fs.statSync(join(to, 'in', name)))
    assert.equal(first?.ino, second?.ino)
    const zeros = new Uint8Array(65_536)
    const whole = concatBytes(bytes.subarray(0, 100), zeros, bytes.subarray(100))
    assert.deepEqual(new Uint8Array(fs.readFileSync(join(to, 'in/sparse'))), whole)
    assert.deepEqual(new Uint8Array(fs.readFileSync(join(to, 'in/plain'))), bytes)
    fs.rmSync(to, { recursive: true })
  }
})

test('an interrupted retrieve is taken up, and nothing else that is left there', async () => {
  // Goal: what is right is not fetched again; what is half-written, foreign, of another type or
  // not wanted this time is never found under the folder's name.
  const a = someFiles('a', 30)
  const big = random.bytes(3_000_000)
  const z = someFiles('z', 30)
  const top = folder('top', [folder('a', a.entries), file('big', big), folder('z', z.entries)])
  await vault.commit(folder('', [top]))
  await interrupted(6)
  const hidden = join(to, temporaryFolderName(utf8('top')).toString())
  fs.writeFileSync(join(hidden, 'a/a3'), 'half')
  fs.utimesSync(join(hidden, 'a/a4'), 1, 1)
  fs.writeFileSync(join(hidden, 'foreign'), 'of another snapshot')
  fs.mkdirSync(join(hidden, 'other/below'), { recursive: true })
  fs.writeFileSync(join(hidden, 'other/below/file'), '')
  fs.symlinkSync(scratch, join(hidden, 'other/link'))
  fs.chmodSync(join(hidden, 'other'), 0o500)
  fs.rmSync(join(hidden, 'z'), { recursive: true, force: true })
  fs.symlinkSync(scratch, join(hidden, 'z'))
  fs.chmodSync(join(hidden, 'a'), 0o500)
  const { codes, bytes_fetched: fetched } = await retrieve()
  assert.deepEqual(codes, {})
  assert.ok(fetched > 0)
  assert.deepEqual(fs.readdirSync(to), ['top'])
  assert.deepEqual(fs.readdirSync(join(to, 'top')), ['a', 'big', 'z'])
  assert.equal(fs.readdirSync(join(to, 'top/a')).length, 30)
  assert.equal(fs.readdirSync(join(to, 'top/z')).length, 30)
  holds(join(to, 'top/a'), 'a', a.bytes)
  holds(join(to, 'top/z'), 'z', z.bytes)
  assert.deepEqual(new Uint8Array(fs.readFileSync(join(to, 'top/big'))), big)
  assert.equal(fs.statSync(join(to, 'top/a')).mode & 0o777, 0o755)
})

test('what an interrupted retrieve left and this one cannot have does not appear', async () => {
  // Goal: half a file of the former run is no file of this one, also when its content is gone now.
  const a = someFiles('a', 10)
  await vault.flush()
  const packs = vault.packs.map(toHex)
  const big = random.bytes(3_000_000)
  await vault.commit(folder('', [folder('top', [folder('a', a.entries), file('big', big)])]))
  await interrupted(6)
  const inside = join(to, temporaryFolderName(utf8('top')).toString(), 'a')
  fs.writeFileSync(join(inside, 'a3'), 'half')
  for (const host of vault.pool.all) {
    for (const pack of packs) for (let i = 0; i < 3; i++) host.shards.delete(`${pack}/${i}`)
  }
  const { codes } = await retrieve()
  assert.equal(codes['top/a/a3'], 'UNRECOVERABLE')
  assert.ok(!fs.existsSync(join(to, 'top/a/a3')))
  for (const name of fs.readdirSync(join(to, 'top/a'))) {
    const bytes = a.bytes[Number(name.slice(1))]
    assert.deepEqual(new Uint8Array(fs.readFileSync(join(to, 'top/a', name))), bytes)
  }
})
