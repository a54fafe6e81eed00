/** Settings of this host. */

export * from './config.ts'
export { withSetting } from './edit-config.ts'
export { parseBytes, parseDuration } from './quantity.ts'
