/** Erasure code: spec/code.md. */

export { isCode } from './codec.ts'
export type { Code, Codec } from './codec.ts'
export { kernelCodec } from './kernel.ts'
export { plainCodec } from './plain.ts'
export { reedSolomonErasureCodec } from './reed-solomon-erasure.ts'
