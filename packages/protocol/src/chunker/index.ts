/** Content-defined chunking. spec/chunking.md. */

export { Chunker } from './chunker.ts'
export { gearTable } from './gear.ts'
