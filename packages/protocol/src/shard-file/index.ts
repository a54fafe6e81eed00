/** Shard files: spec/shard-file.md. */

export * from './shard-file.ts'
