// Goal: the same seed gives the same pool, invariants hold in it, and a broken decision breaks one.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { runDaemonSeed, type Task } from './worker.ts'

const SMALL: Task = { seed: '0x1', hosts: 8, years: 0.05, beyondBudget: false }

test('the same seed gives the same history, another one another', async () => {
  const first = await runDaemonSeed(SMALL)
  const second = await runDaemonSeed(SMALL)
  const other = await runDaemonSeed({ ...SMALL, seed: '0x2' })
  assert.equal(first.hash, second.hash)
  assert.notEqual(first.hash, other.hash)
  assert.equal(first.violation?.text, undefined)
  assert.equal(other.violation?.text, undefined)
})

test('repairs that ignore the caps of sites and organisations are found out', async () => {
  const task: Task = {
    ...SMALL,
    hosts: 10,
    years: 0.1,
    only: ['machine-loss', 'disk-loss', 'drop'],
  }
  const whole = await runDaemonSeed(task)
  assert.equal(whole.violation?.text, undefined)
  const broken = await runDaemonSeed({ ...task, mutation: 'cap' })
  assert.equal(broken.violation?.invariant, 'caps')
})

test('copies too many go, and a store that does not wait with them is found out', async () => {
  const task: Task = { ...SMALL, hosts: 10, years: 0.2 }
  const whole = await runDaemonSeed({ ...task, seed: '0x37' })
  assert.equal(whole.violation?.text, undefined)
  assert.ok((whole.counts['trimmed'] ?? 0) > 0)
  const broken = await runDaemonSeed({ ...task, seed: '0x16', mutation: 'release' })
  assert.equal(broken.violation?.invariant, 'surplus-waits')
})
