/**
 * Small files in packed form: what a thread needs to make files whose whole content is in one blob.
 *
 * Most files of most trees are such. As objects they would be copied from thread to thread one by
 * one, which costs more than making the file. Format, big-endian, file after file: directory u32 ·
 * uid u32 · gid u32 · mode u16 · length of the name u16 · mtime i64 · atime i64 · count of pieces
 * u32 · name · pieces, each offset in the blob u32, length u32. It never leaves the process.
 */

import type { PlainMetadata } from '../../files/index.ts'

const HEAD_BYTES = 36
const PIECE_BYTES = 8
const ROOM_BYTES_MIN = 8192

export type SmallFile = PlainMetadata & {
  directory: number
  name: Uint8Array
  /** Where its content is in the blob, in order. */
  pieces: readonly { offset: number; length: number }[]
}

/** Collects files; `bytes` are those so far. */
export class SmallFileWriter {
  #bytes = new Uint8Array(0)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length)
  }

  add(file: SmallFile): void {
    const { name, pieces } = file
    const length = HEAD_BYTES + name.length + pieces.length * PIECE_BYTES
    this.#makeRoom(length)
    const at = this.#length
    const view = this.#view
    view.setUint32(at, file.directory)
    view.setUint32(at + 4, file.uid)
    view.setUint32(at + 8, file.gid)
    view.setUint16(at + 12, file.mode)
    view.setUint16(at + 14, name.length)
    view.setBigInt64(at + 16, file.mtime)
    view.setBigInt64(at + 24, file.atime)
    view.setUint32(at + 32, pieces.length)
    this.#bytes.set(name, at + HEAD_BYTES)
    let piece = at + HEAD_BYTES + name.length
    for (const { offset, length: pieceLength } of pieces) {
      view.setUint32(piece, offset)
      view.setUint32(piece + 4, pieceLength)
      piece += PIECE_BYTES
    }
    this.#length += length
  }

  #makeRoom(length: number): void {
    const needed = this.#length + length
    if (needed <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(ROOM_BYTES_MIN, 2 * needed))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
    this.#view = new DataView(grown.buffer)
  }
}

/** The files of `bytes`, in order; names are views. */
export function* readSmallFiles(bytes: Uint8Array): Generator<SmallFile, void, void> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at < bytes.length;) {
    const nameLength = view.getUint16(at + 14)
    const count = view.getUint32(at + 32)
    const nameEnd = at + HEAD_BYTES + nameLength
    const pieces = Array.from({ length: count }, (_, i) => ({
      offset: view.getUint32(nameEnd + i * PIECE_BYTES),
      length: view.getUint32(nameEnd + i * PIECE_BYTES + 4),
    }))
    yield {
      directory: view.getUint32(at),
      uid: view.getUint32(at + 4),
      gid: view.getUint32(at + 8),
      mode: view.getUint16(at + 12),
      mtime: view.getBigInt64(at + 16),
      atime: view.getBigInt64(at + 24),
      name: bytes.subarray(at + HEAD_BYTES, nameEnd),
      pieces,
    }
    at = nameEnd + count * PIECE_BYTES
  }
}
