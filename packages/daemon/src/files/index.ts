/** Files: what the operating system keeps of them besides content, read and written exactly. */

export { captureEntry, entryType, pathBuffer } from './capture.ts'
export type { CaptureOptions } from './capture.ts'
export { findHoles, HOLES_MAX, mayHaveHoles } from './holes.ts'
export { OwnerNames } from './owner-names.ts'
export { syscalls } from './syscalls.ts'
export type { Extent, Syscalls, Xattr } from './syscalls.ts'
