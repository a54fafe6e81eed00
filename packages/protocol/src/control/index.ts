export { controlAddress } from './address.ts'
export type * from './types.ts'
export type * from './health-types.ts'
