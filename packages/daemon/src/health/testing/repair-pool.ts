/** A pool in memory for tests of repair: hosts with shards, who see one another truly or not. */

import {
  blake3,
  defined,
  ed25519Signer,
  equalBytes,
  kernelCodec,
  MoyaiError,
  openStripe,
  plainCodec,
  signReceipt,
  signStripe,
  toHex,
} from '@moyai/protocol'
import type { Code, Codec, Policy, Signer, StripeDescriptor } from '@moyai/protocol'

import type { ManualClock } from '../../clock.ts'
import type { Logger } from '../../logger.ts'
import type { ShardClient } from '../../net/types.ts'
import { MemoryShards } from '../../net/testing/memory-shards.ts'
import type {
  HealthNetwork,
  HealthNews,
  HealthPool,
  HostState,
  LivenessView,
  ShardPlace,
  StripeView,
  TrustView,
  Whereabouts,
} from '../ports.ts'
import { RepairService } from '../repair-service.ts'
import type { RepairOptions } from '../repair-service.ts'

export const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

const POOL = blake3(new TextEncoder().encode('pool'))

export class TestHost {
  readonly signer: Signer
  readonly id: string
  shards = new MemoryShards()
  online = true
  state: HostState | undefined
  /** Puts that were begun, and gets, in order: `put 3`, `get 0`. */
  readonly log: string[] = []
  /** Called before each put or get; may wait or throw. */
  before: (what: string) => Promise<void> = async () => undefined
  /** Bytes that a get gives are changed by this. */
  spoil: ((bytes: Uint8Array) => Uint8Array) | undefined
  /** A get throws after this many bytes. */
  diesAfter: number | undefined
  site: string

  constructor(number: number, site: string) {
    this.signer = ed25519Signer(new Uint8Array(32).fill(number + 1))
    this.id = toHex(this.signer.publicKey)
    this.site = site
  }
}

export type StoredStripe = { stripe: StripeDescriptor; envelope: Uint8Array; shards: Uint8Array[] }

/** Hosts, vaults and what all of them have; `service` makes the repair of one host. */
export class TestPool {
  readonly clock: ManualClock
  readonly codec: Codec = kernelCodec() ?? plainCodec()
  readonly hosts: TestHost[]
  readonly vaults = new Map<string, string>()
  readonly stripes = new Map<string, StoredStripe>()
  readonly refuted = new Set<string>()
  readonly retiring = new Set<string>()
  readonly revoked = new Set<string>()
  readonly untrusted = new Set<string>()
  readonly services = new Map<string, RepairService>()
  readonly #listeners = new Set<() => void>()
  /** Whether others presume lost whom one does. */
  agrees = true
  /** The shard protocol from one host to another; in memory unless set. */
  clientOf: ((from: string, to: string) => ShardClient) | undefined
  policy: Policy = { host: 2, site: 1, provider: 0, org: 0 }
  deafTo: (from: string, to: string) => boolean = () => false

  constructor(clock: ManualClock, o: { hosts: number; sites: number }) {
    this.clock = clock
    this.hosts = Array.from({ length: o.hosts }, (_, i) => new TestHost(i, `site${i % o.sites}`))
  }

  host(id: string): TestHost {
    return defined(
      this.hosts.find((host) => host.id === id),
      'a host',
    )
  }

  /** Stores a stripe of `owner` at the first other hosts, in order. */
  store(o: { owner: TestHost; code: Code; shardLength?: number; seed: number }): StoredStripe {
    const { k, m } = o.code
    const shardLength = o.shardLength ?? 65_536
    const bytes = this.codec.allocate((k + m) * shardLength)
    for (let i = 0; i < k * shardLength; i++) bytes[i] = (i * 31 + o.seed * 7 + (i >> 8)) & 255
    this.codec.encode(o.code, shardLength, bytes)
    const shards = Array.from({ length: k + m }, (_, i) =>
      bytes.slice(i * shardLength, (i + 1) * shardLength),
    )
    const vault = ed25519Signer(new Uint8Array(32).fill(100 + this.hosts.indexOf(o.owner)))
    this.vaults.set(toHex(vault.publicKey), o.owner.id)
    const stripe: StripeDescriptor = {
      vault: vault.publicKey,
      vaultSalt: new Uint8Array(16),
      pack: blake3(bytes.slice(0, k * shardLength)),
      k,
      m,
      shardLength,
      shardHashes: shards.map((shard) => blake3(shard)),
      class: 'data',
      protectedUntil: this.clock.now() + 1e9,
      created: this.clock.now() - 24 * 3600 * 1000,
    }
    const envelope = signStripe(stripe, vault)
    const stored = { stripe: openStripe(envelope), envelope, shards }
    this.stripes.set(toHex(stripe.pack), stored)
    const others = this.hosts.filter((host) => host !== o.owner)
    for (let i = 0; i < k + m; i++) this.give(defined(others[i], 'a host'), stored, i)
    return stored
  }

  give(host: TestHost, { stripe, envelope, shards }: StoredStripe, index: number): void {
    const key = `${toHex(stripe.vault)}/${toHex(stripe.pack)}.${index}`
    const bytes = defined(shards[index], 'a shard').slice()
    host.shards.held.set(key, { envelope, descriptor: stripe, index, bytes })
  }

  /** Who has which shard of a stripe. */
  holders({ stripe }: StoredStripe): Map<number, string[]> {
    const found = new Map<number, string[]>()
    for (const { index, host } of this.#places(stripe)) {
      found.set(index, [...(found.get(index) ?? []), host])
    }
    return found
  }

  /** Its disk is empty, and everybody knows. */
  wipe(host: TestHost): void {
    host.shards = new MemoryShards()
    this.changed()
  }

  setState(host: TestHost, state: HostState): void {
    host.state = state
    host.online = state === 'online'
    this.changed()
  }

  changed(): void {
    for (const listener of this.#listeners) listener()
  }

  service(host: TestHost, options: RepairOptions = {}): RepairService {
    const service = new RepairService(options, {
      pool: this.#pool(host),
      liveness: this.#liveness(host),
      trust: this.#trust(),
      whereabouts: this.#whereabouts(host),
      network: this.#network(host),
      store: host.shards,
      codec: this.codec,
      clock: this.clock,
      logger: SILENT,
      signer: host.signer,
    })
    service.watch()
    this.services.set(host.id, service)
    return service
  }

  #places(stripe: StripeDescriptor): ShardPlace[] {
    const prefix = `${toHex(stripe.vault)}/${toHex(stripe.pack)}.`
    return this.hosts
      .flatMap((host) =>
        [...host.shards.held].flatMap(([key, { index }]) => {
          if (!key.startsWith(prefix)) return []
          const refuted = this.refuted.has(`${host.id} ${key}`)
          return { index, host: host.id, seenAt: this.clock.now(), refuted }
        }),
      )
      .sort((a, b) => a.index - b.index || (a.host < b.host ? -1 : 1))
  }

  #pool({ id: self }: TestHost): HealthPool {
    const hosts = this.hosts
    return {
      self,
      id: () => POOL,
      hosts: () =>
        hosts.map(({ id, site, online }) => {
          const facts = { id, site, provider: 'self', org: 'o', online }
          return { ...facts, freeBytes: 1e12 }
        }),
      retiring: () => this.retiring,
      revoked: () => this.revoked,
      policy: () => this.policy,
      vaults: () => this.vaults,
      nameOf: (host) => host.slice(0, 6),
    }
  }

  #liveness({ id: self }: TestHost): LivenessView {
    return {
      stateOf: (host) => {
        const { state, online } = this.host(host)
        return host === self ? 'online' : (state ?? (online ? 'online' : 'away'))
      },
      onChange: (listener) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
    }
  }

  #trust(): TrustView {
    return { isTrusted: (host) => !this.untrusted.has(host) }
  }

  #whereabouts({ id: self }: TestHost): Whereabouts {
    const view = ({ stripe }: StoredStripe): StripeView => {
      const { vault, pack, k, m, shardLength, created } = stripe
      const places = this.#places(stripe)
      return { vault, pack, code: { k, m }, class: stripe.class, shardLength, created, places }
    }
    const concerns = ({ stripe }: StoredStripe): boolean =>
      this.vaults.get(toHex(stripe.vault)) === self ||
      this.#places(stripe).some(({ host }) => host === self)
    const refutedKey = (o: { vault: Uint8Array; pack: Uint8Array; index: number; host: string }) =>
      `${o.host} ${toHex(o.vault)}/${toHex(o.pack)}.${o.index}`
    const all = (): StoredStripe[] => [...this.stripes.values()].filter(concerns)
    return {
      vaults: async () => {
        const vaults = new Map(all().map(({ stripe: { vault } }) => [toHex(vault), vault]))
        return [...vaults.values()]
      },
      stripes: async function* (vault) {
        for (const one of all()) if (equalBytes(one.stripe.vault, vault)) yield view(one)
      },
      stripe: async (_vault, pack) => {
        const one = this.stripes.get(toHex(pack))
        return one === undefined ? undefined : view(one)
      },
      descriptor: async (_vault, pack) => defined(this.stripes.get(toHex(pack)), 'a stripe'),
      confirm: async (shard) => void this.refuted.delete(refutedKey(shard)),
      refute: async (shard) => void this.refuted.add(refutedKey(shard)),
      refresh: async () => undefined,
      onChange: (listener) => {
        const each = (): void => [...this.vaults.keys()].forEach((vault) => listener(vault))
        this.#listeners.add(each)
        return () => this.#listeners.delete(each)
      },
    }
  }

  #network({ id: self }: TestHost): HealthNetwork {
    const isConnected = (host: string): boolean =>
      host !== self && this.host(host).online && this.host(self).online
    const ids = this.hosts.map(({ id }) => id)
    return {
      connected: () => ids.filter(isConnected),
      isConnected,
      rttMs: () => undefined,
      on: (event, listener) => {
        if (event === 'peer:down') return () => undefined
        const up = (): void => listener('')
        this.#listeners.add(up)
        return () => this.#listeners.delete(up)
      },
      shards: (host) => {
        if (!isConnected(host)) throw new MoyaiError('HOST_UNREACHABLE', 'not connected')
        return this.clientOf?.(self, host) ?? this.#client(this.host(host))
      },
      ask: async (host) => ({
        now: this.clock.now(),
        inventories: [],
        presumedLost: this.agrees
          ? ids.filter((id) => id !== host && this.host(id).state === 'presumed-lost')
          : [],
        audits: [],
      }),
      audits: async () => [],
      tell: async (host, news: HealthNews) => {
        if (this.deafTo(self, host)) return
        await this.services.get(host)?.onNews(self, news)
      },
    }
  }

  #client(host: TestHost): ShardClient {
    const check = (): void => {
      if (!host.online) throw new MoyaiError('HOST_UNREACHABLE', 'gone')
    }
    return {
      put: async ({ envelope, index, payload, signal }) => {
        host.log.push(`put ${index}`)
        await host.before(`put ${index}`)
        const stripe = openStripe(envelope)
        const begun = await host.shards.put({ envelope, index })
        if (!begun.had) {
          try {
            for await (const bytes of typeof payload === 'function' ? payload() : payload) {
              signal?.throwIfAborted()
              check()
              await begun.writer.write(bytes)
            }
            await begun.writer.commit()
          } finally {
            await begun.writer.abort()
          }
        }
        const { vault, pack, protectedUntil, shardHashes } = stripe
        const shardHash = defined(shardHashes[index], 'a hash')
        const about = { pool: POOL, vault, pack, index, shardHash, protectedUntil }
        const storedAt = this.clock.now()
        const receipt = { ...about, host: host.signer.publicKey, storedAt }
        return { receipt: signReceipt(receipt, host.signer), had: begun.had }
      },
      get: (o) => this.#get(host, o),
      stat: async (o) => host.shards.stat(o),
      inventory: async () => ({ items: [] }),
      audit: () => Promise.reject(new MoyaiError('HOST_REFUSED', 'no audits here')),
      digests: async ({ vault }) => host.shards.digests(vault),
    }
  }

  async *#get(host: TestHost, o: Parameters<ShardClient['get']>[0]): AsyncGenerator<Uint8Array> {
    const { vault, pack, index, offset, length, root } = o
    host.log.push(`get ${index}`)
    await host.before(`get ${index}`)
    const reader = await host.shards.open({ vault, pack, index })
    const whole = await reader.read(0, reader.descriptor.shardLength)
    const spoiled = host.spoil?.(whole) ?? whole
    if (!equalBytes(blake3(spoiled), root)) throw new MoyaiError('HASH_MISMATCH', 'not the shard')
    for (let at = offset; at < offset + length; at += 40_000) {
      o.signal?.throwIfAborted()
      if (!host.online) throw new MoyaiError('HOST_UNREACHABLE', 'gone')
      if (host.diesAfter !== undefined && at >= host.diesAfter) {
        throw new MoyaiError('HOST_UNREACHABLE', 'gone')
      }
      yield spoiled.subarray(at, Math.min(at + 40_000, offset + length))
    }
  }
}
