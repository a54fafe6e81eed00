/**
 * The shard store on a real and on a simulated disk; what damage, a missing disk and a full disk do
 * to it.
 */

import assert from 'node:assert/strict'
import { readFile, mkdir, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'

import { ed25519Signer, toHex } from '@moyai/protocol'
import type { Random, Signer } from '@moyai/protocol'
import { FaultyDisk, SimulatedDisk, nodeDisk, openShardStore } from '@moyai/daemon'
import type { Disk, ShardId, ShardStore } from '@moyai/daemon'
import { fails, idOf, listAll, shardStoreSuite, store, testStripe } from './shard-store-suite.ts'

let randomCount = 0
const random: Random = { bytes: (length) => new Uint8Array(length).fill(++randomCount) }

function open(
  disk: Disk,
  root: string,
  o: { quotaBytes?: number; reserveBytes?: number } = {},
): Promise<ShardStore> {
  return openShardStore({ disk, root, random, quotaBytes: 1e12, reserveBytes: 0, ...o })
}

shardStoreSuite('real disk', async () => {
  const home = await mkdtemp(join(tmpdir(), 'moyai-shards-'))
  return {
    open: () => open(nodeDisk, join(home, 'shards')),
    remove: () => rm(home, { recursive: true }),
  }
})

shardStoreSuite('simulated disk', async () => {
  const disk = new SimulatedDisk()
  return { open: () => open(disk, '/shards'), remove: async () => {} }
})

/** A store on the real disk with one shard in it. */
async function withShard(
  run: (o: {
    home: string
    root: string
    shards: ShardStore
    stripe: ReturnType<typeof testStripe>
    id: ShardId
    path: string
  }) => Promise<void>,
): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), 'moyai-shards-'))
  const root = join(home, 'shards')
  const shards = await open(nodeDisk, root)
  try {
    const stripe = testStripe(1)
    await store(shards, stripe, { index: 0 })
    const id = idOf(stripe, 0)
    const pack = toHex(id.pack)
    const vault = toHex(id.vault).slice(0, 16)
    const path = join(root, vault, pack.slice(0, 2), `${pack}.0.shard`)
    await run({ home, root, shards, stripe, id, path })
  } finally {
    await shards.close()
    await rm(home, { recursive: true, force: true })
  }
}

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path)
  bytes[at < 0 ? bytes.length + at : at] = (bytes.at(at) ?? 0) ^ 1
  await writeFile(path, bytes)
}

void describe('damage', () => {
  const headerWounds: [string, (path: string) => Promise<void>][] = [
    ['a flipped bit in the header', (path) => flip(path, 50)],
    ['cut in half', (path) => truncate(path, 30_000)],
    ['cut by one byte', (path) => truncate(path, 4096 + 65_535)],
    ['a byte too many', async (path) => writeFile(path, Uint8Array.of(1), { flag: 'a' })],
    ['empty', (path) => truncate(path, 0)],
    ['junk', (path) => writeFile(path, new Uint8Array(100_000).fill(9))],
  ]
  for (const [name, wound] of headerWounds) {
    void test(`goal: ${name} is found when the shard is opened, and put replaces it`, async () => {
      await withShard(async ({ shards, stripe, id, path }) => {
        await wound(path)
        await assert.rejects(shards.open(id), fails('SHARD_DAMAGED'))
        await assert.rejects(shards.verify(id), fails('SHARD_DAMAGED'))
        assert.equal(await shards.has(id), false)
        assert.deepEqual(await shards.stat(stripe.descriptor), [])
        assert.equal(await store(shards, stripe, { index: 0 }), false)
        await shards.verify(id)
        const [item] = await listAll(shards, { vault: id.vault })
        assert.equal(item?.length, 4096 + 65_536)
      })
    })
  }

  void test('goal: a flipped bit in the payload is found by verify and by put', async () => {
    await withShard(async ({ shards, stripe, id, path }) => {
      await flip(path, -5)
      assert.equal(await shards.has(id), true)
      await assert.rejects(shards.verify(id), fails('SHARD_DAMAGED'))
      assert.equal(await store(shards, stripe, { index: 0 }), false)
      await shards.verify(id)
      assert.equal(await store(shards, stripe, { index: 0 }), true)
    })
  })

  void test('goal: swapped files are damaged, not served as each other', async () => {
    await withShard(async ({ shards, id, path }) => {
      const other = testStripe(2)
      await store(shards, other, { index: 0 })
      const pack = toHex(other.descriptor.pack)
      const otherPath = join(dirname(path), '..', pack.slice(0, 2), `${pack}.0.shard`)
      await rename(path, `${path}.swap`)
      await rename(otherPath, path)
      await rename(`${path}.swap`, otherPath)
      await assert.rejects(shards.open(id), fails('SHARD_DAMAGED'))
      await assert.rejects(shards.open(idOf(other, 0)), fails('SHARD_DAMAGED'))
    })
  })

  void test('goal: folders removed under a running store are made again', async () => {
    await withShard(async ({ root, shards, stripe, id }) => {
      await rm(join(root, toHex(id.vault).slice(0, 16)), { recursive: true })
      await rm(join(root, 'tmp'), { recursive: true })
      await assert.rejects(shards.open(id), fails('NOT_FOUND'))
      assert.equal(await store(shards, stripe, { index: 0 }), false)
      await shards.verify(id)
    })
  })

  void test('goal: foreign files in the store are passed over', async () => {
    await withShard(async ({ root, shards, path }) => {
      await writeFile(join(root, 'readme.txt'), 'x')
      await writeFile(join(dirname(path), 'x.shard'), 'x')
      await writeFile(join(dirname(path), `${'ab'.repeat(32)}.99.shard`), 'x')
      await mkdir(join(root, 'lost+found'))
      await mkdir(join(dirname(path), `${'cd'.repeat(32)}.1.shard`))
      assert.equal((await listAll(shards)).length, 1)
    })
  })

  void test('goal: what was half-written when the process was killed is swept at the next start', async () => {
    await withShard(async ({ root, shards }) => {
      await shards.close()
      await writeFile(join(root, 'tmp', 'old.0.1'), 'x')
      const again = await open(nodeDisk, root)
      assert.deepEqual(await nodeDisk.list(join(root, 'tmp')), [])
      await again.close()
    })
  })
})

void describe('identity', () => {
  void test('goal: a disk that is not mounted is offline, not empty', async () => {
    await withShard(async ({ home, root, shards, stripe, id }) => {
      await rename(root, join(home, 'unplugged'))
      const offline = fails('STORE_OFFLINE')
      const all = async (one: ShardStore): Promise<void> => {
        await assert.rejects(one.open(id), offline)
        await assert.rejects(one.has(id), offline)
        await assert.rejects(one.list({}), offline)
        await assert.rejects(one.stat(id), offline)
        await assert.rejects(one.put({ envelope: stripe.envelope, index: 1 }), offline)
      }
      await all(shards)
      // An empty mount point, and a restart: still the same.
      await mkdir(root)
      await all(shards)
      await shards.close()
      const again = await open(nodeDisk, root)
      await all(again)
      await assert.rejects(again.usedBytes(), offline)
      assert.deepEqual(await nodeDisk.list(root), [])
      await rm(root, { recursive: true })
      await rename(join(home, 'unplugged'), root)
      await again.verify(id)
      assert.equal(await store(again, stripe, { index: 1 }), false)
      await again.close()
    })
  })

  void test('goal: the disk of another store is offline', async () => {
    await withShard(async ({ home, root, shards, id }) => {
      const other = await open(nodeDisk, join(home, 'other'))
      await other.close()
      await rename(root, join(home, 'mine'))
      await rename(join(home, 'other'), root)
      await assert.rejects(shards.open(id), fails('STORE_OFFLINE'))
    })
  })

  void test('goal: a store whose marker was lost is adopted with all its shards', async () => {
    await withShard(async ({ root, shards, id }) => {
      await shards.close()
      await rm(`${root}.id`)
      const again = await open(nodeDisk, root)
      await again.verify(id)
      await again.close()
    })
  })
})

void describe('space', () => {
  void test('goal: the quota is kept, also by writers at the same time', async () => {
    const disk = new SimulatedDisk()
    const shards = await open(disk, '/shards', { quotaBytes: 3 * 70_000 })
    const results = await Promise.allSettled(
      Array.from({ length: 6 }, (_, i) => store(shards, testStripe(i), { index: 0 })),
    )
    const refused = results.filter((result) => result.status === 'rejected')
    assert.equal(refused.length, 3)
    assert.ok(refused.every((result) => fails('QUOTA')(result.reason)))
    assert.equal((await listAll(shards)).length, 3)
    const again = await open(disk, '/shards', { quotaBytes: 3 * 70_000 })
    await assert.rejects(store(again, testStripe(9), { index: 0 }), fails('QUOTA'))
    const held = await listAll(again)
    assert.equal(held.length, 3)
  })

  void test('goal: vaults that belong together keep to their quota, others are not touched', async () => {
    const shards = await open(new SimulatedDisk(), '/shards')
    const [one, two, other] = [1, 2, 3].map((seed) => ed25519Signer(new Uint8Array(32).fill(seed)))
    assert.ok(one !== undefined && two !== undefined && other !== undefined)
    const quota = { vaults: [one.publicKey, two.publicKey], bytes: 3 * 70_000 }
    const put = async (seed: number, signer: Signer): Promise<void> => {
      const { envelope, shards: payloads } = testStripe(seed, { signer })
      const begun = await shards.put({ envelope, index: 0, ...(signer === other ? {} : { quota }) })
      assert.ok(!begun.had)
      await begun.writer.write(payloads[0] as Uint8Array)
      await begun.writer.commit()
      await begun.writer.abort()
    }
    const six = [0, 1, 2, 3, 4, 5].map((seed) => put(seed, seed % 2 === 0 ? one : two))
    const results = await Promise.allSettled(six)
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 3)
    await put(7, other)
    const again = testStripe(8, { signer: one })
    await assert.rejects(shards.put({ ...again, index: 0, quota }), fails('QUOTA'))
    const both = (await shards.usedBytes(one.publicKey)) + (await shards.usedBytes(two.publicKey))
    assert.ok(both > 0 && both <= quota.bytes)
    assert.equal(both + (await shards.usedBytes(other.publicKey)), await shards.usedBytes())
  })

  void test('goal: what is free is the lesser of quota and disk', async () => {
    const disk = new SimulatedDisk({ capacityBytes: 400_000 })
    const small = await open(disk, '/shards', { quotaBytes: 100_000 })
    assert.equal(await small.freeBytes(), 100_000)
    await store(small, testStripe(1), { index: 0 })
    assert.equal(await small.freeBytes(), 100_000 - (await small.usedBytes()))
    const full = await open(disk, '/shards', { reserveBytes: 390_000 })
    assert.equal(await full.freeBytes(), 0)
  })

  void test('goal: the reserve of the disk is never used', async () => {
    const disk = new SimulatedDisk({ capacityBytes: 400_000 })
    const shards = await open(disk, '/shards', { reserveBytes: 250_000 })
    await store(shards, testStripe(1), { index: 0 })
    await store(shards, testStripe(2), { index: 0 })
    await assert.rejects(store(shards, testStripe(3), { index: 0 }), fails('NO_SPACE'))
    assert.equal((await listAll(shards)).length, 2)
  })

  void test('goal: an aborted shard gives its room back', async () => {
    const shards = await open(new SimulatedDisk(), '/shards', { quotaBytes: 70_000 })
    for (let i = 0; i < 3; i++) {
      const put = await shards.put({ envelope: testStripe(i).envelope, index: 0 })
      assert.ok(!put.had)
      await assert.rejects(store(shards, testStripe(9), { index: 0 }), fails('QUOTA'))
      await put.writer.abort()
    }
    await store(shards, testStripe(9), { index: 0 })
  })

  void test('goal: more writers than the limit are told to wait', async () => {
    const shards = await open(new SimulatedDisk(), '/shards')
    const { envelope } = testStripe(1)
    for (let i = 0; i < 256; i++) assert.ok(!(await shards.put({ envelope, index: 0 })).had)
    await assert.rejects(shards.put({ envelope, index: 0 }), fails('BUSY'))
    await shards.close()
  })
})

void describe('group commit', () => {
  void test('goal: shards committed together share the fsync of their folder', async () => {
    const syncs = new Map<string, number>()
    const disk = new FaultyDisk(new SimulatedDisk(), ({ name, path }) => {
      if (name === 'syncDirectory') syncs.set(path, (syncs.get(path) ?? 0) + 1)
      return undefined
    })
    const shards = await open(disk, '/shards')
    // Shards of one stripe lie in one folder.
    const stripe = testStripe(1, { m: 11 })
    await store(shards, stripe, { index: 0 })
    syncs.clear()
    await Promise.all(Array.from({ length: 11 }, (_, i) => store(shards, stripe, { index: i + 1 })))
    const counts = [...syncs.values()]
    assert.equal(counts.length, 1)
    assert.ok((counts[0] ?? 99) <= 4, `${counts[0]} fsyncs for 11 shards`)
  })
})
