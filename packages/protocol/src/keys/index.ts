export * from './derive.ts'
export * from './phrase.ts'
