/** Who is there: spec/liveness.md. */

export * from './rules.ts'
export * from './presence.ts'
export * from './table.ts'
export * from './watch.ts'
export * from './classify.ts'
