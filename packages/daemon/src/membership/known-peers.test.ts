import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ed25519Signer, toHex } from '@moyai/protocol'

import { replaceFile, SimulatedDisk } from '../file-system/index.ts'
import { silentLogger } from '../logger.ts'
import { peerIdOfHost } from '../net/identity.ts'
import { KnownPeers, peerOfAddress } from './known-peers.ts'

test('goal: an address with a peer id names a host; anything else names nobody', () => {
  const host = ed25519Signer(new Uint8Array(32).fill(7)).publicKey
  const address = `/ip4/192.0.2.7/tcp/4001/p2p/${peerIdOfHost(host).toString()}`
  assert.deepEqual(peerOfAddress(address), {
    host: toHex(host),
    addresses: ['/ip4/192.0.2.7/tcp/4001'],
  })
  for (const text of ['', '/ip4/192.0.2.7/tcp/4001', '/ip4/192.0.2.7/tcp/4001/p2p/xyz']) {
    assert.equal(peerOfAddress(text), undefined, text)
  }
})

test('goal: what was written is read; what is not ours is nobody', async () => {
  const disk = new SimulatedDisk()
  const peers = new KnownPeers({ path: '/pool.peers' }, { disk, logger: silentLogger })
  assert.deepEqual(await peers.read(), [])
  const host = 'ab'.repeat(32)
  await peers.write([
    { host, addresses: ['/ip4/192.0.2.7/tcp/4001'] },
    { host: 'cd'.repeat(32), addresses: [] },
  ])
  disk.powerLoss()
  assert.deepEqual(await peers.read(), [{ host, addresses: ['/ip4/192.0.2.7/tcp/4001'] }])
  for (const text of ['', '{', '{}', '[1, {"host":"x","addresses":[]}, null]']) {
    const bytes = new TextEncoder().encode(text)
    await replaceFile(disk, { path: '/pool.peers', bytes, mode: 0o600 })
    assert.deepEqual(await peers.read(), [], text)
  }
})
