/**
 * A lane under everything at once: random sizes, stalls, refusals and cancellations, every byte
 * compared.
 */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'node:test'
import { isMoyaiError, MoyaiError, utf8 } from '@moyai/protocol'
import { systemClock } from '../clock.ts'
import { SeededRandom } from '../random.ts'
import { ByteBudget } from './budget.ts'
import type { Exchange } from './exchange.ts'
import { Lane } from './lane.ts'
import { LANE_CREDIT_BYTES_MAX, SERVE_BUDGET_BYTES } from './limits.ts'
import { eventually } from '../testing/eventually.ts'
import { connectStream, openNode } from './testing/nodes.ts'

const limits = { requestBytesMax: 4096, responseBytesMax: 4096 }

type Dice = (below: number) => number

function diceOf(seed: string): Dice {
  const random = new SeededRandom(seed)
  return (below) => new DataView(random.bytes(4).buffer).getUint32(0) % below
}

async function stall(dice: Dice): Promise<void> {
  for (let i = dice(20) === 0 ? dice(50) : 0; i > 0; i--) await turn()
}

/** All payload of an exchange, hashed; `dice` makes the consumer slow. */
async function digest(exchange: Exchange, dice: Dice): Promise<string> {
  const hash = createHash('sha256')
  for (;;) {
    const parts = await exchange.receive()
    if (parts === undefined) return hash.digest('hex')
    await stall(dice)
    for (const part of parts) hash.update(part)
  }
}

/**
 * Answers `put` with the digest of its payload, and `get SEED LENGTH` with that payload; refuses
 * one in ten.
 */
function serve(dice: Dice): (exchange: Exchange) => Promise<void> {
  return async (exchange) => {
    const [what, seed, length] = Buffer.from(exchange.body).toString().split(' ')
    if (dice(10) === 0) throw new MoyaiError('NO_SPACE', 'full')
    if (what === 'put') {
      exchange.expect(Number(length))
      await exchange.respond(utf8(await digest(exchange, dice)))
      return
    }
    await exchange.respond(utf8('here'), true)
    const bytes = new SeededRandom(String(seed)).bytes(Number(length))
    for (let at = 0; at < bytes.length;) {
      const step = 1 + dice(400_000)
      await stall(dice)
      await exchange.send(bytes.subarray(at, at + step))
      if (dice(100) === 0) throw new MoyaiError('DISK', 'gone')
      at += step
    }
    await exchange.end()
  }
}

async function one(lane: Lane, dice: Dice, number: number): Promise<string> {
  const length = 1 + dice(1_500_000)
  const bytes = new SeededRandom(`${number}`).bytes(length)
  const expected = createHash('sha256').update(bytes).digest('hex')
  const abort = new AbortController()
  if (dice(5) === 0) {
    void (async () => {
      for (let i = dice(30); i > 0; i--) await turn()
      abort.abort()
    })()
  }
  const { signal } = abort
  if (dice(2) === 0) {
    const body = utf8(`get ${number} ${length}`)
    const exchange = await lane.request({ body, expect: length, signal })
    await exchange.response()
    assert.equal(await digest(exchange, dice), expected)
    return 'got'
  }
  const body = utf8(`put ${number} ${length}`)
  const exchange = await lane.request({ body, more: true, signal })
  for (let at = 0; at < length;) {
    const step = 1 + dice(300_000)
    await stall(dice)
    if (!(await exchange.send(bytes.subarray(at, at + step)))) break
    at += step
  }
  await exchange.end()
  const { body: answer } = await exchange.response()
  assert.equal(Buffer.from(answer).toString(), expected)
  return 'put'
}

const SEED = process.env['SEED'] ?? `${Date.now()}`

test(`goal: in a storm of 300 requests, each is exact or fails as it was made to (SEED=${SEED})`, async () => {
  await using a = await openNode(1)
  await using b = await openNode(2)
  const { near, far } = await connectStream(a.node, b.node)
  const budgets = [1, 2].map(() => new ByteBudget({ bytesMax: SERVE_BUDGET_BYTES })) as [
    ByteBudget,
    ByteBudget,
  ]
  const dice = diceOf(SEED)
  const clock = systemClock
  const opener = new Lane({ stream: near, peer: 'b', limits }, { clock, budget: budgets[0] })
  const acceptor = new Lane(
    { stream: far, peer: 'a', limits, handler: serve(diceOf(`${SEED} b`)) },
    { clock, budget: budgets[1] },
  )
  let most = 0
  const outcomes = new Map<string, number>()
  const count = (outcome: string): void => {
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    most = Math.max(most, opener.heldBytes, acceptor.heldBytes)
  }
  const storm = Array.from({ length: 300 }, async (_, number) => {
    try {
      count(await one(opener, dice, number))
    } catch (error) {
      assert.ok(isMoyaiError(error, 'NO_SPACE', 'DISK', 'ABORTED'), String(error))
      count(error.code)
    }
  })
  await Promise.all(storm)
  await eventually('all is closed', () => opener.load + acceptor.load === 0)
  assert.ok(opener.isOpen && acceptor.isOpen)
  assert.equal(budgets[0].usedBytes + budgets[1].usedBytes, 0)
  assert.ok(most <= LANE_CREDIT_BYTES_MAX, `${most} bytes were held`)
  for (const kind of ['got', 'put', 'NO_SPACE', 'ABORTED']) {
    assert.ok((outcomes.get(kind) ?? 0) > 0, `${kind}: ${JSON.stringify([...outcomes])}`)
  }
})
