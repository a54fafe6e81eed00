export * from './aead.ts'
export * from './box.ts'
