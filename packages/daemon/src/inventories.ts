/**
 * Inventories of several hosts side by side: for each pack, who says to have which of its shards.
 *
 * Every host lists its shards in the order of their packs, a page at a time, and the index has the
 * packs in the same order, so one pass over all of them holds a page of each and no more. A host
 * whose list is late, out of order, or never ends, is dropped from the pass with a reason: what it
 * has is then unknown, not absent.
 */

import { compareBytes, MoyaiError, toMoyaiError } from '@moyai/protocol'
import type { Clock } from '@moyai/protocol'

import type { ShardClient, ShardItem } from './net/types.ts'

/** How long one page may take. */
const PAGE_MS = 15_000

export type InventoryHosts = {
  /** Hosts (hex) to ask. */
  hosts(): string[]
  /** HOST_UNREACHABLE makes its host one that could not be read. */
  shards(host: string): Pick<ShardClient, 'inventory'>
}

/** A host's claim; `length` is of the whole shard file, bytes. */
export type Claim = { host: string; index: number; length: number }

/** The list of one host, read forward once. */
class HostInventory {
  readonly host: string
  /** Why nothing more is known of this host. */
  failure: MoyaiError | undefined
  readonly #o: { hosts: InventoryHosts; vault: Uint8Array; clock: Clock; signal: AbortSignal }
  #page: ShardItem[] = []
  #at = 0
  #cursor: Uint8Array | undefined
  #ended = false
  #last: ShardItem | undefined

  constructor(
    host: string,
    o: { hosts: InventoryHosts; vault: Uint8Array; clock: Clock; signal: AbortSignal },
  ) {
    this.host = host
    this.#o = o
  }

  /** What the host says to have of `pack`; packs are asked for in ascending order. */
  async of(pack: Uint8Array): Promise<Claim[]> {
    const found: Claim[] = []
    try {
      for (let item = await this.#peek(); item !== undefined; item = await this.#peek()) {
        const order = compareBytes(item.pack, pack)
        if (order > 0) break
        this.#at += 1
        if (order === 0) found.push({ host: this.host, index: item.index, length: item.length })
      }
    } catch (error) {
      this.#o.signal.throwIfAborted()
      this.failure = toMoyaiError(error)
    }
    return found
  }

  async #peek(): Promise<ShardItem | undefined> {
    if (this.failure !== undefined) return undefined
    while (this.#at >= this.#page.length && !this.#ended) await this.#nextPage()
    return this.#page[this.#at]
  }

  async #nextPage(): Promise<void> {
    const { hosts, vault, clock, signal } = this.#o
    const done = new AbortController()
    const both = AbortSignal.any([signal, done.signal])
    const cursor = this.#cursor === undefined ? {} : { cursor: this.#cursor }
    try {
      const asked = hosts.shards(this.host).inventory({ vault, ...cursor, signal: both })
      const answer = await Promise.race([asked, clock.sleep(PAGE_MS, both)])
      if (answer === undefined) throw new MoyaiError('TIMED_OUT', 'no answer in 15 seconds')
      this.#checkOrder(answer.items)
      if (answer.next !== undefined && answer.items.length === 0) {
        throw new MoyaiError('PROTOCOL_VIOLATION', 'an inventory that does not end')
      }
      this.#page = answer.items
      this.#at = 0
      this.#cursor = answer.next
      this.#ended = answer.next === undefined
    } finally {
      done.abort()
    }
  }

  #checkOrder(items: readonly ShardItem[]): void {
    for (const item of items) {
      const last = this.#last
      const order = last === undefined ? 1 : compareBytes(item.pack, last.pack)
      const ascends = order > 0 || (order === 0 && item.index > (last?.index ?? -1))
      if (!ascends) throw new MoyaiError('PROTOCOL_VIOLATION', 'an inventory out of order')
      this.#last = item
    }
  }
}

/** See the head of this file. */
export class Inventories {
  /** Hosts (hex) that are asked. */
  readonly hosts: readonly string[]
  readonly #hosts: HostInventory[]

  constructor(o: { hosts: InventoryHosts; vault: Uint8Array; clock: Clock; signal: AbortSignal }) {
    this.hosts = o.hosts.hosts()
    this.#hosts = this.hosts.map((host) => new HostInventory(host, o))
  }

  /** What all hosts say to have of `pack`; packs are asked for in ascending order. */
  async of(pack: Uint8Array): Promise<Claim[]> {
    return (await Promise.all(this.#hosts.map((host) => host.of(pack)))).flat()
  }

  /** Hosts whose lists could not be read (to the end), with the reason, as of now. */
  failures(): Map<string, MoyaiError> {
    const failed = new Map<string, MoyaiError>()
    for (const { host, failure } of this.#hosts) {
      if (failure !== undefined) failed.set(host, failure)
    }
    return failed
  }
}
