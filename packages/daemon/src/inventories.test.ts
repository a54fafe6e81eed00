import assert from 'node:assert/strict'
import { test } from 'node:test'

import { isMoyaiError, MoyaiError } from '@moyai/protocol'

import { ManualClock } from './clock.ts'
import { Inventories } from './inventories.ts'
import type { ShardClient, ShardItem } from './net/types.ts'

type Inventory = ShardClient['inventory']

const pack = (n: number): Uint8Array => new Uint8Array(32).fill(n)
const item = (n: number, index: number): ShardItem => ({ pack: pack(n), index, length: 100 })

/** A host that lists `items`, `size` a page. */
function listing(items: readonly ShardItem[], size: number): Inventory {
  return async ({ cursor }) => {
    const from = cursor?.[0] ?? 0
    const page = items.slice(from, from + size)
    return from + size < items.length
      ? { items: page, next: Uint8Array.of(from + size) }
      : { items: page }
  }
}

function inventories(
  hosts: Record<string, Inventory | undefined>,
  o: { clock?: ManualClock; signal?: AbortSignal } = {},
): Inventories {
  const { clock = new ManualClock(), signal = new AbortController().signal } = o
  const shards = (host: string): Pick<ShardClient, 'inventory'> => {
    const inventory = hosts[host]
    if (inventory === undefined) throw new MoyaiError('HOST_UNREACHABLE', 'gone')
    return { inventory }
  }
  return new Inventories({
    hosts: { hosts: () => Object.keys(hosts), shards },
    vault: pack(0),
    clock,
    signal,
  })
}

test('goal: for each pack, the claims of all hosts, whatever the size of their pages', async () => {
  for (const size of [1, 2, 100]) {
    const all = inventories({
      a: listing([item(1, 0), item(2, 0), item(2, 3), item(9, 1)], size),
      b: listing([item(2, 1)], size),
      c: listing([], size),
    })
    assert.deepEqual(await all.of(pack(2)), [
      { host: 'a', index: 0, length: 100 },
      { host: 'a', index: 3, length: 100 },
      { host: 'b', index: 1, length: 100 },
    ])
    assert.deepEqual(await all.of(pack(5)), [])
    assert.deepEqual(await all.of(pack(9)), [{ host: 'a', index: 1, length: 100 }])
    assert.deepEqual(await all.of(pack(10)), [])
    assert.equal(all.failures().size, 0)
  }
})

test('goal: who is gone, out of order or endless is dropped, the others are heard', async () => {
  let pages = 0
  const endless: Inventory = async () => {
    pages++
    return { items: [], next: Uint8Array.of(1) }
  }
  const all = inventories({
    gone: undefined,
    endless,
    again: async () => ({ items: [item(2, 0)], next: Uint8Array.of(1) }),
    backwards: listing([item(3, 0), item(2, 0)], 2),
    twice: listing([item(2, 0), item(2, 0)], 1),
    failing: async () => Promise.reject(new Error('anything')),
    good: listing([item(2, 1)], 1),
  })
  const claims = (await all.of(pack(2))).filter(({ host }) => host === 'good')
  assert.equal(claims.length, 1)
  await all.of(pack(3))
  const reasons = [...all.failures()].map(([host, { code }]) => [host, code])
  assert.deepEqual(reasons, [
    ['gone', 'HOST_UNREACHABLE'],
    ['endless', 'PROTOCOL_VIOLATION'],
    ['again', 'PROTOCOL_VIOLATION'],
    ['backwards', 'PROTOCOL_VIOLATION'],
    ['twice', 'PROTOCOL_VIOLATION'],
    ['failing', 'INTERNAL'],
  ])
  assert.equal(pages, 1)
})

test('goal: a host that does not answer is waited for once, for a bounded time', async () => {
  const clock = new ManualClock()
  let aborted = 0
  const silent: Inventory = ({ signal }) =>
    new Promise((_, reject) => {
      signal?.addEventListener('abort', () => {
        aborted++
        reject(new MoyaiError('ABORTED', 'not wanted any more'))
      })
    })
  const all = inventories({ silent, good: listing([item(1, 1)], 1) }, { clock })
  const claims = all.of(pack(1))
  await clock.advance(20_000)
  assert.equal((await claims).length, 1)
  assert.deepEqual(await all.of(pack(2)), [])
  assert.equal(all.failures().get('silent')?.code, 'TIMED_OUT')
  assert.equal(aborted, 1)
})

test('goal: an aborted pass says so, and claims nothing', async () => {
  const stop = new AbortController()
  const all = inventories({ a: () => new Promise(() => undefined) }, { signal: stop.signal })
  const claims = all.of(pack(1))
  stop.abort(new MoyaiError('ABORTED', 'enough'))
  await assert.rejects(claims, (error) => isMoyaiError(error, 'ABORTED'))
})
