/** Content-defined chunking. spec/chunking.md. */

export { Chunker } from './chunker.ts'
export { gearTable, plainScan } from './gear.ts'
export type { Scan } from './gear.ts'
