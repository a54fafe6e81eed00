/** What the kernel and its fallback both are. */

/** BLAKE3 and the levels of its tree, as spec/hash.md needs them. */
export interface BlakeTree {
  /** BLAKE3 of `bytes`: 32 bytes. */
  hash(bytes: Uint8Array): Uint8Array
  /** Keyed BLAKE3 of `bytes` under a key of 32 bytes: 32 bytes. The key is not kept. */
  keyedHash(key: Uint8Array, bytes: Uint8Array): Uint8Array
  /**
   * Chaining values, never as root, of the 16 KiB groups of `bytes`, 32 bytes each. `firstGroup` is
   * the index in the payload of the group that `bytes` starts with; only the payload's last group
   * may be shorter than 16 KiB.
   */
  groupHashes(bytes: Uint8Array, firstGroup: number): Uint8Array
  /**
   * The next level of the tree: CVs of the parents of neighbours; an odd last CV moves up
   * unchanged.
   */
  parentLevel(cvs: Uint8Array): Uint8Array
  /** The hash at the top of the tree, over the two CVs (64 bytes) below it. */
  rootOfPair(pair: Uint8Array): Uint8Array
}
