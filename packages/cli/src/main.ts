#!/usr/bin/env node
/** `moyai`: the entry point. */

import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

const words = process.argv.slice(2)
if (words[0] === 'daemon') withFittingHeap()

// Most of what a short command does is compiling: with the cache it starts twice as fast. The cache
// stands beside the installed packages, not in a temporary folder that other users of the machine
// could fill. A thread of the daemon finds it by the environment alone, and starts in half the
// time.
const cache = fileURLToPath(new URL('../node_modules/.cache/moyai', import.meta.url))
enableCompileCache(cache)
process.env['NODE_COMPILE_CACHE'] ??= cache

// A reader that goes away (`moyai ls | head`) is no failure of ours; nobody is left to tell.
process.stdout.on('error', () => process.exit(0))

const { run } = await import('./run.ts')
process.exitCode = await run(words)
// The daemon has closed everything of its own by now; libp2p leaves a timer behind that would hold
// it up for a second.
if (words[0] === 'daemon') process.exit()

/**
 * Starts this process anew, under the same number, with a heap that fits a daemon: V8 takes these
 * from its command line alone. Young objects otherwise fill 64 MiB before it looks. And a heap as
 * small as ours it would collect whenever it grew by a few MiB; letting it double spares a tenth of
 * a store's CPU time, letting it grow further spares nothing more (docs/decisions/0008).
 */
function withFittingHeap(): void {
  const flags = ['--max-semi-space-size=4', '--heap-growing-percent=100', '--optimize-for-size']
  const given = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ')
  const missing = flags.filter((flag) => !given.includes(flag.replace(/=.*$/, '')))
  if (missing.length === 0 || process.execve === undefined || process.platform === 'win32') return
  const { execPath, execArgv, argv, env } = process
  try {
    process.execve(execPath, [execPath, ...missing, ...execArgv, ...argv.slice(1)], env)
  } catch {
    // Node's permissions do not let it: the daemon runs all the same
  }
}
