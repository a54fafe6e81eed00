/**
 * The shard store of a simulated host: the port's behaviour over shards that are in memory once for
 * all hosts, with faults laid over them.
 */

import {
  InventoryDigests,
  KeyedLock,
  shardPath,
  type ShardId,
  type ShardPage,
  type ShardPut,
  type ShardReader,
  type ShardStore,
  type ShardWriter,
  type SurplusCopies,
  type SurplusOptions,
} from '@moyai/daemon'
import {
  assert,
  concatBytes,
  equalBytes,
  fromHex,
  GROUP_BYTES,
  MoyaiError,
  shardPayloadOffset,
  toHex,
  type SurplusMarker,
} from '@moyai/protocol'

import { openMarkers } from './markers.ts'
import { stripeKey, type Shard, type TrueStripe, type Truth } from './truth.ts'

/** Every group of a shard, and every one but the first. */
const ALL_GROUPS = -1
const ALL_BUT_FIRST = -2
const LIST_ITEMS_MAX = 1000

/**
 * What is wrong with a host. `group0`: it keeps the first group of each shard alone; `garbage`: its
 * disk is honest, what it sends is not; `claims`: it acknowledges, and keeps nothing.
 */
export type Lie = 'group0' | 'garbage' | 'claims'

type Held = {
  name: string
  path: string
  stripe: TrueStripe
  shard: Shard
  /** Bits of groups that are damaged, the first at bit 0. */
  bad: number
  /** Its holder knows, and lists it no more. */
  known: boolean
}

/** What the world wants to know of a store. */
export type StoreWatch = {
  /** A shard arrived, acknowledged from now on. */
  placed(stripe: TrueStripe, index: number): void
  /** The waiting time of a surplus copy begins anew. */
  marked(stripe: TrueStripe, index: number): void
  /** A surplus copy goes; it is still there. */
  trimming(stripe: TrueStripe, index: number): void
}

/** Says, too, whether bytes that it gave are the shard's: the network need not prove those again. */
export type SimReader = ShardReader & { sound(bytes: Uint8Array): boolean }

export type SimStoreOptions = {
  truth: Truth
  /** Hex of the host. */
  host: string
  quotaBytes: number
  surplus: SurplusOptions
  /** Copies go without a look at the other one: broken on purpose. */
  isUnchecked: boolean
  watch: StoreWatch
}

/** See the head of this file. */
export class SimStore implements ShardStore {
  readonly #o: SimStoreOptions
  readonly #held = new Map<string, Held>()
  readonly #byPath = new Map<string, Held>()
  readonly #listeners = new Set<(vault: Uint8Array) => void>()
  readonly #damageListeners = new Set<(id: ShardId) => void>()
  readonly #locks = new KeyedLock()
  #digests = this.#newDigests()
  #markers: Promise<SurplusCopies> | undefined
  #order: string[] | undefined
  #vaults: readonly Uint8Array[] | undefined
  #used = 0
  lie: Lie | undefined
  /** It was not stopped when it was last used. */
  wasUnclean = false
  /** Nothing more fits. */
  full = false
  /** The disk is not mounted. */
  offline = false

  constructor(o: SimStoreOptions) {
    this.#o = o
  }

  // ---- the port ---------------------------------------------------------------------------------

  async put(o: { envelope: Uint8Array; index: number }): Promise<ShardPut> {
    this.#check()
    const stripe = this.#o.truth.ofEnvelope(o.envelope)
    const shard = stripe?.shards[o.index]
    if (stripe === undefined || shard === undefined) {
      throw new MoyaiError('MALFORMED', 'a stripe that nobody made, or an index beyond it')
    }
    const held = this.#held.get(nameOf({ ...stripe.descriptor, index: o.index }))
    if (held !== undefined && (held.bad === 0 || this.lie !== undefined)) {
      await this.#endMarker(held)
      return { had: true, descriptor: stripe.descriptor }
    }
    if (this.freeNow() < lengthOf(stripe)) throw new MoyaiError('NO_SPACE', 'the disk is full')
    return { had: false, writer: this.#writer(stripe, shard) }
  }

  async has(id: ShardId): Promise<boolean> {
    this.#check()
    return this.#held.has(nameOf(id))
  }

  async open(id: ShardId): Promise<SimReader> {
    const held = this.#find(id)
    const { descriptor, envelope } = held.stripe
    return {
      sound: (bytes) => bytes.buffer === held.shard.bytes.buffer,
      descriptor,
      envelope,
      index: held.shard.index,
      groups: held.shard.groups,
      read: async (offset, length) => this.#read(held, offset, length),
      close: async () => {},
    }
  }

  async verify(id: ShardId): Promise<void> {
    const held = this.#find(id)
    if (held.bad === 0 || this.lie !== undefined) return
    this.#damaged(held)
    throw new MoyaiError('SHARD_DAMAGED', 'bytes of the shard are wrong')
  }

  onDamage(listener: (id: ShardId) => void): () => void {
    this.#damageListeners.add(listener)
    return () => void this.#damageListeners.delete(listener)
  }

  isDamaged(id: ShardId): boolean {
    return this.#held.get(nameOf(id))?.known === true
  }

  /** What this host answers when it is asked to prove one group. */
  prove(id: ShardId, group: number): 'proved' | 'missing' | 'damaged' | 'wrong' {
    this.#check()
    const held = this.#held.get(nameOf(id))
    if (held === undefined) return 'missing'
    if (held.known) return 'damaged'
    const bad = this.lie === 'garbage' ? ALL_GROUPS : held.bad
    if (((bad >> group) & 1) === 0) return 'proved'
    if (this.lie !== undefined) return 'wrong'
    this.#damaged(held)
    return 'damaged'
  }

  async list(o: {
    vault?: Uint8Array
    cursor?: Uint8Array
    limit?: number
    bucket?: number
  }): Promise<ShardPage> {
    this.#check()
    const limit = Math.max(1, Math.min(o.limit ?? LIST_ITEMS_MAX, LIST_ITEMS_MAX))
    const prefix = o.vault === undefined ? '' : toHex(o.vault)
    const from = o.cursor === undefined ? prefix : Buffer.from(o.cursor).toString('latin1')
    const bucket = o.bucket?.toString(16).padStart(2, '0')
    const names = this.#ordered().filter(
      (name) =>
        name >= from &&
        this.#held.get(name)?.known === false &&
        name.startsWith(prefix) &&
        (bucket === undefined || name.startsWith(bucket, 65)),
    )
    const items = names.slice(0, limit).map((name) => {
      const { stripe, shard } = this.#held.get(name) as Held
      const { vault, pack } = stripe.descriptor
      return {
        vault: vault.slice(),
        pack: pack.slice(),
        index: shard.index,
        length: lengthOf(stripe),
      }
    })
    const next = names[limit]
    return next === undefined ? { items } : { items, next: Buffer.from(next, 'latin1') }
  }

  async vaults(): Promise<Uint8Array[]> {
    this.#check()
    this.#vaults ??= [...new Set(this.#ordered().map((name) => name.slice(0, 64)))].map(fromHex)
    return this.#vaults.map((vault) => vault.slice())
  }

  async digests(vault: Uint8Array): Promise<Uint8Array> {
    this.#check()
    return this.#digests.of(vault)
  }

  onChange(listener: (vault: Uint8Array) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  async stat(o: {
    vault: Uint8Array
    pack: Uint8Array
  }): Promise<{ index: number; envelope: Uint8Array }[]> {
    this.#check()
    const stripe = this.#o.truth.of(o)
    if (stripe === undefined) return []
    return stripe.shards.flatMap(({ index }) =>
      this.#held.get(nameOf({ ...o, index }))?.known === false
        ? [{ index, envelope: stripe.envelope }]
        : [],
    )
  }

  async usedBytes(vault?: Uint8Array): Promise<number> {
    this.#check()
    if (vault === undefined) return this.#used
    const prefix = toHex(vault)
    let sum = 0
    for (const held of this.#held.values()) {
      if (held.name.startsWith(prefix)) sum += lengthOf(held.stripe)
    }
    return sum
  }

  async freeBytes(): Promise<number> {
    return this.freeNow()
  }

  async markSurplus(id: ShardId, o: { receipt: Uint8Array }): Promise<SurplusMarker> {
    const markers = await this.#surplus()
    const before = await markers.read(id)
    const marker = await markers.mark(id, o.receipt)
    const isNew = before === undefined || !equalBytes(before.receipt, marker.receipt)
    if (isNew) this.#o.watch.marked(this.#find(id).stripe, id.index)
    return marker
  }

  async surplusMarker(id: ShardId): Promise<SurplusMarker | undefined> {
    return (await this.#surplus()).read(id)
  }

  async unmark(id: ShardId): Promise<void> {
    return (await this.#surplus()).unmark(id)
  }

  async trim(id: ShardId, o: { prove: () => Promise<Uint8Array> }): Promise<void> {
    const markers = await this.#surplus()
    if (this.#o.isUnchecked) this.#letGo(this.#find(id))
    else await markers.trim(id, o.prove)
  }

  async close(): Promise<void> {}

  // ---- what happens to it -----------------------------------------------------------------------

  /** Bytes that still fit. */
  freeNow(): number {
    return this.full ? 0 : Math.max(0, this.#o.quotaBytes - this.#used)
  }

  get count(): number {
    return this.#held.size
  }

  /** All shards here, damaged ones too. */
  *shards(): IterableIterator<{ stripe: TrueStripe; index: number; intact: boolean }> {
    for (const { stripe, shard, bad } of this.#held.values()) {
      yield { stripe, index: shard.index, intact: bad === 0 && this.lie === undefined }
    }
  }

  /** Index of the shards of one stripe that are here. */
  indexesOf(stripe: TrueStripe): number[] {
    return stripe.shards.flatMap(({ index }) =>
      this.#held.has(nameOf({ ...stripe.descriptor, index })) ? [index] : [],
    )
  }

  /** Bits of one group turn. */
  rot(stripe: TrueStripe, index: number, group: number): void {
    const held = this.#held.get(nameOf({ ...stripe.descriptor, index }))
    if (held === undefined) return
    held.bad |= 1 << group
    this.#gone(held, 'bit rot')
  }

  /** The file is gone, without anybody here having noticed. */
  drop(stripe: TrueStripe, index: number, why: string): void {
    const held = this.#held.get(nameOf({ ...stripe.descriptor, index }))
    if (held !== undefined) this.#remove(held, why)
  }

  /** Everything is gone: a new disk. */
  wipe(why: string): void {
    for (const held of this.#held.values()) this.#remove(held, why)
    this.#markers = undefined
    this.restart()
  }

  /** A new process: what was counted in memory is counted again. */
  restart(): void {
    for (const held of this.#held.values()) held.known = false
    this.#digests = this.#newDigests()
    this.#listeners.clear()
    this.#damageListeners.clear()
  }

  /** From now on this host lies, about what it holds already, too. */
  beginLie(lie: Lie): void {
    for (const held of this.#held.values()) {
      if (lie === 'group0') held.bad = ALL_BUT_FIRST
      if (lie === 'claims') held.bad = ALL_GROUPS
      this.#gone(held, lie === 'garbage' ? 'a host that serves garbage' : 'a host that lies')
    }
    this.lie = lie
  }

  /** The shard is on the disk. */
  keep(stripe: TrueStripe, shard: Shard): void {
    assert(shard.bytes.length <= 16 * GROUP_BYTES, 'groups of a simulated shard fit a number')
    const id = { ...stripe.descriptor, index: shard.index }
    const { lie } = this
    const bad = lie === 'group0' ? ALL_BUT_FIRST : lie === 'claims' ? ALL_GROUPS : 0
    const held = { name: nameOf(id), path: shardPath(id), stripe, shard, bad, known: false }
    const before = this.#held.get(held.name)
    const isNew = before === undefined
    const isListed = before?.known === false
    this.#held.set(held.name, held)
    this.#byPath.set(held.path, held)
    if (isNew) {
      this.#order = this.#vaults = undefined
      this.#used += lengthOf(stripe)
    }
    if (!isListed) this.#digests.changed(id)
    if (lie === undefined) this.#o.truth.gained(stripe, shard.index, this.#o.host)
    if (!isListed) this.#tell(held)
  }

  // ---- inside -----------------------------------------------------------------------------------

  #check(): void {
    if (this.offline) throw new MoyaiError('STORE_OFFLINE', 'the disk is not mounted')
  }

  #newDigests(): InventoryDigests {
    const shardsOf = (vault: Uint8Array): AsyncIterable<{ pack: Uint8Array; index: number }> =>
      this.#shardsOf(vault)
    return new InventoryDigests(shardsOf)
  }

  async *#shardsOf(vault: Uint8Array): AsyncGenerator<{ pack: Uint8Array; index: number }> {
    const prefix = toHex(vault)
    for (const { name, known, stripe, shard } of this.#held.values()) {
      if (known || !name.startsWith(prefix)) continue
      yield { pack: stripe.descriptor.pack, index: shard.index }
    }
  }

  #surplus(): Promise<SurplusCopies> {
    this.#check()
    this.#markers ??= openMarkers({
      surplus: this.#o.surplus,
      locks: this.#locks,
      open: (id) => this.open(id),
      sizeOf: (path) => {
        const held = this.#byPath.get(path)
        return held === undefined ? undefined : lengthOf(held.stripe)
      },
      remove: (path) => {
        const held = this.#byPath.get(path)
        if (held !== undefined) this.#letGo(held)
      },
    })
    return this.#markers
  }

  #tell(held: Held): void {
    for (const listener of this.#listeners) listener(held.stripe.descriptor.vault)
  }

  /** This host found out: it lists the shard no more. */
  #damaged(held: Held): void {
    if (held.known) return
    held.known = true
    const id = { ...held.stripe.descriptor, index: held.shard.index }
    this.#digests.changed(id)
    this.#tell(held)
    for (const listener of this.#damageListeners) listener(id)
  }

  #letGo(held: Held): void {
    this.#o.watch.trimming(held.stripe, held.shard.index)
    this.#remove(held, 'a copy that was let go as surplus')
    this.#tell(held)
  }

  async #endMarker(held: Held): Promise<void> {
    if (this.#markers === undefined) return
    const markers = await this.#markers
    const id = { ...held.stripe.descriptor, index: held.shard.index }
    await this.#locks.run(held.path, () => markers.forget(id))
  }

  #find(id: ShardId): Held {
    this.#check()
    const held = this.#held.get(nameOf(id))
    if (held === undefined) throw new MoyaiError('NOT_FOUND', 'no such shard')
    return held
  }

  #read(held: Held, offset: number, length: number): Uint8Array {
    const bytes = held.shard.bytes.subarray(offset, offset + length)
    const bad = this.lie === 'garbage' ? ALL_GROUPS : held.bad
    if (bad === 0) return bytes
    // An honest host finds out when it reads.
    if (this.lie === undefined) this.#damaged(held)
    const copy = bytes.slice()
    for (let at = 0; at < length; at += 1) {
      const group = Math.floor((offset + at) / GROUP_BYTES)
      if ((bad >> group) & 1) copy[at] = (copy[at] as number) ^ 0x55
    }
    return copy
  }

  #remove(held: Held, why: string): void {
    this.#held.delete(held.name)
    this.#byPath.delete(held.path)
    this.#order = this.#vaults = undefined
    this.#used -= lengthOf(held.stripe)
    if (!held.known) this.#digests.changed({ ...held.stripe.descriptor, index: held.shard.index })
    this.#gone(held, why)
  }

  #gone(held: Held, why: string): void {
    this.#o.truth.gone(held.stripe, held.shard.index, this.#o.host, why)
  }

  #ordered(): string[] {
    this.#order ??= [...this.#held.keys()].sort()
    return this.#order
  }

  #writer(stripe: TrueStripe, shard: Shard): ShardWriter {
    const parts: Uint8Array[] = []
    const take = (bytes: Uint8Array): void => void parts.push(bytes.slice())
    return {
      descriptor: stripe.descriptor,
      write: async (bytes) => {
        if (bytes instanceof Uint8Array) take(bytes)
        else for (const part of bytes) take(part)
      },
      commit: async () => {
        this.#check()
        const bytes = parts.length === 1 ? (parts[0] as Uint8Array) : concatBytes(...parts)
        if (bytes.length < shard.bytes.length) {
          throw new MoyaiError('TRUNCATED', 'bytes of the shard are missing')
        }
        if (!equalBytes(bytes, shard.bytes)) {
          throw new MoyaiError('HASH_MISMATCH', 'these are not the bytes of the shard')
        }
        if (this.freeNow() < lengthOf(stripe)) throw new MoyaiError('NO_SPACE', 'the disk is full')
        this.#o.watch.placed(stripe, shard.index)
        this.keep(stripe, shard)
        const held = this.#held.get(nameOf({ ...stripe.descriptor, index: shard.index }))
        if (held !== undefined) await this.#endMarker(held)
      },
      abort: async () => {},
    }
  }
}

function nameOf(id: ShardId): string {
  return `${stripeKey(id)}.${String(id.index).padStart(2, '0')}`
}

/** Bytes of the whole shard file. */
function lengthOf({ descriptor, envelope }: TrueStripe): number {
  const { shardLength } = descriptor
  return shardPayloadOffset({ envelopeLength: envelope.length, shardLength }) + shardLength
}
