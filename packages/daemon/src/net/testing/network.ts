/**
 * Whole networks on loopback for tests: two or more hosts, one pool, membership that a test
 * changes.
 */

import {
  blake3,
  concatBytes,
  ed25519Signer,
  signStripe,
  toHex,
  type Clock,
  type Signer,
  type StripeDescriptor,
} from '@moyai/protocol'
import type { Rates } from '../../bandwidth/rate-limit.ts'
import { systemClock } from '../../clock.ts'
import { SeededRandom } from '../../random.ts'
import { createNetwork, type InspectableNetwork } from '../index.ts'
import type { Member } from '../peers.ts'
import type { Membership, Violation } from '../types.ts'
import { MemoryShards } from './memory-shards.ts'
import { seedOf } from './nodes.ts'

export const POOL: Uint8Array = new Uint8Array(32).fill(0xaa)

/** What a test says about the pool. */
export class TestMembership implements Membership {
  readonly hosts = new Map<string, readonly string[]>()
  readonly vaults = new Set<string>()
  readonly revoked = new Set<string>()
  welcome = false

  pool(): Uint8Array {
    return POOL
  }

  isMember(host: string): boolean {
    return this.hosts.has(host)
  }

  members(): Member[] {
    return [...this.hosts].map(([host, addresses]) => ({ host, addresses }))
  }

  isRevoked(host: string): boolean {
    return this.revoked.has(host)
  }

  strangersWelcome(): boolean {
    return this.welcome
  }

  isVault(vault: string): boolean {
    return this.vaults.has(vault)
  }
}

export type TestHost = AsyncDisposable & {
  id: string
  network: InspectableNetwork
  membership: TestMembership
  store: MemoryShards
  violations: Violation[]
}

/** A host that is built but not started, so that protocols can be registered. */
export async function buildHost(
  seed: number,
  o: { clock?: Clock; listen?: string[]; membership?: TestMembership; rates?: Rates } = {},
): Promise<TestHost> {
  const membership = o.membership ?? new TestMembership()
  const store = new MemoryShards()
  const network = await createNetwork(
    { seed: seedOf(seed), listen: o.listen ?? ['/ip4/127.0.0.1/tcp/0'] },
    {
      clock: o.clock ?? systemClock,
      random: new SeededRandom(seed),
      membership,
      store,
      ...(o.rates === undefined ? {} : { rates: o.rates }),
    },
  )
  const violations: Violation[] = []
  network.onViolation((violation) => violations.push(violation))
  return {
    id: toHex(network.self),
    network,
    membership,
    store,
    violations,
    [Symbol.asyncDispose]: () => network.stop(),
  }
}

/** Makes every host a member in the eyes of every other, and tells them. */
export function introduce(...hosts: TestHost[]): void {
  for (const host of hosts) {
    for (const other of hosts) host.membership.hosts.set(other.id, other.network.addresses())
  }
  for (const host of hosts) host.network.membershipChanged()
}

/** The vault of tests; `introduceVault` makes it one of the pool. */
export const vault: Signer = ed25519Signer(seedOf(0xbb))

export function introduceVault(...hosts: TestHost[]): void {
  for (const host of hosts) host.membership.vaults.add(toHex(vault.publicKey))
}

export type TestStripe = {
  descriptor: StripeDescriptor
  envelope: Uint8Array
  shards: Uint8Array[]
}

/**
 * A signed stripe of `count` random shards; no code relates them, which the wire does not notice.
 */
export function makeStripe(
  seed: number,
  o: { shardLength?: number; count?: number; signer?: Signer } = {},
): TestStripe {
  const shardLength = o.shardLength ?? 1024 * 1024
  const count = o.count ?? 2
  const random = new SeededRandom(`stripe ${seed}`)
  const shards = Array.from({ length: count }, () => random.bytes(shardLength))
  const signer = o.signer ?? vault
  const descriptor: StripeDescriptor = {
    vault: signer.publicKey,
    vaultSalt: new Uint8Array(16),
    pack: blake3(concatBytes(...shards)),
    k: 1,
    m: count - 1,
    shardLength,
    shardHashes: shards.map((shard) => blake3(shard)),
    class: 'data',
    protectedUntil: 1_800_000_000_000,
    created: 1_790_000_000_000,
  }
  return { descriptor, envelope: signStripe(descriptor, signer), shards }
}

/** `bytes` in pieces, as a file would be read. */
export async function* pieces(bytes: Uint8Array, length = 256 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}
