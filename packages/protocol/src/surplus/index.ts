/** Surplus copies: spec/surplus.md. */

export * from './marker.ts'
export * from './surplus.ts'
