/**
 * The outbox: packs that are coded and signed but not yet wholly with their holders, one file each.
 *
 * `magic 8 | header length u32 | BLAKE3 of the header 32 | header (CBOR) | index segment | k+m
 * shards`. Files are written beside and renamed, without fsync: they outlive a killed process,
 * which makes a store resumable, and after a power cut a torn one is found by its hashes and thrown
 * away. Nothing depends on them before a holder has the bytes.
 *
 * A file whose pack is with its holders becomes a spare, and the next pack is written over it: the
 * pages that the kernel holds for it are used again, which costs a seventh of filling new ones.
 */

import {
  closeSync,
  constants,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  writevSync,
} from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

import {
  assert,
  decodeAs,
  encodeCbor,
  equalBytes,
  FRAME_BYTES_MAX,
  HASH_BYTES,
  MoyaiError,
  openStripe,
  s,
  toHex,
  utf8,
} from '@moyai/protocol'
import type { Hasher, StripeDescriptor } from '@moyai/protocol'

const MAGIC: Uint8Array = utf8('MOYAIOB1')
const START_BYTES: number = MAGIC.length + 4 + HASH_BYTES
/** A stripe envelope of 48 shards is about 2 KiB. */
const HEADER_BYTES_MAX = 64 * 1024
/** What one pack adds to the index: bounded by PACK_CHUNKS_MAX of pack-writer.ts. */
const SEGMENT_BYTES_MAX = 8 * 1024 * 1024
const SUFFIX = '.pack'
const SPARE_SUFFIX = '.spare'
/** As many as are written and sent at once, more or less; one is as large as a pack with parity. */
const SPARES_MAX = 4

const headerSchema = s.map({
  v: s.version(1),
  envelope: s.bytes({ max: HEADER_BYTES_MAX }),
  salt: s.bytes({ length: 32 }),
  packClass: s.oneOf('data', 'meta'),
  segmentLength: s.int({ max: SEGMENT_BYTES_MAX }),
  segmentHash: s.bytes({ length: HASH_BYTES }),
})

/** A pack as it goes into the outbox. */
export type OutboxPack = {
  pack: Uint8Array
  envelope: Uint8Array
  salt: Uint8Array
  packClass: 'data' | 'meta'
  /** Encoded index segment of this pack alone. */
  segment: Uint8Array
  /** All k+m shards, one after another. */
  shards: Uint8Array
}

function outboxPath(folder: string, pack: Uint8Array): string {
  return join(folder, `${toHex(pack)}${SUFFIX}`)
}

/** Writes a pack, synchronously, for worker threads. NO_SPACE or DISK. */
export function writeOutboxPack(folder: string, pack: OutboxPack, hasher: Hasher): void {
  const header = encodeCbor({
    v: 1,
    envelope: pack.envelope,
    salt: pack.salt,
    packClass: pack.packClass,
    segmentLength: pack.segment.length,
    segmentHash: hasher.hash(pack.segment),
  })
  assert(header.length <= HEADER_BYTES_MAX, 'an outbox header is small')
  const start = new Uint8Array(START_BYTES)
  start.set(MAGIC)
  new DataView(start.buffer).setUint32(MAGIC.length, header.length)
  start.set(hasher.hash(header), MAGIC.length + 4)
  const path = outboxPath(folder, pack.pack)
  const temporary = `${path}.new`
  const parts = [start, header, pack.segment, pack.shards]
  try {
    takeSpare(folder, temporary)
    const fd = openSync(temporary, constants.O_WRONLY | constants.O_CREAT, 0o600)
    try {
      writeFully(fd, parts)
      ftruncateSync(
        fd,
        parts.reduce((length, part) => length + part.length, 0),
      )
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, path)
  } catch (cause) {
    rmSync(temporary, { force: true })
    const full = cause instanceof Error && 'code' in cause && cause.code === 'ENOSPC'
    throw full
      ? new MoyaiError('NO_SPACE', 'the disk of the outbox is full', {
          hint: 'free some space on the disk of MOYAI_HOME and store again: it goes on from here',
          cause,
        })
      : new MoyaiError('DISK', 'the outbox cannot be written', { cause })
  }
}

function sparePath(folder: string, number: number): string {
  return join(folder, `${number}${SPARE_SUFFIX}`)
}

/** Gives a spare file the name `path`, if there is one. */
function takeSpare(folder: string, path: string): void {
  for (let number = 0; number < SPARES_MAX; number++) {
    try {
      renameSync(sparePath(folder, number), path)
      return
    } catch {
      // not there, or another thread was faster
    }
  }
}

function writeFully(fd: number, parts: readonly Uint8Array[]): void {
  let rest = parts.filter((part) => part.length > 0)
  while (rest.length > 0) {
    let written = writevSync(fd, rest)
    const left: Uint8Array[] = []
    for (const part of rest) {
      if (written < part.length) left.push(part.subarray(written))
      written = Math.max(0, written - part.length)
    }
    rest = left
  }
}

async function readExactly(
  file: FileHandle,
  length: number,
  position: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done)
    if (bytesRead === 0) throw new MoyaiError('TRUNCATED', 'an outbox file is cut short')
    done += bytesRead
  }
  return bytes
}

/** An open outbox file. */
export class OutboxFile implements AsyncDisposable {
  readonly descriptor: StripeDescriptor
  readonly envelope: Uint8Array
  readonly salt: Uint8Array
  readonly packClass: 'data' | 'meta'
  readonly segment: Uint8Array
  readonly #file: FileHandle
  readonly #hasher: Hasher
  readonly #payloadOffset: number

  private constructor(o: {
    file: FileHandle
    hasher: Hasher
    header: { envelope: Uint8Array; salt: Uint8Array; packClass: 'data' | 'meta' }
    segment: Uint8Array
    payloadOffset: number
  }) {
    this.#file = o.file
    this.#hasher = o.hasher
    this.envelope = o.header.envelope
    this.descriptor = openStripe(o.header.envelope)
    this.salt = o.header.salt
    this.packClass = o.header.packClass
    this.segment = o.segment
    this.#payloadOffset = o.payloadOffset
  }

  /**
   * Opens the file of `pack` and checks header and segment. TRUNCATED, MALFORMED, HASH_MISMATCH …
   * when the file is torn, or still is what it was before it was a spare.
   */
  static async open(folder: string, pack: Uint8Array, hasher: Hasher): Promise<OutboxFile> {
    const file = await open(outboxPath(folder, pack), 'r')
    try {
      const start = await readExactly(file, START_BYTES, 0)
      if (!equalBytes(start.subarray(0, MAGIC.length), MAGIC)) {
        throw new MoyaiError('MALFORMED', 'not an outbox file')
      }
      const headerLength = new DataView(start.buffer, start.byteOffset).getUint32(MAGIC.length)
      if (headerLength > HEADER_BYTES_MAX) throw new MoyaiError('TOO_LARGE', 'outbox header')
      const headerBytes = await readExactly(file, headerLength, START_BYTES)
      if (!equalBytes(hasher.hash(headerBytes), start.subarray(MAGIC.length + 4))) {
        throw new MoyaiError('HASH_MISMATCH', 'an outbox header is damaged')
      }
      const limits = { bytesMax: HEADER_BYTES_MAX, what: 'outbox header' }
      const header = decodeAs(headerSchema, headerBytes, limits)
      const segmentOffset = START_BYTES + headerLength
      const segment = await readExactly(file, header.segmentLength, segmentOffset)
      if (!equalBytes(hasher.hash(segment), header.segmentHash)) {
        throw new MoyaiError('HASH_MISMATCH', 'the index segment of an outbox file is damaged')
      }
      const payloadOffset = segmentOffset + segment.length
      const opened = new OutboxFile({ file, hasher, header, segment, payloadOffset })
      if (!equalBytes(opened.descriptor.pack, pack)) {
        throw new MoyaiError('HASH_MISMATCH', 'an outbox file holds another pack')
      }
      return opened
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Bytes of all shards. */
  get payloadBytes(): number {
    const { k, m, shardLength } = this.descriptor
    return (k + m) * shardLength
  }

  /**
   * The bytes of one shard, in order, in pieces of at most FRAME_BYTES_MAX; each is the caller's.
   */
  async *shard(index: number): AsyncGenerator<Uint8Array> {
    const { shardLength } = this.descriptor
    const start = this.#payloadOffset + index * shardLength
    for (let at = 0; at < shardLength; at += FRAME_BYTES_MAX) {
      const length = Math.min(FRAME_BYTES_MAX, shardLength - at)
      yield await readExactly(this.#file, length, start + at)
    }
  }

  /**
   * HASH_MISMATCH when the shard here is not the one that was signed: the file is torn. Reads it
   * whole.
   */
  async verify(index: number): Promise<void> {
    const { shardLength, shardHashes } = this.descriptor
    const start = this.#payloadOffset + index * shardLength
    const bytes = await readExactly(this.#file, shardLength, start)
    const expected = shardHashes[index]
    assert(expected !== undefined, 'a shard of this stripe')
    if (!equalBytes(this.#hasher.hash(bytes), expected)) {
      throw new MoyaiError('HASH_MISMATCH', 'a shard in the outbox is damaged')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
  }
}

/** Removes a pack's file; one that is not there is fine. */
export async function removeOutboxPack(folder: string, pack: Uint8Array): Promise<void> {
  await rm(outboxPath(folder, pack), { force: true })
}

/** Makes a pack's file, of which nobody needs anything any more, a spare one. */
export async function recycleOutboxPack(folder: string, pack: Uint8Array): Promise<void> {
  const number = (pack[0] as number) % SPARES_MAX
  try {
    await rename(outboxPath(folder, pack), sparePath(folder, number))
  } catch {
    await removeOutboxPack(folder, pack) // Windows renames no file that is open
  }
}

/** Removes the spare files. */
export async function removeSpares(folder: string): Promise<void> {
  for (let number = 0; number < SPARES_MAX; number++) {
    await rm(sparePath(folder, number), { force: true })
  }
}

/** Pack ids (hex) of all whole files, sorted; sweeps what an interrupted write left, and spares. */
export async function listOutbox(folder: string): Promise<string[]> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const packs: string[] = []
  for (const name of await readdir(folder)) {
    if (name.endsWith('.new') || name.endsWith(SPARE_SUFFIX)) {
      await rm(join(folder, name), { force: true })
    } else if (/^[0-9a-f]{64}\.pack$/.test(name)) {
      packs.push(name.slice(0, 64))
    }
  }
  return packs.sort()
}

/** Bytes of the packs that wait. */
export async function outboxBytes(folder: string): Promise<number> {
  let bytes = 0
  for (const pack of await listOutbox(folder)) {
    bytes += (await stat(join(folder, `${pack}.pack`))).size
  }
  return bytes
}
