export * from './cbor.ts'
export * from './schema.ts'
