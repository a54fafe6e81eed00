/** Host ids and peer ids, and addresses that come from people and from other hosts. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ed25519Signer, isMoyaiError, toHex } from '@moyai/protocol'
import { addressOf, checkedAddress } from './addresses.ts'
import {
  hexOfPeerId,
  hostOfPeerId,
  peerIdOfHex,
  peerIdOfHost,
  privateKeyOfSeed,
} from './identity.ts'

test('goal: one seed gives the same identity to libp2p and to our signatures, there and back', async () => {
  for (let number = 0; number < 10; number++) {
    const seed = new Uint8Array(32).fill(number)
    const host = ed25519Signer(seed).publicKey
    const peer = peerIdFromPrivateKey(await privateKeyOfSeed(seed))
    assert.equal(peerIdOfHost(host).toString(), peer.toString())
    assert.equal(peerIdOfHex(toHex(host)).toString(), peer.toString())
    assert.deepEqual(new Uint8Array(hostOfPeerId(peer) ?? []), host)
    assert.equal(hexOfPeerId(peer), toHex(host))
  }
  const other = peerIdFromPrivateKey(await generateKeyPair('secp256k1'))
  assert.equal(hexOfPeerId(other), undefined)
  for (const wrong of ['', '00', 'zz'.repeat(32), '00'.repeat(33)]) {
    assert.throws(
      () => peerIdOfHex(wrong),
      (error) => isMoyaiError(error, 'MALFORMED'),
    )
  }
})

test('goal: a person’s wrong address is explained; another host’s is left out', () => {
  assert.equal(checkedAddress('/ip4/192.0.2.7/tcp/4001').toString(), '/ip4/192.0.2.7/tcp/4001')
  assert.throws(
    () => checkedAddress('192.0.2.7:4001'),
    (error) => isMoyaiError(error, 'CONFIG_INVALID') && error.hint !== undefined,
  )
  const peer = peerIdOfHost(ed25519Signer(new Uint8Array(32)).publicKey)
  const other = peerIdOfHost(ed25519Signer(new Uint8Array(32).fill(1)).publicKey)
  const full = `/ip4/192.0.2.7/tcp/4001/p2p/${peer.toString()}`
  assert.equal(addressOf('/ip4/192.0.2.7/tcp/4001', peer)?.toString(), full)
  assert.equal(addressOf(full, peer)?.toString(), full)
  assert.equal(addressOf(full, other), undefined)
  assert.equal(addressOf('nonsense\u001b[0m', peer), undefined)
})
