/**
 * A pool of hosts in memory for tests of storing: verifies like a holder, signs receipts, fails on
 * demand.
 */

import {
  blake3,
  ed25519Signer,
  equalBytes,
  logEntryId,
  MoyaiError,
  NO_ENTRY,
  openStripe,
  signLogEntry,
  signReceipt,
  toHex,
} from '@moyai/protocol'
import type { HostFacts, Policy, Signer } from '@moyai/protocol'

import type { Appended, StoreLog, StoreNetwork, StorePool } from '../ports.ts'

/** One host: its shards by `pack.index`, and what it was asked. */
export class MemoryHost {
  readonly signer: Signer
  readonly id: string
  readonly site: string
  readonly shards = new Map<string, { envelope: Uint8Array; bytes: Uint8Array }>()
  online = true
  puts = 0
  /** Shards that arrived although they were there. */
  resent = 0
  /** Throws to fail a put. */
  onPut: ((o: { index: number }) => void | Promise<void>) | undefined

  constructor(o: { seed: number; site: string }) {
    this.signer = ed25519Signer(new Uint8Array(32).fill(o.seed))
    this.id = toHex(this.signer.publicKey)
    this.site = o.site
  }

  async put(o: {
    envelope: Uint8Array
    index: number
    payload: AsyncIterable<Uint8Array> | (() => AsyncIterable<Uint8Array>)
  }): Promise<{ receipt: Uint8Array; had: boolean }> {
    await this.onPut?.(o)
    this.puts++
    const stripe = openStripe(o.envelope)
    const key = `${toHex(stripe.pack)}.${o.index}`
    const had = this.shards.has(key)
    if (!had) {
      const parts: Uint8Array[] = []
      const source = typeof o.payload === 'function' ? o.payload() : o.payload
      for await (const part of source) parts.push(part)
      const bytes = new Uint8Array(Buffer.concat(parts))
      const hash = stripe.shardHashes[o.index]
      if (hash === undefined || !equalBytes(blake3(bytes), hash)) {
        throw new MoyaiError('HASH_MISMATCH', 'not the signed shard')
      }
      if (!this.online) throw new MoyaiError('HOST_UNREACHABLE', 'gone meanwhile')
      this.shards.set(key, { envelope: o.envelope, bytes })
    }
    const receipt = signReceipt(
      {
        pool: new Uint8Array(32),
        vault: stripe.vault,
        pack: stripe.pack,
        index: o.index,
        shardHash: stripe.shardHashes[o.index] as Uint8Array,
        host: this.signer.publicKey,
        storedAt: 1,
        protectedUntil: stripe.protectedUntil,
      },
      this.signer,
    )
    return { receipt, had }
  }
}

/** Hosts, their network, and a log that confirms everything. */
export class MemoryPool implements StorePool, StoreNetwork, StoreLog {
  readonly self: string
  readonly owner: MemoryHost
  readonly others: MemoryHost[]
  readonly entries: Uint8Array[] = []
  readonly retired = new Set<string>()
  readonly gone = new Set<string>()
  readonly #listeners = new Set<(host: string) => void>()

  readonly #vault: Signer

  /** `sites`: one host for each; the owner's own host is a further one. `vault` signs the log. */
  constructor(sites: readonly string[], vault: Signer) {
    this.#vault = vault
    this.owner = new MemoryHost({ seed: 1, site: 'home' })
    this.self = this.owner.id
    this.others = sites.map((site, i) => new MemoryHost({ seed: i + 2, site }))
  }

  nameOf(host: string): string {
    return host.slice(0, 8)
  }

  retiring(): ReadonlySet<string> {
    return this.retired
  }

  revoked(): ReadonlySet<string> {
    return this.gone
  }

  hosts(): HostFacts[] {
    const out = (host: MemoryHost): boolean => this.retired.has(host.id) || this.gone.has(host.id)
    const present = [this.owner, ...this.others].filter((host) => !out(host))
    return present.map((host) => ({
      id: host.id,
      org: 'one',
      site: host.site,
      provider: 'self',
      online: host.online,
      freeBytes: 1e12,
    }))
  }

  policy(): Policy {
    return { host: 2, site: 1, provider: 1, org: 1 }
  }

  /** Sets who is online; those who come back are announced. */
  bring(host: MemoryHost, online: boolean): void {
    host.online = online
    if (online) for (const listener of this.#listeners) listener(host.id)
  }

  on(event: 'peer:up' | 'peer:down', listener: (host: string) => void): () => void {
    if (event === 'peer:up') this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  shards(id: string): ReturnType<StoreNetwork['shards']> {
    const host = this.others.find((candidate) => candidate.id === id)
    if (host?.online !== true || this.gone.has(id))
      throw new MoyaiError('HOST_UNREACHABLE', 'not connected')
    return {
      put: (o) => host.put(o),
      async *get(o) {
        const shard = host.shards.get(`${toHex(o.pack)}.${o.index}`)
        if (shard === undefined) throw new MoyaiError('NOT_FOUND', 'no such shard')
        yield shard.bytes.slice(o.offset, o.offset + o.length)
      },
      stat: async (o) => {
        const found: { index: number; envelope: Uint8Array }[] = []
        for (const [key, shard] of host.shards) {
          const [pack, index] = key.split('.')
          if (pack === toHex(o.pack)) found.push({ index: Number(index), envelope: shard.envelope })
        }
        return found
      },
      inventory: async () => ({
        items: [...host.shards].map(([key, shard]) => {
          const [pack, index] = key.split('.') as [string, string]
          const bytes = new Uint8Array(Buffer.from(pack, 'hex'))
          return { pack: bytes, index: Number(index), length: shard.bytes.length }
        }),
      }),
    }
  }

  async append(o: Parameters<StoreLog['append']>[0]): Promise<Appended> {
    const last = this.entries.at(-1)
    const prev = last === undefined ? NO_ENTRY : logEntryId(last)
    const seq = this.entries.length
    const vault = this.#vault.publicKey
    const sealed = o.seal({ seq, prev })
    const envelope = signLogEntry({ vault, seq, prev, at: seq, kind: o.kind, sealed }, this.#vault)
    this.entries.push(envelope)
    const confirmed = this.others.filter((host) => host.online).map((host) => host.id)
    return { id: logEntryId(envelope), confirmed, unconfirmed: [], majority: true }
  }

  /** All shards of all hosts. */
  get shardCount(): number {
    return this.others.reduce((sum, host) => sum + host.shards.size, 0)
  }
}
