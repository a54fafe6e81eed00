/**
 * What the restoring threads do: open the blobs of a range and write them where they belong, in one
 * go, so that content never travels from thread to thread and is opened into the same memory
 * always.
 */

import { assert, CHUNK_BYTES_MAX, defined, HASH_BYTES, toMoyaiError } from '@moyai/protocol'
import type { BlobEntry, ErrorCode } from '@moyai/protocol'

import { ContentWriter } from '../target/content-writer.ts'
import type { ContentReport } from '../target/content-writer.ts'
import type { DirectoryNotice, FilePieces } from '../target/types.ts'
import type { Opener, OpenJob } from './open-jobs.ts'

const CHUNK_RECORD_BYTES = HASH_BYTES + 8

/** One blob of the range, and where its content goes. */
export type RestoreBlob = {
  /** Without chunks. */
  entry: BlobEntry
  /** `packChunks` of those that are used. */
  chunks: Uint8Array
  /** `SmallFileWriter`'s. */
  small: Uint8Array
  files: FilePieces[]
}

export type RestoreJob = Omit<OpenJob, 'blobs'> & { blobs: RestoreBlob[] }

/** What went wrong with one blob; nothing did where there is no report. */
export type BlobReport = {
  /** By position in the job. */
  blob: number
  /** Why nothing of it could be used. */
  failure?: { code: ErrorCode; message: string }
  content?: ContentReport
}

/** Chunks as one buffer: id, offset u32, length u32. */
export function packChunks(chunks: BlobEntry['chunks']): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(chunks.length * CHUNK_RECORD_BYTES)
  const view = new DataView(bytes.buffer)
  for (const [i, { id, offset, length }] of chunks.entries()) {
    const at = i * CHUNK_RECORD_BYTES
    bytes.set(id, at)
    view.setUint32(at + HASH_BYTES, offset)
    view.setUint32(at + HASH_BYTES + 4, length)
  }
  return bytes
}

function unpackChunks(bytes: Uint8Array): BlobEntry['chunks'] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Array.from({ length: bytes.length / CHUNK_RECORD_BYTES }, (_, i) => {
    const at = i * CHUNK_RECORD_BYTES
    return {
      id: bytes.subarray(at, at + HASH_BYTES),
      offset: view.getUint32(at + HASH_BYTES),
      length: view.getUint32(at + HASH_BYTES + 4),
    }
  })
}

/** See the head of this file. One for each thread. */
export class Restorer {
  readonly #opener: Opener
  readonly #target: string
  readonly #room = new Uint8Array(CHUNK_BYTES_MAX)
  #writer: ContentWriter | undefined

  constructor(opener: Opener, target: string) {
    this.#opener = opener
    this.#target = target
  }

  /** As `ContentWriter`. */
  enter(notices: readonly DirectoryNotice[]): void {
    this.#writer ??= new ContentWriter(this.#target)
    this.#writer.enter(notices)
  }

  leave(directories: readonly number[]): void {
    this.#writer?.leave(directories)
  }

  /** Uses up the bytes of the job. */
  restore(job: RestoreJob): BlobReport[] {
    const writer = defined(this.#writer, 'the target, which is entered first')
    const reports: BlobReport[] = []
    for (const [blob, { entry, chunks, small, files }] of job.blobs.entries()) {
      assert(entry.chunks.length === 0, 'chunks come packed')
      let raw: Uint8Array
      try {
        const whole = { ...entry, chunks: unpackChunks(chunks) }
        raw = this.#opener.openInPlace(job, whole, this.#room)
      } catch (error) {
        const { code, message } = toMoyaiError(error)
        reports.push({ blob, failure: { code, message } })
        continue
      }
      const content: ContentReport = { small: [], files: [], notKept: [] }
      writer.write(raw, small, files, content)
      const { small: failed, files: failedFiles, notKept } = content
      if (failed.length + failedFiles.length + notKept.length > 0) {
        reports.push({ blob, content: { ...content, notKept: [...new Set(notKept)] } })
      }
    }
    return reports
  }

  close(): void {
    this.#writer?.close()
    this.#writer = undefined
  }
}
