/** Hosts in memory that keep real shards, each with a fault of the test's choice. */

import { blake3, equalBytes, fromHex, MoyaiError, toHex } from '@moyai/protocol'

import type { ShardClient, ShardItem } from '../../net/types.ts'
import type { ShardHosts, ShardRange, ShardSource } from '../ports.ts'

/** What a host does when it is asked: `lie` is a flipped byte, `hang` never answers. */
export type Fault = 'away' | 'hang' | 'lie' | 'truncate' | 'missing' | 'swap' | undefined

type Shard = { pack: string; index: number; bytes: Uint8Array; envelope: Uint8Array }

/** One host; its answers are checked as the real client checks them: against the shard's hash. */
export class FakeHost implements ShardSource {
  readonly id: string
  readonly shards = new Map<string, Shard>()
  fault: Fault
  gets = 0

  constructor(id: string) {
    this.id = id
  }

  keep(shard: Shard): void {
    this.shards.set(`${shard.pack}/${shard.index}`, shard)
  }

  async *get(range: ShardRange): AsyncIterable<Uint8Array> {
    this.gets += 1
    const shard = this.shards.get(`${toHex(range.pack)}/${range.index}`)
    if (this.fault === 'hang') await untilAborted(range.signal)
    if (this.fault === 'missing' || shard === undefined) {
      throw new MoyaiError('NOT_FOUND', 'no such shard here')
    }
    const whole = this.#answer(shard)
    if (whole.length < range.shardLength) throw new MoyaiError('TRUNCATED', 'shard cut short')
    if (!equalBytes(blake3(whole), range.root)) {
      throw new MoyaiError('HASH_MISMATCH', 'a group is not what its hash says')
    }
    const end = range.offset + range.length
    for (let at = range.offset; at < end; at += 16_384) {
      await Promise.resolve()
      yield whole.slice(at, Math.min(at + 16_384, end))
    }
  }

  stat(o: { pack: Uint8Array }): Promise<{ index: number; envelope: Uint8Array }[]> {
    const pack = toHex(o.pack)
    const mine = [...this.shards.values()].filter((shard) => shard.pack === pack)
    if (this.fault === 'missing') return Promise.resolve([])
    return Promise.resolve(mine.map(({ index, envelope }) => ({ index, envelope })))
  }

  /** In the order of packs and indexes, two items a page. */
  inventory(o: { cursor?: Uint8Array }): Promise<{ items: ShardItem[]; next?: Uint8Array }> {
    const from = o.cursor?.[0] ?? 0
    const all = [...this.shards.values()].sort((a, b) =>
      a.pack === b.pack ? a.index - b.index : a.pack < b.pack ? -1 : 1,
    )
    const items = all.slice(from, from + 2).map(({ pack, index, bytes }) => {
      const length = 4096 + bytes.length
      return { pack: fromHex(pack), index, length }
    })
    const isLast = from + 2 >= all.length
    if (this.fault === 'missing') return Promise.resolve({ items: [] })
    return Promise.resolve(isLast ? { items } : { items, next: Uint8Array.of(from + 2) })
  }

  #answer(shard: Shard): Uint8Array {
    if (this.fault === 'truncate') return shard.bytes.slice(0, -1)
    if (this.fault === 'swap') {
      const other = [...this.shards.values()].find((one) => one.pack !== shard.pack)
      return other?.bytes ?? new Uint8Array(shard.bytes.length)
    }
    if (this.fault !== 'lie') return shard.bytes
    const flipped = Uint8Array.from(shard.bytes)
    flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1
    return flipped
  }
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}

/** A pool of `count` such hosts. */
export class FakePool implements ShardHosts {
  readonly all: FakeHost[]

  constructor(count: number) {
    this.all = Array.from(
      { length: count },
      (_, i) => new FakeHost(toHex(blake3(Uint8Array.of(i)))),
    )
  }

  /** Who was lost stays away. */
  async returning(): Promise<boolean> {
    return false
  }

  hosts(): string[] {
    return this.all.map(({ id }) => id)
  }

  shards(id: string): ShardSource & Pick<ShardClient, 'inventory'> {
    const host = this.all.find((one) => one.id === id)
    if (host === undefined || host.fault === 'away') {
      throw new MoyaiError('HOST_UNREACHABLE', 'not connected')
    }
    return host
  }
}

/**
 * All hosts together answer `requests` requests and hang then; `onHang` is told once. Returns what
 * undoes it.
 */
export function hangAfter(
  hosts: readonly FakeHost[],
  requests: number,
  onHang: () => void = () => undefined,
): () => void {
  let asked = 0
  const undo = hosts.map((host) => {
    const real = host.get.bind(host)
    host.get = (range): ReturnType<typeof real> => {
      asked += 1
      if (asked === requests + 1) onHang()
      if (asked > requests) host.fault = 'hang'
      return real(range)
    }
    return (): void => {
      host.get = real
      host.fault = undefined
    }
  })
  return () => {
    for (const one of undo) one()
  }
}
