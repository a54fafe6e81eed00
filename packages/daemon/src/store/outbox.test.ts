import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { copyFileSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'

import { blake3, ed25519Signer, portableHasher, signStripe, toHex } from '@moyai/protocol'

import {
  listOutbox,
  OutboxFile,
  recycleOutboxPack,
  removeSpares,
  writeOutboxPack,
} from './outbox.ts'
import type { OutboxPack } from './outbox.ts'

const K = 2
const M = 1

function makeFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-outbox-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function makePack(shardLength: number): OutboxPack {
  const shards = randomBytes((K + M) * shardLength)
  const shardHashes = Array.from({ length: K + M }, (_, i) =>
    blake3(shards.subarray(i * shardLength, (i + 1) * shardLength)),
  )
  const pack = blake3(shards.subarray(0, K * shardLength))
  const signer = ed25519Signer(new Uint8Array(32).fill(5))
  const envelope = signStripe(
    {
      vault: signer.publicKey,
      vaultSalt: randomBytes(16),
      pack,
      k: K,
      m: M,
      shardLength,
      shardHashes,
      class: 'data',
      protectedUntil: 2,
      created: 1,
    },
    signer,
  )
  const salt = randomBytes(32)
  return { pack, envelope, salt, packClass: 'data', segment: randomBytes(100), shards }
}

async function shardsOf(folder: string, pack: Uint8Array): Promise<Buffer> {
  await using file = await OutboxFile.open(folder, pack, portableHasher)
  const parts: Uint8Array[] = []
  for (let i = 0; i < K + M; i++) for await (const piece of file.shard(i)) parts.push(piece)
  return Buffer.concat(parts)
}

test('a sent pack leaves a spare file, and the next pack of any size is written over it', async (t) => {
  const folder = makeFolder(t)
  for (const shardLength of [64 * 1024, 256 * 1024, 64 * 1024]) {
    const pack = makePack(shardLength)
    writeOutboxPack(folder, pack, portableHasher)
    assert.deepEqual(readdirSync(folder), [`${toHex(pack.pack)}.pack`])
    assert.deepEqual(await shardsOf(folder, pack.pack), Buffer.from(pack.shards))
    const path = join(folder, `${toHex(pack.pack)}.pack`)
    assert.ok(statSync(path).size < pack.shards.length + 4096, 'nothing is left behind it')
    await recycleOutboxPack(folder, pack.pack)
    assert.match(readdirSync(folder).join(), /^\d\.spare$/)
  }
  await removeSpares(folder)
  assert.deepEqual(readdirSync(folder), [])
})

test('spare files are no packs, and go when the outbox is listed', async (t) => {
  const folder = makeFolder(t)
  const packs = [makePack(64 * 1024), makePack(64 * 1024)] as const
  for (const pack of packs) writeOutboxPack(folder, pack, portableHasher)
  await recycleOutboxPack(folder, packs[0].pack)
  assert.deepEqual(await listOutbox(folder), [toHex(packs[1].pack)])
  assert.deepEqual(readdirSync(folder), [`${toHex(packs[1].pack)}.pack`])
})

test('a file that still holds what it held as a spare is torn', async (t) => {
  const folder = makeFolder(t)
  const [old, next] = [makePack(64 * 1024), makePack(64 * 1024)]
  writeOutboxPack(folder, old, portableHasher)
  const name = (pack: OutboxPack): string => join(folder, `${toHex(pack.pack)}.pack`)
  // what a power cut leaves when the new name reached the disk and the new bytes did not
  copyFileSync(name(old), name(next))
  await assert.rejects(OutboxFile.open(folder, next.pack, portableHasher), {
    code: 'HASH_MISMATCH',
  })
})
