/** Surplus copies: spec/surplus.md. */

export * from './marker.ts'
