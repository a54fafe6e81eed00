/** The public surface of the protocol package. */

export * from './assert.ts'
export * from './bytes.ts'
export * from './cbor/index.ts'
export * from './control/index.ts'
export * from './envelope/index.ts'
export * from './codec/index.ts'
export * from './errors.ts'
export * from './keys/index.ts'
export * from './limits.ts'
export * from './pack/index.ts'
export * from './ports.ts'
export * from './seal/index.ts'
