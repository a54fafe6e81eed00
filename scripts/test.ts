/**
 * The one test command: types, lint, format, then the tests of the pure core under Node's
 * permission model, then everything that touches disk and network. Prints each runner's own output
 * and ends with one line `N passed, N failed`, which is what CI reads. `scripts/test.ts NAME…` runs
 * only the named steps.
 */

import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

type Step = { name: string; command: readonly string[]; counts: boolean }

const CORE_TESTS = ['packages/protocol/src/**/*.test.ts']
const REST_TESTS = ['packages/daemon/src/**/*.test.ts', 'packages/cli/src/**/*.test.ts']
const CROSS_TESTS = ['test/**/*.test.ts']
/** Processes of their own, two at a time: the machine that CI promises has two cores. */
const CONCURRENCY = '--test-concurrency=2'

function files(patterns: readonly string[]): string[] {
  return patterns
    .flatMap((pattern) => globSync(pattern, { cwd: ROOT, exclude: ['**/node_modules/**'] }))
    .sort()
}

const STEPS: readonly Step[] = [
  { name: 'types', command: ['tsc', '--build'], counts: false },
  { name: 'lint', command: ['oxlint', '--type-aware', '--deny-warnings'], counts: false },
  { name: 'format', command: ['oxfmt', '--check', '.'], counts: false },
  {
    // Node denies writes, sockets and child processes here: the proof that protocol does no I/O.
    name: 'core',
    command: [
      'node',
      '--permission',
      '--allow-fs-read=*',
      '--test',
      '--test-isolation=none',
      ...files(CORE_TESTS),
    ],
    counts: true,
  },
  { name: 'daemon', command: ['node', '--test', CONCURRENCY, ...files(REST_TESTS)], counts: true },
  { name: 'cross', command: ['node', '--test', CONCURRENCY, ...files(CROSS_TESTS)], counts: true },
]

type Outcome = { passed: number; failed: number; seconds: number }

function run(step: Step): Promise<Outcome> {
  const began = performance.now()
  const [program = '', ...args] = step.command
  return new Promise((resolve) => {
    const child = spawn(program === 'node' ? process.execPath : program, args, {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let tail = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      process.stdout.write(text)
      tail = `${tail}${text}`.slice(-4096)
    })
    child.once('error', (error) => {
      process.stdout.write(`${error.message}\n`)
      resolve({ passed: 0, failed: 1, seconds: 0 })
    })
    child.once('close', (code) => {
      const seconds = (performance.now() - began) / 1000
      if (!step.counts) {
        resolve({ passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, seconds })
        return
      }
      const passed = Number(/^(?:ℹ|#) pass (\d+)$/m.exec(tail)?.[1] ?? 0)
      const failed = Number(/^(?:ℹ|#) fail (\d+)$/m.exec(tail)?.[1] ?? 0)
      // A runner that failed without saying so, or ran nothing, is a failure all the same.
      const unsaid = (code !== 0 && failed === 0) || passed + failed === 0 ? 1 : 0
      resolve({ passed, failed: failed + unsaid, seconds })
    })
  })
}

const wanted = process.argv.slice(2)
const total = { passed: 0, failed: 0 }
const lines: string[] = []
for (const step of STEPS) {
  if (wanted.length > 0 && !wanted.includes(step.name)) continue
  process.stdout.write(`\n== ${step.name}\n`)
  const outcome = await run(step)
  total.passed += outcome.passed
  total.failed += outcome.failed
  lines.push(
    `${step.name.padEnd(8)} ${outcome.passed} passed, ${outcome.failed} failed in ${outcome.seconds.toFixed(1)} s`,
  )
}
process.stdout.write(`\n${lines.map((line) => `  ${line}`).join('\n')}\n`)
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`)
process.exitCode = total.failed === 0 ? 0 : 1
