/**
 * A real daemon in a process of its own, as `moyai daemon` runs it, with what only tests may change:
 * audits soon after the start, and a store that lies. `TEST_STORE` is `honest`, `leaf-zero`
 * or `garbage`; with `TEST_HEALS=no` damage stays as it is.
 */

import { runDaemon, type ShardStore } from '@moyai/daemon'

import { garbageStore, leafZeroStore } from './evil-store.ts'

const STORES: Record<string, (store: ShardStore) => ShardStore> = {
  honest: (store) => store,
  'leaf-zero': leafZeroStore,
  garbage: garbageStore,
}

const wrapStore = STORES[process.env['TEST_STORE'] ?? 'honest']
const home = process.env['MOYAI_HOME']
if (wrapStore === undefined || home === undefined) throw new Error('TEST_STORE, MOYAI_HOME')
const heals = process.env['TEST_HEALS'] !== 'no'
const stop = new AbortController()
for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort())
process.exitCode = await runDaemon({
  home,
  signal: stop.signal,
  wrapStore,
  heals,
  ...(heals ? { audit: { startMs: 3_000, tickMs: 3_000, againMs: 0 } } : {}),
  onReady: () => process.stdout.write('ready\n'),
})
