export * from './builder.ts'
export * from './compress.ts'
export {
  decodeBlobEntries,
  encodeBlobEntries,
  type BlobChunk,
  type BlobEntry,
  type Compression,
  type PackDirectory,
} from './directory.ts'
export {
  packHeader,
  parsePackHeader,
  type BlobKind,
  type PackClass,
  type PackHeader,
  type PackIdentity,
} from './keys.ts'
export * from './reader.ts'
