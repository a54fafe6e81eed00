/**
 * `pnpm simulate [SEED] [--seeds N] [--hosts N] [--years N] [--workers N] [--trace]
 * [--mutate NAME] [--only FAULTS] [--beyond-budget] [--summary FILE]`: simulated pools, from seeds.
 *
 * Prints one line of JSON per seed on stdout, people's words on stderr. Ends with 1 when an
 * invariant did not hold, and prints the one command that shows it again.
 */

import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'

import { FAULT_NAMES } from './faults.ts'
import { timeText } from './journal.ts'
import type { RunResult } from './run.ts'
import { summaryOf, summaryText } from './summary.ts'
import { runDaemonSeed, type Task } from './worker.ts'
import { MUTATIONS, type Mutation } from './world.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string' },
    hosts: { type: 'string', default: '30' },
    years: { type: 'string', default: '1' },
    workers: { type: 'string', default: '2' },
    only: { type: 'string' },
    mutate: { type: 'string' },
    summary: { type: 'string' },
    'beyond-budget': { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
  },
})

function numberOf(name: 'seeds' | 'hosts' | 'years' | 'workers', fallback = 1): number {
  const text = values[name]
  const value = text === undefined ? fallback : Number(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new Error(`--${name} is a number above 0`)
}

function mutationOf(): Mutation | undefined {
  if (values.mutate === undefined) return undefined
  const found = MUTATIONS.find((name) => name === values.mutate)
  if (found === undefined) throw new Error(`--mutate is one of ${MUTATIONS.join(', ')}`)
  return found
}

function onlyOf(): string[] | undefined {
  const names = values.only?.split(',').filter((name) => name !== '')
  for (const name of names ?? []) {
    if (!FAULT_NAMES.includes(name)) throw new Error(`--only takes ${FAULT_NAMES.join(', ')}`)
  }
  return names
}

/** Seeds are numbers; those of a run follow each other. */
function seedsOf(): string[] {
  const first = Number(positionals[0] ?? 1)
  if (!Number.isSafeInteger(first)) throw new Error('a seed is a whole number')
  return Array.from({ length: numberOf('seeds') }, (_, i) => `0x${(first + i).toString(16)}`)
}

function commandOf(task: Task): string {
  const flags = [
    `--hosts ${task.hosts}`,
    `--years ${task.years}`,
    ...(task.mutation === undefined ? [] : [`--mutate ${task.mutation}`]),
    ...(task.only === undefined ? [] : [`--only ${task.only.join(',')}`]),
    ...(task.beyondBudget ? ['--beyond-budget'] : []),
  ]
  return `pnpm simulate ${task.seed} ${flags.join(' ')}`
}

function showFailure(task: Task, { violation, hash }: RunResult): void {
  if (violation === undefined) return
  const lines = [
    ...violation.tail.map((line) => `  ${line}`),
    `seed ${task.seed} (hash ${hash}): ${violation.invariant} does not hold on ${timeText(violation.time)}`,
    `  ${violation.text}`,
    `again: ${commandOf(task)} --trace`,
  ]
  process.stderr.write(`${lines.join('\n')}\n`)
}

/** Runs all tasks, as many at once as there are workers; the caller gets each result. */
async function runAll(
  tasks: readonly Task[],
  workers: number,
  take: (task: Task, result: RunResult) => void,
): Promise<void> {
  const waiting = [...tasks]
  await Promise.all(
    Array.from({ length: Math.min(workers, tasks.length) }, async () => {
      const worker = new Worker(new URL('worker.ts', import.meta.url))
      try {
        for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) {
          const { promise, resolve, reject } = Promise.withResolvers<RunResult>()
          worker.once('message', resolve)
          worker.once('error', reject)
          worker.postMessage(task)
          take(task, await promise)
          worker.off('error', reject)
        }
      } finally {
        await worker.terminate()
      }
    }),
  )
}

async function main(): Promise<void> {
  const mutation = mutationOf()
  const only = onlyOf()
  const shared = {
    hosts: numberOf('hosts'),
    years: numberOf('years'),
    beyondBudget: values['beyond-budget'],
    ...(mutation === undefined ? {} : { mutation }),
    ...(only === undefined ? {} : { only }),
  }
  const tasks = seedsOf().map((seed): Task => ({ seed, ...shared }))
  const results: RunResult[] = []
  const take = (task: Task, result: RunResult): void => {
    results.push(result)
    process.stdout.write(
      `${JSON.stringify({ ...result, violation: result.violation?.invariant })}\n`,
    )
    showFailure(task, result)
  }
  const [first] = tasks
  if (tasks.length === 1 && first !== undefined) {
    const trace = values.trace ? (line: string) => process.stderr.write(`${line}\n`) : undefined
    take(first, await runDaemonSeed(first, trace))
  } else await runAll(tasks, numberOf('workers'), take)
  const summary = summaryOf(results)
  process.stderr.write(summaryText(summary))
  if (values.summary !== undefined) {
    writeFileSync(values.summary, `${JSON.stringify(summary, undefined, 2)}\n`)
  }
  process.exitCode = results.some(({ violation }) => violation !== undefined) ? 1 : 0
}

await main()
