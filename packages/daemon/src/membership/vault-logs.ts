/**
 * The vault logs that this host keeps: its own, and as a witness those of every other host of the
 * pool.
 *
 * A witness takes only the next entry of the log it has, puts it on the disk, and only then signs a
 * receipt: so a receipt means that this host will show that entry, or a later one, to anybody who
 * restores. Two entries with the same number are a proof that the vault's key was used twice; both
 * are kept for good, and shown.
 */

import {
  concatBytes,
  equalBytes,
  fromHex,
  isForkProof,
  logEntryId,
  MoyaiError,
  openLogEntry,
  openLogReceipt,
  PUBLIC_KEY_BYTES,
  signLogReceipt,
  toHex,
  witness,
  type Clock,
  type LogHead,
  type LogReceipt,
  type Signer,
} from '@moyai/protocol'

import type { Database, Table } from '../database/index.ts'
import { Serial } from './serial.ts'

const SEQUENCE_BYTES = 8

function sequenceKey(seq: number): Uint8Array {
  const bytes = new Uint8Array(SEQUENCE_BYTES)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(seq))
  return bytes
}

function entryKey(vault: Uint8Array, seq: number): Uint8Array {
  return concatBytes(vault, sequenceKey(seq))
}

/** Why an entry was not taken; the code travels to the vault's owner. */
export type Refusal = 'LOG_GAP' | 'LOG_FORK'

/** What became of an entry: taken now or before (`receipt`), or refused. */
export type Acceptance = { receipt: Uint8Array } | { refused: Refusal }

/** Two entries of one vault with one number; `kept` is the one in the log. */
export type ForkProof = { vault: Uint8Array; seq: number; kept: Uint8Array; other: Uint8Array }

export class VaultLogs {
  readonly #clock: Clock
  readonly #signer: Signer
  readonly #entries: Table
  readonly #receipts: Table
  readonly #forks: Table
  /** Heads read so far, by vault in hex. */
  readonly #heads = new Map<string, LogHead>()
  readonly #serials = new Map<string, Serial>()

  constructor(o: { signer: Signer }, components: { database: Database; clock: Clock }) {
    this.#signer = o.signer
    this.#clock = components.clock
    this.#entries = components.database.table('vault-log')
    this.#receipts = components.database.table('log-receipt')
    this.#forks = components.database.table('log-fork')
  }

  /** Where the log of a vault ends here; undefined when there is none. */
  async head(vault: Uint8Array): Promise<LogHead | undefined> {
    const name = toHex(vault)
    const known = this.#heads.get(name)
    if (known !== undefined) return known
    const range = { gte: entryKey(vault, 0), lte: entryKey(vault, Number.MAX_SAFE_INTEGER) }
    for await (const [key, envelope] of this.#entries.iterate({
      ...range,
      reverse: true,
      limit: 1,
    })) {
      const seq = Number(new DataView(key.buffer, key.byteOffset).getBigUint64(vault.length))
      const head = { vault: vault.slice(), seq, id: logEntryId(envelope) }
      this.#heads.set(name, head)
      return head
    }
    return undefined
  }

  /** The envelope of one entry. */
  entry(vault: Uint8Array, seq: number): Promise<Uint8Array | undefined> {
    return this.#entries.get(entryKey(vault, seq))
  }

  /** Whether the entry with this number and id is here. */
  async has(vault: Uint8Array, seq: number, id: Uint8Array): Promise<boolean> {
    const envelope = await this.entry(vault, seq)
    return envelope !== undefined && equalBytes(logEntryId(envelope), id)
  }

  /** Envelopes from number `from` on, in order. */
  async *entries(vault: Uint8Array, from = 0): AsyncIterableIterator<Uint8Array> {
    const range = { gte: entryKey(vault, from), lte: entryKey(vault, Number.MAX_SAFE_INTEGER) }
    for await (const [, envelope] of this.#entries.iterate(range)) yield envelope
  }

  /**
   * Takes an entry as a witness, or as the owner of the vault, and signs that it has it: on the
   * disk before this resolves. An entry that is already here is fine. MALFORMED when it is no entry
   * of `vault` (at `seq`, if that is given), BAD_SIGNATURE; DISK.
   */
  async accept(
    envelope: Uint8Array,
    o: { vault: Uint8Array; pool: Uint8Array; seq?: number },
  ): Promise<Acceptance> {
    const entry = openLogEntry(envelope)
    if (!equalBytes(entry.vault, o.vault) || entry.seq !== (o.seq ?? entry.seq)) {
      throw new MoyaiError('MALFORMED', 'a vault-log entry other than the one that was asked for')
    }
    const { vault, seq } = entry
    return this.#serial(vault).run(() => this.#take({ envelope, vault, seq, pool: o.pool }))
  }

  async #take(o: {
    envelope: Uint8Array
    vault: Uint8Array
    seq: number
    pool: Uint8Array
  }): Promise<Acceptance> {
    const { envelope, vault, seq, pool } = o
    const head = await this.head(vault)
    const kept = await this.entry(vault, seq)
    const stored = kept === undefined ? undefined : logEntryId(kept)
    const decision = witness({ head, envelope, stored })
    if (decision.accept) {
      await this.#entries.put(entryKey(vault, seq), envelope)
      this.#heads.set(toHex(vault), { vault, seq, id: decision.id })
    } else if (decision.refuse === 'LOG_FORK') {
      await this.#forks.put(concatBytes(entryKey(vault, seq), decision.id), envelope)
      return { refused: 'LOG_FORK' }
    } else if (decision.refuse === 'LOG_GAP') {
      return { refused: 'LOG_GAP' }
    }
    return { receipt: this.#sign({ vault, seq, entry: decision.id, pool }) }
  }

  #sign(o: Pick<LogReceipt, 'vault' | 'seq' | 'entry' | 'pool'>): Uint8Array {
    const receipt = { ...o, host: this.#signer.publicKey, at: this.#clock.now() }
    return signLogReceipt(receipt, this.#signer)
  }

  /** Whether this entry is already kept as one side of a fork. */
  async isFork(vault: Uint8Array, seq: number, id: Uint8Array): Promise<boolean> {
    return (await this.#forks.get(concatBytes(entryKey(vault, seq), id))) !== undefined
  }

  /** Every fork that was ever seen. */
  async forks(): Promise<ForkProof[]> {
    const proofs: ForkProof[] = []
    for await (const [, other] of this.#forks.iterate()) {
      const { vault, seq } = openLogEntry(other)
      // The other one stands in the place of an entry here, or does not follow the one before its
      // place.
      for (const place of [seq, seq - 1]) {
        const kept = place < 0 ? undefined : await this.entry(vault, place)
        if (kept === undefined || !isForkProof(kept, other)) continue
        proofs.push({ vault, seq, kept, other })
        break
      }
    }
    return proofs
  }

  /**
   * Keeps a witness's receipt. BAD_SIGNATURE, MALFORMED; IDENTITY_MISMATCH when it is not `host`'s
   * for an entry that is here.
   */
  async keepReceipt(receipt: Uint8Array, host: string): Promise<LogReceipt> {
    const opened = openLogReceipt(receipt)
    const kept = await this.entry(opened.vault, opened.seq)
    const right = kept !== undefined && equalBytes(logEntryId(kept), opened.entry)
    if (!right || toHex(opened.host) !== host) {
      throw new MoyaiError('IDENTITY_MISMATCH', 'a log receipt is not for the entry that was sent')
    }
    await this.#receipts.put(this.#receiptKey(opened.vault, opened.seq, host), receipt)
    return opened
  }

  /** Hosts (hex) whose receipts for this entry are here. */
  async confirmations(vault: Uint8Array, seq: number): Promise<string[]> {
    const start = entryKey(vault, seq)
    const hosts: string[] = []
    for await (const [key] of this.#receipts.iterate({
      gte: start,
      lt: entryKey(vault, seq + 1),
    })) {
      hosts.push(toHex(key.subarray(start.length)))
    }
    return hosts
  }

  #receiptKey(vault: Uint8Array, seq: number, host: string): Uint8Array {
    return concatBytes(entryKey(vault, seq), fromHex(host))
  }

  /** Heads of all logs here, sorted by vault. */
  async heads(): Promise<LogHead[]> {
    const all: LogHead[] = []
    for (const vault of await this.#vaults()) {
      const head = await this.head(vault)
      if (head !== undefined) all.push(head)
    }
    return all
  }

  /**
   * Vaults with a log here, in order: each is found by one step beyond the last key of the one
   * before.
   */
  async #vaults(): Promise<Uint8Array[]> {
    const vaults: Uint8Array[] = []
    for (;;) {
      const last = vaults.at(-1)
      const range = last === undefined ? {} : { gt: entryKey(last, Number.MAX_SAFE_INTEGER) }
      let next: Uint8Array | undefined
      for await (const [key] of this.#entries.iterate({ ...range, limit: 1 })) {
        next = key.slice(0, PUBLIC_KEY_BYTES)
      }
      if (next === undefined) return vaults
      vaults.push(next)
    }
  }

  #serial(vault: Uint8Array): Serial {
    const name = toHex(vault)
    const serial = this.#serials.get(name) ?? new Serial()
    this.#serials.set(name, serial)
    return serial
  }
}
