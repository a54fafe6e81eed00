/**
 * Loaded into a daemon by `node --import`: measures its event loop and, at SIGUSR2, writes what it
 * saw since the last time to `event-loop.json` in the state directory.
 */

import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

const RESOLUTION_MS = 5
const NS_PER_MS = 1e6

/** Milliseconds that a timer came late. */
export type LoopDelay = { p50: number; p99: number; max: number }

const home = process.env['MOYAI_HOME']
if (isMainThread && home !== undefined && process.argv.includes('daemon')) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  process.on('SIGUSR2', () => {
    const late = (ns: number): number => Math.max(0, ns / NS_PER_MS - RESOLUTION_MS)
    const [p50, p99, max] = [histogram.percentile(50), histogram.percentile(99), histogram.max]
    const delay: LoopDelay = { p50: late(p50), p99: late(p99), max: late(max) }
    histogram.reset()
    const path = join(home, 'event-loop.json')
    writeFileSync(`${path}.new`, JSON.stringify(delay))
    renameSync(`${path}.new`, path)
  })
}
