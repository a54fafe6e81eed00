/** Files: what the operating system keeps of them besides content, read and written exactly. */

export { applyMetadata } from './apply.ts'
export type { MetadataTarget } from './apply.ts'
export { captureEntry, entryType, pathBuffer } from './capture.ts'
export type { CaptureOptions } from './capture.ts'
export { findHoles, mayHaveHoles } from './holes.ts'
export { OwnerNames } from './owner-names.ts'
export { syscalls } from './syscalls.ts'
export type { Syscalls } from './syscalls.ts'
