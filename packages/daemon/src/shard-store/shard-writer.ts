/** A shard on its way in: a temporary file, hashed while it is written. */

import {
  GroupHasher,
  MoyaiError,
  assert,
  defined,
  encodeShardHeader,
  equalBytes,
  shardPayloadOffset,
} from '@moyai/protocol'
import type { StripeDescriptor } from '@moyai/protocol'
import type { DiskFile } from '../file-system/index.ts'
import type { ShardWriter } from './shard-store.ts'

/** What the store does for its writers. */
export type WriterHooks = {
  /** Runs an fsync that taints the store when it fails. */
  sync(run: () => Promise<void>): Promise<void>
  /** Puts the finished temporary file in its place, durably. */
  publish(): Promise<void>
  /**
   * Removes the temporary file if it is still there, and gives the reserved space back; never
   * throws.
   */
  discard(): Promise<void>
}

export class TemporaryShard implements ShardWriter {
  readonly descriptor: StripeDescriptor
  readonly #envelope: Uint8Array
  readonly #index: number
  readonly #file: DiskFile
  readonly #hooks: WriterHooks
  readonly #hasher = new GroupHasher()
  readonly #payloadOffset: number
  #length = 0
  #state: 'open' | 'busy' | 'failed' | 'ended' = 'open'
  #fileOpen = true
  #discarded: Promise<void> | undefined

  constructor(o: {
    descriptor: StripeDescriptor
    envelope: Uint8Array
    index: number
    file: DiskFile
    hooks: WriterHooks
  }) {
    this.descriptor = o.descriptor
    this.#envelope = o.envelope
    this.#index = o.index
    this.#file = o.file
    this.#hooks = o.hooks
    this.#payloadOffset = shardPayloadOffset({
      envelopeLength: o.envelope.length,
      shardLength: o.descriptor.shardLength,
    })
  }

  async write(bytes: Uint8Array | readonly Uint8Array[]): Promise<void> {
    const parts = bytes instanceof Uint8Array ? [bytes] : bytes
    await this.#exclusively(async () => {
      const length = parts.reduce((sum, part) => sum + part.length, 0)
      if (length > this.descriptor.shardLength - this.#length) {
        throw new MoyaiError('TOO_LARGE', 'more bytes than the shard has')
      }
      const position = this.#payloadOffset + this.#length
      this.#length += length
      // The disk works while this thread hashes.
      const written = this.#file.writeParts(parts, position)
      for (const part of parts) this.#hasher.update(part)
      await written
    })
  }

  async commit(): Promise<void> {
    try {
      await this.#exclusively(async () => {
        const header = this.#finish()
        await this.#file.write(header, 0)
        await this.#hooks.sync(() => this.#file.sync())
        await this.#close()
        await this.#hooks.publish()
      })
      this.#state = 'ended'
    } finally {
      await this.#discard()
    }
  }

  async abort(): Promise<void> {
    // A commit under way cleans up after itself.
    if (this.#state === 'busy') this.#state = 'failed'
    await this.#discard()
  }

  /** The header, once all bytes are there and are the right ones. */
  #finish(): Uint8Array {
    const { shardLength, shardHashes } = this.descriptor
    if (this.#length < shardLength) {
      throw new MoyaiError('TRUNCATED', `${this.#length} of ${shardLength} bytes of the shard`)
    }
    const { root, groups } = this.#hasher.digest()
    if (!equalBytes(root, defined(shardHashes[this.#index], 'the hash of this shard'))) {
      throw new MoyaiError('HASH_MISMATCH', 'these are not the bytes of this shard')
    }
    return encodeShardHeader({ descriptor: this.#envelope, index: this.#index, groups })
  }

  /** One call at a time, and none after an error or an abort. */
  async #exclusively(run: () => Promise<void>): Promise<void> {
    assert(this.#state !== 'busy', 'one call of a shard writer at a time')
    if (this.#state !== 'open') throw new MoyaiError('ABORTED', 'this shard was given up')
    this.#state = 'busy'
    try {
      await run()
    } catch (error) {
      this.#state = 'failed'
      throw error
    }
    // Aborted meanwhile: what was written does not count.
    if (this.#state !== 'busy') throw new MoyaiError('ABORTED', 'this shard was given up')
    this.#state = 'open'
  }

  async #close(): Promise<void> {
    if (!this.#fileOpen) return
    this.#fileOpen = false
    await this.#file.close()
  }

  async #discard(): Promise<void> {
    if (this.#state !== 'ended') this.#state = 'failed'
    this.#discarded ??= (async (): Promise<void> => {
      try {
        await this.#close()
      } catch {
        // The file is given up anyhow; its bytes were never acknowledged.
      }
      await this.#hooks.discard()
    })()
    await this.#discarded
  }
}
