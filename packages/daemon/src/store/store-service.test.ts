import assert from 'node:assert/strict'
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'

import {
  decodePage,
  deriveVaultBundle,
  fromUtf8,
  HASH_BYTES,
  openLogEntry,
  openSnapshot,
  PackReader,
  packHeader,
  toHex,
  vaultSigner,
} from '@moyai/protocol'
import type { Entry, Snapshot } from '@moyai/protocol'

import { systemClock } from '../clock.ts'
import { openMemoryDatabase } from '../database/index.ts'
import { SeededRandom, systemRandom } from '../random.ts'
import { loadHasher } from './native-hasher.ts'
import { StoreService } from './store-service.ts'
import type { StoreRequest } from './store-run.ts'
import { MemoryPool } from './testing/memory-pool.ts'
import { VaultIndex } from './vault-index.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const bundle = deriveVaultBundle(new Uint8Array(32).fill(9), new Uint8Array(16).fill(3))

type World = {
  pool: MemoryPool
  index: VaultIndex
  service: StoreService
  home: string
  source: string
  request: (more?: Partial<StoreRequest>) => StoreRequest
}

function makeWorld(t: TestContext, sites = ['a', 'a', 'b', 'b', 'c']): World {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-store-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const home = join(folder, 'home')
  const source = join(folder, 'source')
  mkdirSync(join(home, 'outbox'), { recursive: true })
  mkdirSync(source)
  const pool = new MemoryPool(sites)
  const index = new VaultIndex(openMemoryDatabase())
  const service = new StoreService(
    {
      home,
      outbox: join(home, 'outbox'),
      bundle,
      hostname: 'test',
      username: 'tester',
      program: 'moyai test',
      patienceMs: 300,
    },
    {
      index,
      network: pool,
      pool,
      log: pool,
      hasher: loadHasher(),
      clock: systemClock,
      random: systemRandom,
      logger: quiet,
    },
  )
  const request = (more: Partial<StoreRequest> = {}): StoreRequest => ({
    paths: [source],
    tags: [],
    excludes: [],
    dryRun: false,
    ...more,
  })
  return { pool, index, service, home, source, request }
}

/** Reads chunks back from the hosts' data shards, as a restore does. */
class Reader {
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  async chunk(id: Uint8Array): Promise<Uint8Array> {
    const { index, pool } = this.#world
    const [place] = await index.locate([id])
    assert.ok(place !== undefined, 'the chunk is in the index')
    const info = await index.pack(place.pack)
    const [blob] = await index.blobs(place.pack, [place.blob])
    assert.ok(info !== undefined && blob !== undefined)
    const { k, shardLength } = info.stripe
    const shards = Array.from({ length: k }, (_, i) => {
      const holder = pool.others.find((host) => host.shards.has(`${toHex(place.pack)}.${i}`))
      return holder?.shards.get(`${toHex(place.pack)}.${i}`)?.bytes ?? new Uint8Array(shardLength)
    })
    const pack = Buffer.concat(shards)
    const vault = vaultSigner(bundle).publicKey
    const { salt, packClass } = info
    const header = packHeader({ salt, packClass, dataKey: bundle.dataKey, vault })
    const reader = new PackReader({ header, dataKey: bundle.dataKey, vault })
    const raw = reader.open(blob, pack.subarray(blob.offset, blob.offset + blob.sealedLength))
    return raw.subarray(place.offset, place.offset + place.length)
  }

  async content(entry: Entry): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    const ids = entry.chunks ?? new Uint8Array()
    for (let at = 0; at < ids.length; at += HASH_BYTES) {
      parts.push(await this.chunk(ids.slice(at, at + HASH_BYTES)))
    }
    return Buffer.concat(parts)
  }

  async entries(directory: Entry): Promise<Map<string, Entry>> {
    const found = new Map<string, Entry>()
    const ids = directory.chunks ?? new Uint8Array()
    for (let at = 0; at < ids.length; at += HASH_BYTES) {
      for (const entry of decodePage(await this.chunk(ids.slice(at, at + HASH_BYTES)))) {
        found.set(fromUtf8(entry.name), entry)
      }
    }
    return found
  }

  snapshot(at = -1): Snapshot {
    const envelope = this.#world.pool.entries.at(at)
    assert.ok(envelope !== undefined)
    return openSnapshot(bundle, openLogEntry(envelope))
  }
}

test('Goal: a stored tree can be read back from the hosts; a second store sends and reads nothing.', async (t) => {
  const world = makeWorld(t)
  const { source, service, pool } = world
  const big = new SeededRandom('big').bytes(9_000_000)
  writeFileSync(join(source, 'big'), big)
  writeFileSync(join(source, 'empty'), '')
  mkdirSync(join(source, 'sub'))
  for (let i = 0; i < 50; i++) writeFileSync(join(source, 'sub', `f${i}`), `file ${i}`)
  symlinkSync('big', join(source, 'link'))
  linkSync(join(source, 'big'), join(source, 'twin'))
  const first = await service.store(world.request())
  assert.equal(first.state, 'protected')
  assert.equal(first.files_new, 53)
  assert.equal(first.dirs_new, 2)
  assert.equal(first.error_count, 0)
  assert.ok(first.data_added_packed < 14_000_000, 'the twin was not stored again')
  const reader = new Reader(world)
  const snapshot = reader.snapshot()
  assert.equal(snapshot.partial, false)
  const root = await reader.entries(snapshot.root)
  assert.deepEqual([...root.keys()], ['big', 'empty', 'link', 'sub', 'twin'])
  assert.ok(Buffer.compare(await reader.content(root.get('big') as Entry), big) === 0)
  assert.equal(root.get('big')?.inode, root.get('twin')?.inode)
  assert.equal(Buffer.from(root.get('link')?.target ?? []).toString(), 'big')
  const sub = await reader.entries(root.get('sub') as Entry)
  assert.equal(sub.size, 50)
  assert.equal(Buffer.from(await reader.content(sub.get('f7') as Entry)).toString(), 'file 7')

  const puts = pool.others.map((host) => host.puts)
  const second = await service.store(world.request())
  assert.equal(second.files_unmodified, 53)
  assert.equal(second.dirs_unmodified, 2)
  assert.equal(second.packs_added, 0)
  assert.equal(second.shards_sent, 0)
  assert.deepEqual(
    pool.others.map((host) => host.puts),
    puts,
  )
  assert.equal(pool.entries.length, 2)
  assert.deepEqual(reader.snapshot().root, snapshot.root)

  writeFileSync(join(source, 'sub', 'f7'), 'file seven')
  const third = await service.store(world.request())
  assert.equal(third.files_changed, 1)
  assert.equal(third.files_unmodified, 52)
  assert.ok(third.data_added < 20_000, `${third.data_added} bytes for ten`)
  const again = await reader.entries(reader.snapshot().root)
  const changed = (await reader.entries(again.get('sub') as Entry)).get('f7') as Entry
  assert.equal(Buffer.from(await reader.content(changed)).toString(), 'file seven')
})
