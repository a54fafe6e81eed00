/** Snapshots and the index that belongs to them (spec/snapshot.md). */

export * from './index-segment.ts'
export * from './snapshot.ts'
