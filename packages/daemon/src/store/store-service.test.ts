import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

import {
  blake3,
  decodePage,
  fromHex,
  fromUtf8,
  HASH_BYTES,
  MoyaiError,
  openLogEntry,
  openSnapshot,
  openStripe,
  PackReader,
  packHeader,
  toHex,
  vaultSigner,
} from '@moyai/protocol'
import type { Entry, Snapshot } from '@moyai/protocol'

import { loadCodec } from '../codec.ts'
import { syscalls } from '../files/index.ts'
import { SeededRandom } from '../random.ts'
import { loadHasher } from './native-hasher.ts'
import { remainingAt } from './leaving.ts'
import { PageCache } from './page-cache.ts'
import { IndexRebuilder } from './rebuild-index.ts'
import type { StoreEvent } from './store-run.ts'
import { bundle, makeWorld, quiet, type World } from './testing/world.ts'

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

test('Goal: a stored tree comes back from the hosts; a second store sends nothing.', async (t) => {
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
  assert.ok(first.data_added < 9_500_000, 'the twin was not stored again')
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

test('Goal: what cannot be read is told and marked, and everything else is stored.', async (t) => {
  const world = makeWorld(t)
  const { source, service } = world
  writeFileSync(join(source, 'good'), 'good')
  execFileSync('mkfifo', [join(source, 'pipe')])
  mkdirSync(join(source, 'home-link'))
  const reader = new Reader(world)
  // a file that is replaced by a folder between listing and reading cannot be made to happen here;
  // one that the
  // process may not open can, unless the test runs as root
  writeFileSync(join(source, 'secret'), 'secret')
  chmodSync(join(source, 'secret'), 0)
  const events: StoreEvent[] = []
  const summary = await service.store(world.request(), { onEvent: (event) => events.push(event) })
  const asRoot = process.getuid?.() === 0
  assert.equal(summary.error_count, asRoot ? 0 : 1)
  const root = await reader.entries(reader.snapshot().root)
  assert.equal(root.get('pipe')?.type, 'fifo')
  assert.equal(root.get('good')?.chunks?.length, HASH_BYTES)
  if (!asRoot) {
    assert.match(root.get('secret')?.error ?? '', /permission/)
    assert.ok(events.some((event) => event.message_type === 'error'))
    assert.equal(reader.snapshot().partial, true)
  }
})

test('Goal: holes are recorded and not stored.', async (t) => {
  const world = makeWorld(t)
  const file = join(world.source, 'sparse')
  writeFileSync(file, new SeededRandom('head').bytes(100_000))
  truncateSync(file, 50_000_000)
  const summary = await world.service.store(world.request())
  const reader = new Reader(world)
  const entry = (await reader.entries(reader.snapshot().root)).get('sparse') as Entry
  assert.equal(Number(entry.size), 50_000_000)
  if (entry.holes === undefined) return t.skip('the file system of the test knows no holes')
  const stored = 50_000_000 - entry.holes.reduce((sum, hole) => sum + hole.length, 0)
  assert.ok(stored < 200_000, `${stored} bytes around the hole`)
  assert.equal((await reader.content(entry)).length, stored)
  assert.ok(summary.data_added < 300_000)
})

test('Goal: excludes, the own home, several paths and a single file.', async (t) => {
  const world = makeWorld(t)
  const { source, service } = world
  const reader = new Reader(world)
  mkdirSync(join(source, 'a'))
  writeFileSync(join(source, 'a', 'x.tmp'), 'x')
  writeFileSync(join(source, 'a', 'y'), 'y')
  writeFileSync(join(source, 'z'), 'z')
  await service.store(world.request({ excludes: ['*.tmp'] }))
  const root = await reader.entries(reader.snapshot().root)
  assert.deepEqual([...(await reader.entries(root.get('a') as Entry)).keys()], ['y'])

  // the folder around both source and home: the home stays out
  await service.store(world.request({ paths: [join(source, '..')] }))
  assert.deepEqual([...(await reader.entries(reader.snapshot().root)).keys()], ['source'])

  await service.store(world.request({ paths: [join(source, 'z')] }))
  assert.deepEqual([...(await reader.entries(reader.snapshot().root)).keys()], ['z'])

  await service.store(world.request({ paths: [join(source, 'z'), join(source, 'a')] }))
  let at = await reader.entries(reader.snapshot().root)
  for (const name of source.split('/').filter((part) => part !== '')) {
    assert.deepEqual([...at.keys()], [name])
    at = await reader.entries(at.get(name) as Entry)
  }
  assert.deepEqual([...at.keys()], ['a', 'z'])
  await assert.rejects(service.store(world.request({ paths: [join(source, 'none')] })), {
    code: 'PATH_UNKNOWN',
  })
})

test('Goal: a dry run counts and sends, writes and commits nothing.', async (t) => {
  const world = makeWorld(t)
  writeFileSync(join(world.source, 'a'), 'a')
  const summary = await world.service.store(world.request({ dryRun: true }))
  assert.equal(summary.files_new, 1)
  assert.equal(summary.snapshot_id, null)
  assert.equal(world.pool.shardCount, 0)
  assert.equal(world.pool.entries.length, 0)
})

test('Goal: a code set by hand is that of every data stripe, or nothing is stored.', async (t) => {
  const world = makeWorld(t, ['a', 'a', 'b', 'b', 'c', 'c'], { k: 4, m: 2 })
  writeFileSync(join(world.source, 'big'), new SeededRandom('x').bytes(5_000_000))
  const summary = await world.service.store(world.request())
  assert.equal(summary.state, 'protected')
  const stripes = world.pool.others.flatMap((host) =>
    [...host.shards.values()].map(({ envelope }) => openStripe(envelope)),
  )
  const codes = new Set(stripes.map(({ class: kind, k, m }) => `${kind} ${k}+${m}`))
  assert.deepEqual([...codes].sort(), ['data 4+2', 'meta 3+3'])

  const small = makeWorld(t, ['a', 'b', 'c'], { k: 4, m: 2 })
  writeFileSync(join(small.source, 'file'), 'x')
  const refused = { code: 'TOO_FEW_HOSTS', message: /4\+2 is set by hand/, hint: /config\.toml/ }
  await assert.rejects(small.service.store(small.request()), refused)
  assert.equal(small.pool.entries.length, 0)
})

test('Goal: with too few hosts nothing is committed, and nothing sent twice later.', async (t) => {
  const world = makeWorld(t)
  const { pool, service, source } = world
  writeFileSync(join(source, 'big'), new SeededRandom('x').bytes(20_000_000))
  for (const host of pool.others.slice(1)) {
    host.onPut = () => {
      throw new MoyaiError('HOST_UNREACHABLE', 'gone meanwhile')
    }
  }
  await assert.rejects(service.store(world.request()), { code: 'TOO_FEW_HOSTS', exitCode: 20 })
  assert.equal(pool.entries.length, 0)
  const kept = pool.others[0]?.shards.size ?? 0
  assert.ok(kept > 0)
  for (const host of pool.others) host.onPut = undefined
  const summary = await service.store(world.request())
  assert.equal(summary.state, 'protected')
  const outbox = readdirSync(join(world.home, 'outbox'))
  assert.deepEqual(outbox, [])
  const reader = new Reader(world)
  const entry = (await reader.entries(reader.snapshot().root)).get('big') as Entry
  assert.equal((await reader.content(entry)).length, 20_000_000)
  // what the one host got the first time is part of this snapshot, not garbage beside it
  const packs = new Set(
    pool.others.flatMap((host) => [...host.shards.keys()].map((key) => key.slice(0, 64))),
  )
  for (const pack of packs) assert.ok((await world.index.pack(fromHex(pack))) !== undefined)
})

test('Goal: hosts that die meanwhile cost the word protected; the settler mends it.', async (t) => {
  const world = makeWorld(t)
  const { pool, service, source, index } = world
  for (let i = 0; i < 6; i++) {
    writeFileSync(join(source, `big${i}`), new SeededRandom(`x${i}`).bytes(5_000_000))
  }
  const [dying, other] = [pool.others[1], pool.others[4]]
  assert.ok(dying !== undefined && other !== undefined)
  dying.onPut = () => {
    if (dying.puts >= 1) pool.bring(dying, false)
    if (!dying.online) throw new MoyaiError('HOST_UNREACHABLE', 'died')
  }
  const summary = await service.store(world.request())
  assert.equal(summary.state, 'settling')
  assert.ok(summary.missing_shards > 0)
  dying.onPut = undefined
  pool.bring(dying, true)
  // without the outbox, shards are made again from those that are there
  for (const name of readdirSync(join(world.home, 'outbox')).slice(0, 1)) {
    rmSync(join(world.home, 'outbox', name))
  }
  const left = await service.settle()
  assert.deepEqual(left, { stripes: 0, shards: 0, leaving: 0 })
  assert.deepEqual(readdirSync(join(world.home, 'outbox')), [])
  for await (const stripe of index.stripes()) {
    const info = await index.pack(stripe.pack)
    assert.ok(info !== undefined)
    const { k, m, shardHashes } = info.stripe
    const holders = await index.holders(stripe.pack)
    assert.equal(new Set(holders.map((holder) => holder.host)).size, k + m)
    for (const holder of holders) {
      const host = pool.others.find((candidate) => candidate.id === holder.host)
      const shard = host?.shards.get(`${toHex(stripe.pack)}.${holder.index}`)
      assert.deepEqual(blake3(shard?.bytes ?? new Uint8Array()), shardHashes[holder.index])
    }
  }
  const again = await service.store(world.request())
  assert.equal(again.state, 'protected')
  assert.equal(again.shards_sent, 0)
})

test('Goal: an interrupted store goes on where it was; nothing is sent twice.', async (t) => {
  const world = makeWorld(t)
  const { pool, service, source } = world
  for (let i = 0; i < 8; i++) {
    writeFileSync(join(source, `big${i}`), new SeededRandom(`y${i}`).bytes(6_000_000))
  }
  const abort = new AbortController()
  let puts = 0
  for (const host of pool.others) {
    host.onPut = () => {
      if (++puts === 20) abort.abort()
    }
  }
  const stopped = service.store(world.request(), { signal: abort.signal })
  await assert.rejects(stopped, { code: 'ABORTED', exitCode: 130 })
  assert.equal(pool.entries.length, 0)
  for (const host of pool.others) host.onPut = undefined
  const before = new Map(pool.others.map((host) => [host.id, new Set(host.shards.keys())]))
  const summary = await service.store(world.request())
  assert.equal(summary.state, 'protected')
  const reader = new Reader(world)
  const root = await reader.entries(reader.snapshot().root)
  for (let i = 0; i < 8; i++) {
    const content = await reader.content(root.get(`big${i}`) as Entry)
    assert.ok(Buffer.compare(content, new SeededRandom(`y${i}`).bytes(6_000_000)) === 0)
  }
  for (const host of pool.others) {
    for (const key of before.get(host.id) ?? []) {
      const known = await world.index.pack(fromHex(key.slice(0, 64)))
      assert.ok(known !== undefined, 'what was sent before is used')
    }
  }
  assert.ok(summary.data_added < 48_000_000, 'content that was durable was not stored again')
})

test('Goal: a damaged cache or outbox file costs time, not correctness.', async (t) => {
  const world = makeWorld(t)
  const { service, source, home } = world
  mkdirSync(join(source, 'd'))
  writeFileSync(join(source, 'd', 'a'), 'a')
  await service.store(world.request())
  const [cache] = readdirSync(join(home, 'cache'))
  assert.ok(cache !== undefined)
  const path = join(home, 'cache', cache)
  const bytes = readFileSync(path)
  for (let at = 0; at < bytes.length; at += 97) {
    const damaged = Buffer.from(bytes)
    damaged[at] = (damaged[at] as number) ^ 0x55
    writeFileSync(path, at % 2 === 0 ? damaged : damaged.subarray(0, at))
    const cached = PageCache.open(path, blake3)
    cached?.close()
  }
  writeFileSync(path, bytes.subarray(0, bytes.length - 3))
  writeFileSync(join(home, 'outbox', `${'ab'.repeat(32)}.pack`), 'torn')
  const summary = await service.store(world.request())
  assert.equal(summary.state, 'protected')
  assert.equal(summary.shards_sent, 0)
  assert.deepEqual(readdirSync(join(home, 'outbox')), [])
})

test('Goal: an empty index is rebuilt from the log and the hosts, two of them gone.', async (t) => {
  const world = makeWorld(t)
  const { pool, service, source, index } = world
  writeFileSync(join(source, 'one'), new SeededRandom('one').bytes(5_000_000))
  await service.store(world.request())
  mkdirSync(join(source, 'more'))
  for (let i = 0; i < 200; i++) writeFileSync(join(source, 'more', `f${i}`), `content ${i}`)
  await service.store(world.request())
  const before = new Map<string, unknown>()
  for await (const id of index.chunkIds()) before.set(toHex(id), (await index.locate([id]))[0])
  for (const host of [pool.others[0], pool.others[3]]) if (host) pool.bring(host, false)
  await index.clear()
  const components = {
    index,
    network: pool,
    pool,
    codec: loadCodec(),
    hasher: loadHasher(),
    logger: quiet,
  }
  const rebuilder = new IndexRebuilder({ bundle }, components)
  async function* entries(): AsyncGenerator<Uint8Array> {
    yield* pool.entries
  }
  const { signal } = new AbortController()
  const result = await rebuilder.rebuild({ entries: entries(), signal })
  assert.equal(result.snapshots, 2)
  assert.deepEqual(result.missing, [])
  assert.equal(result.silent.length, 2)
  const after = new Map<string, unknown>()
  for await (const id of index.chunkIds()) after.set(toHex(id), (await index.locate([id]))[0])
  assert.deepEqual(after, before)
  // the caches of another making of the index are void, and yet nothing is sent again
  for (const host of pool.others) pool.bring(host, true)
  assert.deepEqual(await service.settle(), { stripes: 0, shards: 0, leaving: 0 })
  for await (const holder of index.allHolders()) assert.ok(holder.receipt !== undefined)
  const summary = await service.store(world.request())
  assert.equal(summary.files_unmodified + summary.files_new, 201)
  assert.equal(summary.shards_sent, 0)
  assert.equal(summary.state, 'protected')
  const reader = new Reader(world)
  const root = await reader.entries(reader.snapshot().root)
  assert.equal((await reader.content(root.get('one') as Entry)).length, 5_000_000)
})

test('Goal: hosts without room are told apart from hosts that are away.', async (t) => {
  const world = makeWorld(t)
  writeFileSync(join(world.source, 'a'), 'a')
  for (const host of world.pool.others.slice(1)) {
    host.onPut = () => {
      throw new MoyaiError('NO_SPACE', 'full')
    }
  }
  await assert.rejects(world.service.store(world.request()), { code: 'NO_SPACE', exitCode: 24 })
  assert.equal(world.pool.entries.length, 0)
})

test('Goal: a folder of many names is stored and found unchanged, page by page.', async (t) => {
  const world = makeWorld(t)
  for (let i = 0; i < 3000; i++) writeFileSync(join(world.source, `name ${i}`), `${i}`)
  const first = await world.service.store(world.request())
  assert.equal(first.files_new, 3000)
  assert.equal(first.state, 'protected')
  const reader = new Reader(world)
  const root = await reader.entries(reader.snapshot().root)
  assert.equal(root.size, 3000)
  const one = await reader.content(root.get('name 2711') as Entry)
  assert.equal(Buffer.from(one).toString(), '2711')
  const second = await world.service.store(world.request())
  assert.equal(second.files_unmodified, 3000)
  assert.equal(second.packs_added, 0)
  rmSync(join(world.source, 'name 17'))
  const third = await world.service.store(world.request())
  assert.equal(third.files_unmodified, 2999)
  assert.ok(third.data_added < 400_000, `${third.data_added} bytes of new pages`)
})

test('Goal: whatever changed, what is taken over is what reading everything gives.', async (t) => {
  const world = makeWorld(t)
  const { source, service, home } = world
  const at = (...names: string[]): string => join(source, ...names)
  for (let folder = 0; folder < 12; folder++) {
    mkdirSync(at(`d${folder}`, 'deep'), { recursive: true })
    for (let i = 0; i < 40; i++) writeFileSync(at(`d${folder}`, `f${i}`), `${folder} ${i}`)
    writeFileSync(at(`d${folder}`, 'deep', 'x'), `${folder}`)
    symlinkSync('f1', at(`d${folder}`, 'link'))
  }
  for (let i = 0; i < 2500; i++) writeFileSync(at('d0', `${'n'.repeat(100)}${i}`), `${i % 9}`)
  await service.store(world.request())
  const reader = new Reader(world)
  const { mtime } = (await treeOf(reader, reader.snapshot().root)).get('d1/f7') as Entry

  writeFileSync(at('d1', 'f7'), '7 1')
  syscalls().setTimes?.(Buffer.from(at('d1', 'f7')), mtime, mtime)
  writeFileSync(at('d2', 'f1'), 'longer than it was')
  writeFileSync(at('d2', 'a new one'), 'new')
  rmSync(at('d3', 'f9'))
  rmSync(at('d4'), { recursive: true })
  writeFileSync(at('d4'), 'a file now')
  rmSync(at('d5', 'f5'))
  mkdirSync(at('d5', 'f5'))
  rmSync(at('d6', 'link'))
  symlinkSync('f2', at('d6', 'link'))
  chmodSync(at('d7', 'f3'), 0o600)
  linkSync(at('d8', 'f1'), at('d8', 'other name'))
  writeFileSync(at('d9', 'deep', 'x'), 'changed below')
  renameSync(at('d10'), at('z10'))
  truncateSync(at('d11', 'f1'), 0)
  for (let i = 700; i < 900; i++) rmSync(at('d0', `${'n'.repeat(100)}${i}`))
  writeFileSync(at('d0', `${'n'.repeat(100)}1600`), 'in a later page')

  const changed = await service.store(world.request())
  assert.ok(changed.files_unmodified > 2000, `${changed.files_unmodified} unmodified`)
  const takenOver = await treeOf(reader, reader.snapshot().root)
  assert.equal(Buffer.from(await reader.content(takenOver.get('d1/f7') as Entry)).toString(), '7 1')
  rmSync(join(home, 'cache'), { recursive: true })
  const anew = await service.store(world.request())
  assert.equal(anew.files_unmodified, 0)
  assert.deepEqual(takenOver, await treeOf(reader, reader.snapshot().root))
  const last = await service.store(world.request())
  assert.equal(last.dirs_changed + last.dirs_new, 0)
})

/** Every entry below `root`, by its path. */
async function treeOf(reader: Reader, root: Entry, path = ''): Promise<Map<string, Entry>> {
  const all = new Map<string, Entry>([[path, root]])
  if (root.type !== 'directory') return all
  for (const [name, entry] of await reader.entries(root)) {
    const below = await treeOf(reader, entry, path === '' ? name : `${path}/${name}`)
    for (const [inner, one] of below) all.set(inner, one)
  }
  return all
}

/** Every shard of the index is at a host that has it, in use, each stripe on hosts of its own. */
async function assertPlaced({ index, pool }: World): Promise<void> {
  for await (const { pack } of index.stripes()) {
    const holders = await index.holders(pack)
    assert.equal(new Set(holders.map(({ host }) => host)).size, holders.length)
    for (const { host, index: at, receipt } of holders) {
      assert.ok(receipt !== undefined)
      assert.equal(pool.retired.has(host) || pool.gone.has(host), false, 'at a host in use')
      const keeper = pool.others.find(({ id }) => id === host)
      assert.ok(keeper?.shards.has(`${toHex(pack)}.${at}`), 'the holder has it')
    }
    const info = await index.pack(pack)
    assert.ok(info !== undefined)
    assert.equal(holders.length, info.stripe.k + info.stripe.m)
  }
}

async function shardsAt({ index }: World, host: string): Promise<number> {
  const found = (await remainingAt(index, { hosts: [host], holders: 99 })).get(host)
  assert.equal(found?.bytes === 0, found?.shards === 0)
  return found?.shards ?? 0
}

test('Goal: a retiring host is emptied, shard by shard, and nothing is made again.', async (t) => {
  const world = makeWorld(t, ['a', 'a', 'b', 'b', 'c', 'c', 'd', 'd'], { k: 3, m: 2 })
  const { pool, service, source } = world
  writeFileSync(join(source, 'big'), new SeededRandom('x').bytes(30_000_000))
  await service.store(world.request())
  const [leaving, other] = pool.others.toSorted((a, b) => b.shards.size - a.shards.size)
  assert.ok(leaving !== undefined && other !== undefined)
  const before = await shardsAt(world, leaving.id)
  assert.ok(before > 1)
  pool.retired.add(leaving.id)

  // Interrupted on the way: what has moved has moved, what has not is still counted where it is.
  let puts = 0
  for (const host of pool.others) {
    host.onPut = () => {
      if (++puts > 1) throw new MoyaiError('HOST_UNREACHABLE', 'the line is cut')
    }
  }
  const half = await service.settle()
  assert.deepEqual([half.leaving, half.shards], [before - 1, 0])
  assert.equal(await shardsAt(world, leaving.id), before - 1)
  for (const host of pool.others) host.onPut = undefined
  assert.deepEqual(await service.settle(), { stripes: 0, shards: 0, leaving: 0 })
  assert.equal(await shardsAt(world, leaving.id), 0)
  await assertPlaced(world)

  const again = await service.store(world.request())
  assert.equal(again.state, 'protected')
  assert.equal(await shardsAt(world, leaving.id), 0)

  // One that is switched off before it is empty: its shards are made again from the others.
  pool.retired.add(other.id)
  other.online = false
  assert.equal((await service.settle()).leaving, 0)
  await assertPlaced(world)
})

test('Goal: a retiring host keeps what no other can take, and loses nothing.', async (t) => {
  const world = makeWorld(t, ['a', 'b', 'c', 'd', 'e'], { k: 3, m: 2 })
  const { pool, service, source } = world
  writeFileSync(join(source, 'big'), new SeededRandom('x').bytes(5_000_000))
  await service.store(world.request())
  const [leaving] = pool.others
  assert.ok(leaving !== undefined)
  pool.retired.add(leaving.id)
  const { leaving: left } = await service.settle()
  assert.ok(left > 0)
  assert.equal(await shardsAt(world, leaving.id), left)
  const holders = pool.hosts().length - 1
  const remaining = await remainingAt(world.index, { hosts: [leaving.id], holders })
  assert.equal(remaining.get(leaving.id)?.stuck, left)
  pool.retired.clear()
  assert.deepEqual(await service.settle(), { stripes: 0, shards: 0, leaving: 0 })
})

test('Goal: a pool that is too small for a stripe spares what its policy can spare.', async (t) => {
  const world = makeWorld(t, ['a', 'b', 'c', 'd', 'e', 'f'], { k: 3, m: 3 })
  const { pool, service, source } = world
  writeFileSync(join(source, 'big'), new SeededRandom('x').bytes(5_000_000))
  await service.store(world.request())
  const [leaving, next] = pool.others
  assert.ok(leaving !== undefined && next !== undefined)
  assert.ok((await shardsAt(world, leaving.id)) > 0)
  pool.retired.add(leaving.id)
  assert.equal((await service.settle()).leaving, 0)
  assert.equal(await shardsAt(world, leaving.id), 0)
  // The second one would leave less than the policy asks for.
  pool.retired.add(next.id)
  const left = await service.settle()
  assert.ok(left.leaving > 0)
  assert.equal(await shardsAt(world, next.id), left.leaving)
  pool.retired.clear()
  assert.deepEqual(await service.settle(), { stripes: 0, shards: 0, leaving: 0 })
  await assertPlaced(world)
})

test('Goal: what a revoked host kept is lost, and placed anew.', async (t) => {
  const world = makeWorld(t, ['a', 'a', 'b', 'b', 'c', 'c', 'd', 'd'], { k: 3, m: 2 })
  const { pool, service, source } = world
  writeFileSync(join(source, 'big'), new SeededRandom('x').bytes(20_000_000))
  await service.store(world.request())
  const [stolen] = pool.others.toSorted((a, b) => b.shards.size - a.shards.size)
  assert.ok(stolen !== undefined)
  assert.ok((await shardsAt(world, stolen.id)) > 1)
  pool.gone.add(stolen.id)
  assert.deepEqual(await service.settle(), { stripes: 0, shards: 0, leaving: 0 })
  await assertPlaced(world)
})
