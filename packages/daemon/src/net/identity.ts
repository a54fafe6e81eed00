/**
 * Between libp2p's peer ids and moyai's host ids: a host id is the raw Ed25519 public key, 32
 * bytes.
 */

import { generateKeyPairFromSeed, publicKeyFromRaw } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey, PeerId } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { assert, fromHex, MoyaiError, PUBLIC_KEY_BYTES, toHex } from '@moyai/protocol'

/** The libp2p private key of a 32-byte Ed25519 seed. */
export async function privateKeyOfSeed(seed: Uint8Array): Promise<Ed25519PrivateKey> {
  assert(seed.length === 32, 'an Ed25519 seed is 32 bytes')
  return generateKeyPairFromSeed('Ed25519', seed)
}

/** Peer id of a host. MALFORMED when the bytes are no public key. */
export function peerIdOfHost(host: Uint8Array): PeerId {
  if (host.length !== PUBLIC_KEY_BYTES) {
    throw new MoyaiError('MALFORMED', 'a host id is 32 bytes')
  }
  return peerIdFromPublicKey(publicKeyFromRaw(host))
}

/** Peer id of a host given as 64 hex digits. MALFORMED otherwise. */
export function peerIdOfHex(host: string): PeerId {
  return peerIdOfHost(fromHex(host))
}

/** Host id of a peer; undefined for keys other than Ed25519, which no host has. */
export function hostOfPeerId(peer: PeerId): Uint8Array | undefined {
  return peer.type === 'Ed25519' ? peer.publicKey.raw : undefined
}

/** Host id of a peer in hex; undefined for keys other than Ed25519. */
export function hexOfPeerId(peer: PeerId): string | undefined {
  const host = hostOfPeerId(peer)
  return host === undefined ? undefined : toHex(host)
}
