/** What tests of storing stand on. */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

import { deriveVaultBundle, vaultSigner } from '@moyai/protocol'
import type { Code, VaultBundle } from '@moyai/protocol'

import { systemClock } from '../../clock.ts'
import { openMemoryDatabase } from '../../database/index.ts'
import type { Logger } from '../../logger.ts'
import { systemRandom } from '../../random.ts'
import { loadHasher } from '../native-hasher.ts'
import { StoreService } from '../store-service.ts'
import type { StoreRequest } from '../store-run.ts'
import { VaultIndex } from '../vault-index.ts'
import { WaitingStores } from '../waiting-stores.ts'
import { MemoryPool } from './memory-pool.ts'

/** Logs nothing. */
export const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} }
export const bundle: VaultBundle = deriveVaultBundle(
  new Uint8Array(32).fill(9),
  new Uint8Array(16).fill(3),
)

/** A store service, its surroundings and a source, in temporary folders. */
export type World = {
  pool: MemoryPool
  index: VaultIndex
  waiting: WaitingStores
  service: StoreService
  home: string
  source: string
  request: (more?: Partial<StoreRequest>) => StoreRequest
}

export function makeWorld(
  t: TestContext,
  sites: readonly string[] = ['a', 'a', 'b', 'b', 'c'],
  code?: Code,
  outboxBytesMax?: number,
): World {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-store-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const home = join(folder, 'home')
  const source = join(folder, 'source')
  mkdirSync(join(home, 'outbox'), { recursive: true })
  mkdirSync(source)
  const pool = new MemoryPool(sites, vaultSigner(bundle))
  const database = openMemoryDatabase()
  const index = new VaultIndex(database)
  const waiting = new WaitingStores(database)
  const service = new StoreService(
    {
      home,
      outbox: join(home, 'outbox'),
      bundle,
      hostname: 'test',
      username: 'tester',
      program: 'moyai test',
      patienceMs: 300,
      code,
      ...(outboxBytesMax === undefined ? {} : { outboxBytesMax }),
    },
    {
      index,
      network: pool,
      pool,
      log: pool,
      waiting,
      hasher: loadHasher(),
      clock: systemClock,
      random: systemRandom,
      logger: quiet,
    },
  )
  const request = (more: Partial<StoreRequest> = {}): StoreRequest => ({
    paths: [source],
    tags: [],
    excludes: [],
    dryRun: false,
    ...more,
  })
  return { pool, index, waiting, service, home, source, request }
}
