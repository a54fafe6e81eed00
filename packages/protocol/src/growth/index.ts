/** Stripes of a pool that changes: spec/growth.md. */

export * from './growth.ts'
export * from './move.ts'
