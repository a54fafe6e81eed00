export * from './diagnose.ts'
