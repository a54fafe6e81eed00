/** Reading one shard file. */

import {
  GroupHasher,
  MoyaiError,
  SHARD_HEADER_BYTES_MAX,
  decodeShardHeader,
  defined,
  equalBytes,
  isMoyaiError,
} from '@moyai/protocol'
import type { ShardHeader } from '@moyai/protocol'
import type { Disk, DiskFile } from '../file-system/index.ts'
import type { ShardId, ShardReader } from './shard-store.ts'

/** Bytes read at once when a whole shard is verified. */
const VERIFY_BYTES = 256 * 1024

/**
 * NOT_FOUND; SHARD_DAMAGED unless the header is right, is of this shard, and the file is as long as
 * it says.
 */
export async function openShardFile(
  disk: Disk,
  o: { path: string; id: ShardId; onDamage?: () => void },
): Promise<ShardReader> {
  const file = await disk.open(o.path, 'read')
  try {
    const header = await readHeader(file)
    const { vault, pack } = header.descriptor
    const { id } = o
    if (!equalBytes(vault, id.vault) || !equalBytes(pack, id.pack) || header.index !== id.index) {
      throw new MoyaiError('SHARD_DAMAGED', 'the file of a shard holds another shard')
    }
    return new FileReader(file, header, o.onDamage)
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Bytes of a file; 0 when it is not there, or cannot be looked at. */
export async function fileSize(disk: Disk, path: string): Promise<number> {
  try {
    return await disk.size(path)
  } catch (error) {
    if (isMoyaiError(error, 'NOT_FOUND', 'DISK')) return 0
    throw error
  }
}

/** The header of whatever shard is in the file. NOT_FOUND, SHARD_DAMAGED. */
export async function readShardHeader(disk: Disk, path: string): Promise<ShardHeader> {
  const file = await disk.open(path, 'read')
  try {
    return await readHeader(file)
  } finally {
    await file.close()
  }
}

async function readHeader(file: DiskFile): Promise<ShardHeader> {
  const bytes = new Uint8Array(SHARD_HEADER_BYTES_MAX)
  const length = await file.read(bytes, 0)
  let header: ShardHeader
  try {
    header = decodeShardHeader(bytes.subarray(0, length))
  } catch (cause) {
    if (!isMoyaiError(cause)) throw cause
    throw new MoyaiError('SHARD_DAMAGED', `the header of a shard: ${cause.message}`, { cause })
  }
  const size = await file.size()
  if (size !== header.fileLength) {
    throw new MoyaiError('SHARD_DAMAGED', `the file of a shard has ${size} bytes`, {
      data: { size, expected: header.fileLength },
    })
  }
  return header
}

class FileReader implements ShardReader {
  readonly descriptor: ShardHeader['descriptor']
  readonly envelope: Uint8Array
  readonly index: number
  readonly groups: Uint8Array
  readonly #file: DiskFile
  readonly #payloadOffset: number
  readonly #onDamage: (() => void) | undefined
  #closed = false

  constructor(file: DiskFile, header: ShardHeader, onDamage: (() => void) | undefined) {
    this.#file = file
    this.#onDamage = onDamage
    this.descriptor = header.descriptor
    this.envelope = header.envelope
    this.index = header.index
    this.groups = header.groups
    this.#payloadOffset = header.payloadOffset
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const { shardLength } = this.descriptor
    const isRange = Number.isSafeInteger(offset) && Number.isSafeInteger(length)
    if (!isRange || offset < 0 || length < 0 || length > shardLength - offset) {
      throw new MoyaiError('MALFORMED', 'a range beyond the shard')
    }
    const bytes = new Uint8Array(length)
    if ((await this.#file.read(bytes, this.#payloadOffset + offset)) < length) {
      this.#onDamage?.()
      throw new MoyaiError('SHARD_DAMAGED', 'the file of a shard became shorter')
    }
    return bytes
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#file.close()
  }
}

/** Reads the whole shard; SHARD_DAMAGED unless its hash is the one in the descriptor. */
export async function verifyShard(reader: ShardReader): Promise<void> {
  const { shardLength, shardHashes } = reader.descriptor
  const hasher = new GroupHasher()
  for (let offset = 0; offset < shardLength; offset += VERIFY_BYTES) {
    hasher.update(await reader.read(offset, Math.min(VERIFY_BYTES, shardLength - offset)))
  }
  const expected = defined(shardHashes[reader.index], 'the hash of this shard')
  if (!equalBytes(hasher.digest().root, expected)) {
    throw new MoyaiError('SHARD_DAMAGED', 'the bytes of a shard are not what was stored')
  }
}
