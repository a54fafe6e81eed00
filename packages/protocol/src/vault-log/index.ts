/** Vault log: entries, sealing, witnessing (spec/vault-log.md). */

export * from './entry.ts'
export * from './witness.ts'
