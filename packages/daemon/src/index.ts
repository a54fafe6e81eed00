/** The public surface of the daemon package. */

export * from './clock.ts'
export * from './database/index.ts'
export * from './random.ts'
