/** The local key-value store. */

export * from './database.ts'
export { openLevelDatabase } from './level-database.ts'
export { MemoryDisk, openMemoryDatabase } from './memory-database.ts'
