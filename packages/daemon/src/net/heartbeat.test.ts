/** A peer that stops answering loses its connection; one that answers, however slowly, keeps it. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { Connection } from '@libp2p/interface'

import { ManualClock } from '../clock.ts'
import { Heartbeat, pingableOf } from './heartbeat.ts'
import { HEARTBEAT_MS, HEARTBEAT_PATIENCE_MS, HEARTBEAT_TICK_MS } from './limits.ts'
import { connectStream, openNode } from './testing/nodes.ts'

class FakeConnection {
  status = 'open'
  pings = 0
  aborted: string | undefined
  answer = Promise.withResolvers<number>()
  readonly muxer = {
    ping: (): Promise<number> => {
      this.pings += 1
      return this.answer.promise
    },
  }

  abort(error: Error): void {
    this.status = 'aborted'
    this.aborted = error.message
  }
}

function heartbeat(...connections: FakeConnection[]): { clock: ManualClock; beat: Heartbeat } {
  const clock = new ManualClock()
  const getConnections = (): Connection[] => connections as unknown as Connection[]
  const beat = new Heartbeat({ connectionManager: { getConnections } }, clock)
  beat.start()
  return { clock, beat }
}

test('goal: silence costs the connection, within a minute', async () => {
  const [alive, dead] = [new FakeConnection(), new FakeConnection()]
  alive.answer.resolve(1)
  const { clock, beat } = heartbeat(alive, dead)
  await clock.advance(HEARTBEAT_MS + HEARTBEAT_TICK_MS)
  assert.equal(alive.pings, 1)
  assert.equal(dead.pings, 1)
  await clock.advance(HEARTBEAT_PATIENCE_MS - 2 * HEARTBEAT_TICK_MS)
  assert.equal(dead.aborted, undefined)
  await clock.advance(3 * HEARTBEAT_TICK_MS)
  assert.equal(dead.aborted, 'no answer to a ping')
  assert.ok(HEARTBEAT_MS + HEARTBEAT_PATIENCE_MS + 2 * HEARTBEAT_TICK_MS <= 60_000)
  await clock.advance(10 * HEARTBEAT_MS)
  assert.equal(alive.aborted, undefined)
  assert.ok(alive.pings >= 10 && alive.pings <= 12)
  assert.equal(dead.pings, 1)
  beat.stop()
  await clock.advance(10 * HEARTBEAT_MS)
  assert.ok(alive.pings <= 12)
})

test('goal: a late answer is an answer, a failed ping of a closed connection no news', async () => {
  const [late, failed] = [new FakeConnection(), new FakeConnection()]
  failed.answer.promise.catch(() => undefined)
  failed.answer.reject(new Error('closed'))
  const { clock, beat } = heartbeat(late, failed)
  await clock.advance(HEARTBEAT_MS + HEARTBEAT_PATIENCE_MS / 2)
  late.answer.resolve(1)
  await clock.advance(10 * HEARTBEAT_PATIENCE_MS)
  assert.equal(late.aborted, undefined)
  assert.equal(failed.aborted, undefined)
  beat.stop()
})

test('goal: the muxer that is installed answers pings', async () => {
  await using a = await openNode(1)
  await using b = await openNode(2)
  const { connection } = await connectStream(a.node, b.node)
  const muxer = pingableOf(connection)
  assert.ok(muxer !== undefined)
  assert.ok((await muxer.ping()) >= 0)
})
