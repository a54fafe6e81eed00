/**
 * Invites that this host has given out: on the disk, so that a restart neither forgets nor revives
 * one. The secret is not kept, only its id and proof key.
 */

import {
  decodeAs,
  encodeCbor,
  encodeInvite,
  HASH_BYTES,
  HOST_PACKAGE_BYTES_MAX,
  INVITE_SECRET_BYTES,
  inviteKeys,
  MoyaiError,
  PUBLIC_KEY_BYTES,
  s,
  toHex,
  type Clock,
  type Infer,
  type Random,
} from '@moyai/protocol'

import type { Database, Operation, Table } from '../database/index.ts'

/** Invites that are open or remembered at once. */
const INVITES_MAX = 256
/** Hosts that one invite can let in. */
export const INVITE_USES_MAX = 100
/** Longest validity: a token that lies about for longer is a key under the mat. */
export const INVITE_SECONDS_MAX: number = 30 * 86_400
/** How long a spent invite is remembered, so that who comes late is told why it does not work. */
const INVITE_MEMORY_MS = 24 * 3_600_000
const INVITE_RECORD_BYTES_MAX = 8192

const RECORD = s.map({
  v: s.version(1),
  proofKey: s.bytes({ length: HASH_BYTES }),
  /** ms */
  expires: s.int(),
  uses: s.int({ min: 1, max: INVITE_USES_MAX }),
  usedBy: s.array(s.bytes({ length: PUBLIC_KEY_BYTES }), { max: INVITE_USES_MAX }),
  /** The host whose keys are in `sealed`: no other may use the invite. */
  host: s.optional(s.bytes({ length: PUBLIC_KEY_BYTES })),
  /** Its keys, which only the token opens; gone once they were used. */
  sealed: s.optional(s.bytes({ max: HOST_PACKAGE_BYTES_MAX })),
  /** The key of the connection that they went to. */
  claimedBy: s.optional(s.bytes({ length: PUBLIC_KEY_BYTES })),
})

/** One invite; `id` is what names it on the wire. */
export type InviteRecord = Omit<Infer<typeof RECORD>, 'v'> & { id: Uint8Array }

export class Invites {
  readonly #table: Table
  readonly #clock: Clock
  readonly #random: Random
  readonly #records = new Map<string, InviteRecord>()

  private constructor(components: { database: Database; clock: Clock; random: Random }) {
    this.#table = components.database.table('invite')
    this.#clock = components.clock
    this.#random = components.random
  }

  /** Reads what is on the disk. DISK. */
  static async open(components: {
    database: Database
    clock: Clock
    random: Random
  }): Promise<Invites> {
    const invites = new Invites(components)
    for await (const [id, bytes] of invites.#table.iterate()) {
      const limits = { bytesMax: INVITE_RECORD_BYTES_MAX, what: 'invite record' }
      const { v: _, ...record } = decodeAs(RECORD, bytes, limits)
      invites.#records.set(toHex(id), { ...record, id })
    }
    return invites
  }

  /** Whether some token is out that may still be brought here. */
  get welcome(): boolean {
    const now = this.#clock.now()
    for (const { expires } of this.#records.values()) {
      if (now <= expires + INVITE_MEMORY_MS) return true
    }
    return false
  }

  /**
   * Makes an invite: on the disk when this resolves. USAGE for impossible numbers, BUSY when too
   * many are open.
   */
  async make(o: {
    host: Uint8Array
    pool: Uint8Array
    addresses: string[]
    uses: number
    expiresSeconds: number
    /** The keys of a further host of this organisation are to be kept with it. */
    sameOrg: boolean
  }): Promise<{ token: string; expires: number }> {
    const whole = Number.isSafeInteger(o.uses) && o.uses >= 1 && o.uses <= INVITE_USES_MAX
    if (!whole) throw new MoyaiError('USAGE', `an invite is for 1 to ${INVITE_USES_MAX} hosts`)
    if (!(o.expiresSeconds >= 1 && o.expiresSeconds <= INVITE_SECONDS_MAX)) {
      throw new MoyaiError('USAGE', 'an invite is valid for 1 second to 30 days')
    }
    if (o.sameOrg && o.uses !== 1) {
      throw new MoyaiError('USAGE', 'an invite with keys is for one host')
    }
    await this.#forgetOld()
    if (this.#records.size >= INVITES_MAX) {
      throw new MoyaiError('BUSY', `${INVITES_MAX} invites are open`, {
        hint: 'let one with more uses stand for several',
      })
    }
    const secret = this.#random.bytes(INVITE_SECRET_BYTES)
    const { id, proofKey } = inviteKeys(secret)
    const seconds = Math.ceil(this.#clock.now() / 1000 + o.expiresSeconds)
    const { host, pool, addresses, uses } = o
    const token = encodeInvite({
      host,
      secret,
      pool,
      expires: seconds,
      addresses,
      sameOrg: o.sameOrg,
    })
    const expires = seconds * 1000
    const record = { id, proofKey, expires, uses, usedBy: [] }
    await this.#table.put(id, this.#encode(record))
    this.#records.set(toHex(id), record)
    return { token, expires }
  }

  /**
   * Keeps the sealed keys of a further host with an invite that was just made. INVITE_UNKNOWN for
   * another one, USAGE, DISK.
   */
  async attach(id: Uint8Array, keys: { host: Uint8Array; sealed: Uint8Array }): Promise<void> {
    const record = this.find(id)
    if (record === undefined || record.host !== undefined || record.usedBy.length > 0) {
      throw new MoyaiError('INVITE_UNKNOWN', 'this invite takes no keys')
    }
    if (keys.sealed.length > HOST_PACKAGE_BYTES_MAX || keys.host.length !== PUBLIC_KEY_BYTES) {
      throw new MoyaiError('USAGE', 'these are no sealed keys of a host')
    }
    await this.#write({ ...record, ...keys })
  }

  /** Remembers to whom the keys of an invite went. DISK. */
  async claim(record: InviteRecord, claimedBy: Uint8Array): Promise<void> {
    await this.#write({ ...record, claimedBy })
  }

  async #write(record: InviteRecord): Promise<void> {
    await this.#table.put(record.id, this.#encode(record))
    this.keep(record)
  }

  /** The invite of that id. */
  find(id: Uint8Array): InviteRecord | undefined {
    return this.#records.get(toHex(id))
  }

  /**
   * `record` after `host` used it, and the operation that writes it; `keep` it once it is on the
   * disk.
   */
  using(record: InviteRecord, host: Uint8Array): { record: InviteRecord; operation: Operation } {
    const { sealed: _, ...rest } = record
    const used = { ...rest, usedBy: [...record.usedBy, host] }
    return { record: used, operation: this.#table.putting(used.id, this.#encode(used)) }
  }

  /** Takes over what was written. */
  keep(record: InviteRecord): void {
    this.#records.set(toHex(record.id), record)
  }

  async #forgetOld(): Promise<void> {
    const now = this.#clock.now()
    for (const [name, { id, expires }] of this.#records) {
      if (now <= expires + INVITE_MEMORY_MS) continue
      await this.#table.del(id)
      this.#records.delete(name)
    }
  }

  #encode(record: InviteRecord): Uint8Array {
    const { id: _, ...fields } = record
    return encodeCbor({ v: 1, ...fields })
  }
}
