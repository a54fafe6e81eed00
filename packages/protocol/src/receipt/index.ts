/** Receipts of shards and of log entries: spec/receipt.md. */

export * from './receipt.ts'
