/** Hash trees over payloads: group hashes, slice proofs, verified streaming. spec/hash.md. */

export { GroupHasher } from './group-hasher.ts'
export { sliceProof } from './slice-proof.ts'
export { type SliceOptions, SliceVerifier } from './slice-verifier.ts'
export { alignedRange, type ByteRange, groupHashes, rootFromGroups } from './tree.ts'
