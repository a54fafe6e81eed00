/** Repair: what has to be made again, in which order, by whom, and where to. spec/repair.md. */

export * from './assess.ts'
export * from './plan.ts'
export * from './rank.ts'
export * from './targets.ts'
