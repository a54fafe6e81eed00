/** Stripes of simulated vaults: real bytes, really coded, really signed. */

import { loadCodec, SeededRandom } from '@moyai/daemon'
import {
  blake3,
  ed25519Signer,
  groupHashes,
  signStripe,
  toHex,
  type Code,
  type Codec,
  type Signer,
  type StripeClass,
} from '@moyai/protocol'

import type { Shard, TrueStripe } from './truth.ts'

/** The smallest shard there is: what it stands for is `weight` times as much. */
export const SHARD_BYTES: number = 64 * 1024

let codecOfThread: Codec | undefined

/** One for the thread: it compiles for some milliseconds. */
export function simCodec(): Codec {
  codecOfThread ??= loadCodec()
  return codecOfThread
}

/** A vault, and where its bytes come from. */
export class SimVault {
  readonly signer: Signer
  /** Hex of the host that owns it. */
  readonly owner: string
  readonly #random: SeededRandom
  readonly #salt: Uint8Array

  constructor(o: { seed: string; owner: string }) {
    this.owner = o.owner
    this.#random = new SeededRandom(o.seed)
    this.signer = ed25519Signer(this.#random.bytes(32))
    this.#salt = this.#random.bytes(16)
  }

  get id(): Uint8Array {
    return this.signer.publicKey
  }

  /** A new stripe of random content; nothing of it is anywhere yet. */
  stripe(o: { code: Code; class: StripeClass; now: number; protectedUntil: number }): TrueStripe {
    const { k, m } = o.code
    const all = new Uint8Array((k + m) * SHARD_BYTES)
    all.set(this.#random.bytes(k * SHARD_BYTES))
    simCodec().encode(o.code, SHARD_BYTES, all)
    const shards = Array.from({ length: k + m }, (_, index): Shard => {
      const bytes = all.subarray(index * SHARD_BYTES, (index + 1) * SHARD_BYTES)
      return { index, bytes, groups: groupHashes(bytes) }
    })
    const descriptor = {
      vault: this.id,
      vaultSalt: this.#salt,
      pack: blake3(all.subarray(0, k * SHARD_BYTES)),
      k,
      m,
      shardLength: SHARD_BYTES,
      shardHashes: shards.map(({ bytes }) => blake3(bytes)),
      class: o.class,
      protectedUntil: o.protectedUntil,
      created: o.now,
    }
    return {
      key: `${toHex(descriptor.vault)}/${toHex(descriptor.pack)}`,
      descriptor,
      envelope: signStripe(descriptor, this.signer),
      code: o.code,
      owner: this.owner,
      shards,
      acknowledged: false,
      intact: shards.map(() => new Set<string>()),
      distinct: 0,
      brokenAt: undefined,
      lost: false,
    }
  }
}
