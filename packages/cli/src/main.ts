#!/usr/bin/env node
/** `moyai`: the entry point. */

import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

// Most of what a short command does is compiling: with the cache it starts twice as fast. The cache
// stands beside the installed packages, not in a temporary folder that other users of the machine
// could fill.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/moyai', import.meta.url)))

// A reader that goes away (`moyai ls | head`) is no failure of ours; nobody is left to tell.
process.stdout.on('error', () => process.exit(0))

const { run } = await import('./run.ts')
const words = process.argv.slice(2)
process.exitCode = await run(words)
// The daemon has closed everything of its own by now; libp2p leaves a timer behind that would hold
// it up for a second.
if (words[0] === 'daemon') process.exit()
