/** Settings of this host. */

export * from './config.ts'
export { parseBytes, parseDuration } from './quantity.ts'
