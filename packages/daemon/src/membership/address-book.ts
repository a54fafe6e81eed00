/**
 * Where the hosts of the pool listen: the newest signed record of each, this host's own included.
 */

import {
  ADDRESS_LENGTH_MAX,
  ADDRESSES_MAX,
  INVITE_ADDRESSES_MAX,
  equalBytes,
  isMoyaiError,
  openAddressRecord,
  signAddressRecord,
  toHex,
  type AddressRecord,
  type Clock,
  type Signer,
} from '@moyai/protocol'

import type { Database, Operation, Table } from '../database/index.ts'
import { isLoopbackAddress, withoutPeerId } from '../net/addresses.ts'
import type { AddressRecords } from '../net/sync/state.ts'

type Known = { record: AddressRecord; envelope: Uint8Array }

/**
 * What others should try: no addresses that only this machine reaches, unless there are no others.
 */
export function publishable(addresses: readonly string[]): string[] {
  const bare = [...new Set(addresses.map(withoutPeerId))].filter(
    (address) => address.length > 0 && address.length <= ADDRESS_LENGTH_MAX,
  )
  const reachable = bare.filter((address) => !isLoopbackAddress(address))
  return (reachable.length > 0 ? reachable : bare).slice(0, ADDRESSES_MAX)
}

/** The lower, the likelier that a machine elsewhere reaches it. */
function remoteness(address: string): number {
  if (/^\/(?:ip4\/169\.254\.|ip6\/fe[89ab])/.test(address)) return 5
  if (address.startsWith('/dns')) return 0
  // What container programs give their bridges; an office seldom uses it.
  if (/^\/ip4\/172\.(?:1[7-9]|2\d)\./.test(address)) return 4
  if (
    /^\/ip4\/(?:10|172\.(?:16|3[01])|192\.168|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\./.test(
      address,
    )
  ) {
    return 2
  }
  if (/^\/ip6\/f[cd]/.test(address)) return 3
  return 1
}

/**
 * The few addresses that an invite names: none that only this machine or its cable reaches, unless
 * there are no others; those first that most machines reach.
 */
export function invitable(addresses: readonly string[]): string[] {
  const ranked = publishable(addresses).map((address) => ({ address, rank: remoteness(address) }))
  const far = ranked.filter(({ rank }) => rank < 5)
  const chosen = far.length > 0 ? far : ranked
  const order = chosen.toSorted((a, b) => a.rank - b.rank).map(({ address }) => address)
  return order.slice(0, INVITE_ADDRESSES_MAX - 1)
}

/**
 * The record; undefined for a bad one, or one of a later version, which must not keep the others
 * out.
 */
function opened(envelope: Uint8Array): AddressRecord | undefined {
  try {
    return openAddressRecord(envelope)
  } catch (error) {
    if (isMoyaiError(error)) return undefined
    throw error
  }
}

export class AddressBook implements AddressRecords {
  readonly #self: Signer
  readonly #database: Database
  readonly #clock: Clock
  readonly #table: Table
  readonly #isMember: (host: string) => boolean
  readonly #known = new Map<string, Known>()
  /** Where this host's own identity was used by something that is not this process. */
  #elsewhere: readonly string[] | undefined
  /** The newest record that this process made. */
  #mine: Uint8Array | undefined
  /** Called after a record of another host changed. */
  onChange: () => void = () => undefined

  private constructor(
    o: { self: Signer; isMember: (host: string) => boolean },
    components: { database: Database; clock: Clock },
  ) {
    this.#self = o.self
    this.#isMember = o.isMember
    this.#database = components.database
    this.#clock = components.clock
    this.#table = components.database.table('address')
  }

  /** Reads what is on the disk. DISK. */
  static async open(
    o: { self: Signer; isMember: (host: string) => boolean },
    components: { database: Database; clock: Clock },
  ): Promise<AddressBook> {
    const book = new AddressBook(o, components)
    for await (const [, envelope] of book.#table.iterate()) {
      const record = opened(envelope)
      if (record !== undefined) book.#known.set(toHex(record.host), { record, envelope })
    }
    return book
  }

  /** Addresses of a host (hex); none when there is no record of it. */
  of(host: string): readonly string[] {
    return this.#known.get(host)?.record.addresses ?? []
  }

  /**
   * Addresses that somebody else published with this host's key while it ran: a copy of its home is
   * in use. Undefined when there was none.
   */
  get elsewhere(): readonly string[] | undefined {
    return this.#elsewhere
  }

  /** This host's newest record; undefined before it published one. */
  get mine(): Uint8Array | undefined {
    return this.#known.get(toHex(this.#self.publicKey))?.envelope
  }

  /** Records of members. */
  list(): { host: Uint8Array; seq: number; envelope: Uint8Array }[] {
    return [...this.#known]
      .filter(([host]) => this.#isMember(host))
      .map(([, { record, envelope }]) => ({ host: record.host, seq: record.seq, envelope }))
  }

  async add(envelopes: readonly Uint8Array[]): Promise<number> {
    const fresh = this.#fresh(envelopes)
    if (fresh.length === 0) return 0
    const own = fresh.find(({ record }) => equalBytes(record.host, this.#self.publicKey))
    const before = this.#known.get(toHex(this.#self.publicKey))
    // Newer than ours, and not by us.
    if (own !== undefined && before !== undefined && own.envelope !== this.#mine) {
      this.#elsewhere = own.record.addresses
    }
    await this.#database.batch(this.putting(fresh))
    for (const one of fresh) this.#known.set(toHex(one.record.host), one)
    this.onChange()
    return fresh.length
  }

  /** The operations that keep these records; `use` them once they are on the disk. */
  putting(records: readonly Known[]): Operation[] {
    return records.map(({ record, envelope }) => this.#table.putting(record.host, envelope))
  }

  #fresh(envelopes: readonly Uint8Array[]): Known[] {
    const newest = new Map<string, Known>()
    for (const envelope of envelopes) {
      const record = opened(envelope)
      if (record === undefined) continue
      const host = toHex(record.host)
      const before = newest.get(host) ?? this.#known.get(host)
      if (!this.#isMember(host) || (before !== undefined && before.record.seq >= record.seq))
        continue
      newest.set(host, { record, envelope })
    }
    return [...newest.values()]
  }

  /** This host's record for these addresses: a new one, or the present one when nothing changed. */
  own(addresses: readonly string[]): Known {
    const now = this.#clock.now()
    const bare = publishable(addresses)
    const before = this.#known.get(toHex(this.#self.publicKey))
    if (before !== undefined && JSON.stringify(before.record.addresses) === JSON.stringify(bare)) {
      return before
    }
    // Time as the number: a host that lost its database goes on above what it once published.
    const seq = Math.max(now, (before?.record.seq ?? 0) + 1)
    const record = { host: this.#self.publicKey, addresses: bare, seq, at: now }
    this.#mine = signAddressRecord(record, this.#self)
    return { record, envelope: this.#mine }
  }

  /** Publishes this host's addresses; true when they are news. */
  async publish(addresses: readonly string[]): Promise<boolean> {
    return (await this.add([this.own(addresses).envelope])) > 0
  }
}
