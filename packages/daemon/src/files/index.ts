/** Files: what the operating system keeps of them besides content, read and written exactly. */

export { applyMetadata, applyPlain } from './apply.ts'
export type { MetadataTarget, PlainMetadata } from './apply.ts'
export { captureEntry, entryType, pathBuffer } from './capture.ts'
export type { CaptureOptions } from './capture.ts'
export { findHoles, mayHaveHoles } from './holes.ts'
export { OwnerNames } from './owner-names.ts'
export { syscalls } from './syscalls.ts'
export type { Syscalls } from './syscalls.ts'
