#!/usr/bin/env node
/** `moyai`: the entry point. */

import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

const words = process.argv.slice(2)
if (words[0] === 'daemon') withSmallHeap()

// Most of what a short command does is compiling: with the cache it starts twice as fast. The cache
// stands beside the installed packages, not in a temporary folder that other users of the machine
// could fill.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/moyai', import.meta.url)))

// A reader that goes away (`moyai ls | head`) is no failure of ours; nobody is left to tell.
process.stdout.on('error', () => process.exit(0))

const { run } = await import('./run.ts')
process.exitCode = await run(words)
// The daemon has closed everything of its own by now; libp2p leaves a timer behind that would hold
// it up for a second.
if (words[0] === 'daemon') process.exit()

/**
 * Starts this process anew, under the same number, with a small space for young objects: V8 takes
 * that size from its command line alone, and otherwise lets them fill 64 MiB before it looks.
 */
function withSmallHeap(): void {
  const flag = '--max-semi-space-size'
  const isSet = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ').includes(flag)
  if (isSet || process.execve === undefined || process.platform === 'win32') return
  const { execPath, execArgv, argv, env } = process
  try {
    process.execve(execPath, [execPath, `${flag}=4`, ...execArgv, ...argv.slice(1)], env)
  } catch {
    // Node's permissions do not let it: the daemon runs all the same
  }
}
