/**
 * Building a pack in a given buffer (spec/pack.md).
 *
 * The buffer may be wasm memory or shared memory: sealed bytes are written to where they stay, and
 * the erasure code then finds its data shards there.
 */

import { createCipheriv } from 'node:crypto'
import { assert } from '../assert.ts'
import {
  CODE_K_MAX,
  PACK_BLOBS_MAX,
  PACK_DIRECTORY_BYTES_MAX,
  PACK_FOOTER_BYTES,
  PACK_HEADER_BYTES,
  SEAL_TAG_BYTES,
  SHARD_LENGTHS,
  SHARD_LENGTH_MAX,
} from '../limits.ts'
import type { Aead } from '../ports.ts'
import {
  directoryLength,
  encodeDirectory,
  encodeFooter,
  entryLength,
  wrongEntry,
  type BlobChunk,
  type BlobEntry,
  type Compression,
  type PackDirectory,
} from './directory.ts'
import {
  DIRECTORY_NONCE,
  FOOTER_NONCE,
  PackKeys,
  type BlobKind,
  type PackIdentity,
} from './keys.ts'

/** A blob to add: `sealedInput` is what compression gave, `rawLength` what it was before. */
export type BlobInput = {
  kind: BlobKind
  compression: Compression
  sealedInput: Uint8Array
  rawLength: number
  chunks: BlobChunk[]
}

const PADDING_ZEROS = new Uint8Array(64 * 1024)

/** One pack under construction. Not reusable; its buffer is. */
export class PackBuilder {
  readonly #buffer: Uint8Array
  readonly #keys: PackKeys
  readonly #blobs: BlobEntry[] = []
  #end = PACK_HEADER_BYTES
  #entriesLength = 0
  #finished = false

  /**
   * `buffer` is the capacity, k × the largest shard length; `salt` 32 random bytes, new for each
   * pack; `aead` the cipher to seal with, Node's when absent.
   */
  constructor(o: PackIdentity & { buffer: Uint8Array; aead?: Aead }) {
    assert(o.buffer.length <= CODE_K_MAX * SHARD_LENGTH_MAX, 'pack buffer beyond every code')
    assert(o.buffer.length > PACK_HEADER_BYTES + PACK_FOOTER_BYTES, 'pack buffer too small')
    this.#buffer = o.buffer
    this.#keys = PackKeys.create(o, o.aead)
    this.#buffer.set(this.#keys.header)
  }

  /** The pack's header, a copy. */
  get header(): Uint8Array {
    return new Uint8Array(this.#keys.header)
  }

  /** Bytes of header and sealed blobs so far. */
  get usedBytes(): number {
    return this.#end
  }

  get blobCount(): number {
    return this.#blobs.length
  }

  /** The least `length` that `finish` takes now. */
  minLength(): number {
    return this.#lengthWith(this.#end, this.#blobs.length, this.#entriesLength)
  }

  #lengthWith(end: number, blobCount: number, entriesLength: number): number {
    return end + directoryLength(blobCount, entriesLength) + SEAL_TAG_BYTES + PACK_FOOTER_BYTES
  }

  /**
   * Seals a blob into the pack. False when it does not fit with directory and footer; nothing
   * changed then.
   */
  add(blob: BlobInput): boolean {
    assert(!this.#finished, 'the pack is finished')
    const entry: BlobEntry = {
      index: this.#blobs.length,
      kind: blob.kind,
      compression: blob.compression,
      offset: this.#end,
      sealedLength: blob.sealedInput.length + SEAL_TAG_BYTES,
      rawLength: blob.rawLength,
      chunks: blob.chunks,
    }
    const wrong = wrongEntry(entry)
    assert(wrong === undefined, `blob to add: ${wrong}`)
    const count = this.#blobs.length + 1
    const end = this.#end + entry.sealedLength
    const entriesLength = this.#entriesLength + entryLength(entry)
    if (count > PACK_BLOBS_MAX) return false
    if (directoryLength(count, entriesLength) > PACK_DIRECTORY_BYTES_MAX) return false
    if (this.#lengthWith(end, count, entriesLength) > this.#buffer.length) return false
    this.#keys.seal({
      kind: blob.kind,
      nonce: entry.index,
      plaintext: blob.sealedInput,
      target: this.#buffer,
      offset: this.#end,
    })
    this.#blobs.push(entry)
    this.#end = end
    this.#entriesLength = entriesLength
    return true
  }

  /**
   * Completes the pack to exactly `length` bytes (at least `minLength()`, at most the buffer):
   * padding that looks like the rest, the sealed directory, the sealed footer. The buffer's first
   * `length` bytes are the pack.
   */
  finish(length: number): { directory: PackDirectory } {
    assert(!this.#finished, 'the pack is finished')
    assert(length >= this.minLength(), 'the pack is longer than that')
    assert(length <= this.#buffer.length, 'the pack is longer than its buffer')
    this.#finished = true
    const directory = { blobs: this.#blobs }
    const plaintext = encodeDirectory(directory)
    assert(
      plaintext.length === directoryLength(this.#blobs.length, this.#entriesLength),
      'the directory has the length that was reckoned with',
    )
    const sealedLength = plaintext.length + SEAL_TAG_BYTES
    const offset = length - PACK_FOOTER_BYTES - sealedLength
    this.#pad(offset)
    const target = this.#buffer
    this.#keys.seal({ kind: 'directory', nonce: DIRECTORY_NONCE, plaintext, target, offset })
    const footer = encodeFooter({
      packLength: length,
      blobsEnd: this.#end,
      directoryOffset: offset,
      directoryLength: sealedLength,
      blobCount: this.#blobs.length,
    })
    this.#keys.seal({
      kind: 'footer',
      nonce: FOOTER_NONCE,
      plaintext: footer,
      target,
      offset: length - PACK_FOOTER_BYTES,
    })
    return { directory }
  }

  /** AES-256-CTR key stream from the last blob up to `end`. */
  #pad(end: number): void {
    const cipher = createCipheriv('aes-256-ctr', this.#keys.padding, new Uint8Array(16))
    for (let at = this.#end; at < end; at += PADDING_ZEROS.length) {
      const zeros = PADDING_ZEROS.subarray(0, Math.min(PADDING_ZEROS.length, end - at))
      this.#buffer.set(cipher.update(zeros), at)
    }
  }
}

/** The smallest shard length whose `k` data shards hold `bytes`; asserts that there is one. */
export function shardLengthFor(bytes: number, k: number): number {
  assert(Number.isInteger(k) && k >= 1 && k <= CODE_K_MAX, 'k out of bounds')
  const length = SHARD_LENGTHS.find((candidate) => candidate * k >= bytes)
  assert(length !== undefined, 'no shard length is large enough')
  return length
}
