/**
 * What the opening threads do: rebuild lost ranges of shards, and open blobs.
 *
 * A blob is opened under the key of its pack, decompressed to exactly the length its entry says,
 * and each wanted chunk is hashed and compared with its id: only bytes that were checked leave
 * here.
 */

import {
  equalBytes,
  MoyaiError,
  packHeader,
  PackReader,
  toHex,
  toMoyaiError,
} from '@moyai/protocol'
import type { Aead, BlobEntry, Code, Codec, Compressor, ErrorCode, Hasher } from '@moyai/protocol'

import { loadCodec } from '../../codec.ts'
import { loadAead } from '../../native/aead.ts'
import { loadCompressor } from '../../native/zstd.ts'
import { loadHasher } from '../../store/native-hasher.ts'
import type { Transfer } from './thread.ts'

export type OpenKeys = { vault: Uint8Array; dataKey: Uint8Array; chunkIdKey: Uint8Array }

/** Blobs within one contiguous range of a pack. */
export type OpenJob = {
  salt: Uint8Array
  packClass: 'data' | 'meta'
  /** The bytes of the range; `start` is where it begins in the pack. */
  bytes: Uint8Array
  start: number
  /** Entries with the wanted chunks only. */
  blobs: readonly BlobEntry[]
}

/** Raw bytes of a blob whose wanted chunks are right, or why there are none. */
export type OpenedBlob = { raw: Uint8Array } | { failure: { code: ErrorCode; message: string } }

/** Columns of a stripe: every shard's same range, shard after shard. */
export type RebuildJob = { code: Code; length: number; shards: Uint8Array; present: boolean[] }

/** Readers of the packs used last: deriving a key costs more than a small blob. */
const READERS_MAX = 32

export type OpenerComponents = {
  hasher: Hasher
  aead: Aead
  compressor: Compressor
  loadCodec: () => Codec
}

/** See the head of this file. One for each thread. */
export class Opener {
  readonly #keys: OpenKeys
  readonly #hasher: Hasher
  readonly #aead: Aead
  readonly #compressor: Compressor
  readonly #loadCodec: () => Codec
  readonly #readers = new Map<string, PackReader>()
  #codec: Codec | undefined

  constructor(keys: OpenKeys, components: OpenerComponents) {
    this.#keys = keys
    this.#hasher = components.hasher
    this.#aead = components.aead
    this.#compressor = components.compressor
    this.#loadCodec = components.loadCodec
  }

  /** One result for each blob of the job, in order. */
  open(job: OpenJob): { result: OpenedBlob[]; transfer: Transfer } {
    const transfer: ArrayBuffer[] = []
    const result = job.blobs.map((entry): OpenedBlob => {
      try {
        const raw = this.#openOne(job, entry)
        transfer.push(raw.buffer)
        return { raw }
      } catch (error) {
        const { code, message } = toMoyaiError(error)
        return { failure: { code, message } }
      }
    })
    return { result, transfer }
  }

  /** Like `open` for one blob: uses up its bytes, and gives a view of them or of `room`. */
  openInPlace(job: Omit<OpenJob, 'blobs'>, entry: BlobEntry, room: Uint8Array): Uint8Array {
    const opened = this.#reader(job).openInPlace(entry, sealedOf(job, entry), room)
    this.#check(entry, opened)
    return opened
  }

  /** Fills in the absent shards; NOT_ENOUGH_SHARDS. */
  rebuild(job: RebuildJob): { result: Uint8Array; transfer: Transfer } {
    this.#codec ??= this.#loadCodec()
    this.#codec.reconstruct(job.code, job.length, job.shards, job.present)
    return { result: job.shards, transfer: [job.shards.buffer as ArrayBuffer] }
  }

  #openOne(job: OpenJob, entry: BlobEntry): Uint8Array<ArrayBuffer> {
    const opened = this.#reader(job).open(entry, sealedOf(job, entry))
    this.#check(entry, opened)
    return ownBytes(opened)
  }

  #check(entry: BlobEntry, opened: Uint8Array): void {
    for (const { id, offset, length } of entry.chunks) {
      const chunk = opened.subarray(offset, offset + length)
      if (chunk.length !== length || !equalBytes(this.#hash(chunk), id)) {
        throw new MoyaiError('HASH_MISMATCH', 'a chunk is not what its id says')
      }
    }
  }

  #hash(bytes: Uint8Array): Uint8Array {
    return this.#hasher.keyedHash(this.#keys.chunkIdKey, bytes)
  }

  #reader(job: Pick<OpenJob, 'salt' | 'packClass'>): PackReader {
    const { salt, packClass } = job
    const { dataKey, vault } = this.#keys
    const key = `${packClass}${toHex(salt)}`
    let reader = this.#readers.get(key)
    if (reader === undefined) {
      const header = packHeader({ salt, packClass, dataKey, vault })
      reader = new PackReader({
        dataKey,
        vault,
        header,
        aead: this.#aead,
        compressor: this.#compressor,
      })
    } else {
      this.#readers.delete(key)
    }
    this.#readers.set(key, reader)
    if (this.#readers.size > READERS_MAX) {
      const [oldest] = this.#readers.keys()
      if (oldest !== undefined) this.#readers.delete(oldest)
    }
    return reader
  }
}

/** An opener with the fastest of everything that this machine has. */
export function loadOpener(keys: OpenKeys): Opener {
  const components = { hasher: loadHasher(), aead: loadAead(), compressor: loadCompressor() }
  return new Opener(keys, { ...components, loadCodec })
}

function sealedOf(job: Omit<OpenJob, 'blobs'>, entry: BlobEntry): Uint8Array {
  const at = entry.offset - job.start
  return job.bytes.subarray(at, at + entry.sealedLength)
}

/** The bytes in memory of their own, which can be transferred; a copy only where they share it. */
function ownBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteLength } = bytes
  const alone = buffer instanceof ArrayBuffer && buffer.byteLength === byteLength
  return alone ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes)
}
