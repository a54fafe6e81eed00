/** Placement: which code, which holders, what may be lost. spec/placement.md. */

export * from './explain.ts'
export * from './hosts.ts'
export * from './place.ts'
export * from './plan.ts'
export * from './survives.ts'
export type { Caps } from './spread.ts'
