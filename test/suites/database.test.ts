/** Goal: the database on disk and the one in memory keep the same contract. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { MemoryDisk, openLevelDatabase, openMemoryDatabase } from '@moyai/daemon'

import { databaseSuite } from './database-suite.ts'

databaseSuite('memory', async () => {
  const disk = new MemoryDisk()
  return { open: async () => openMemoryDatabase(disk), remove: async () => undefined }
})

databaseSuite('level', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'moyai-database-'))
  return {
    open: () => openLevelDatabase(join(folder, 'database')),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
})
