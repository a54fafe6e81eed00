export * from './assess.ts'
export * from './what-if.ts'
