/**
 * The outcomes of a batch of files as one block of bytes: cloning an object with seven members and
 * an array of its own for each file of a message cost as much as opening the files.
 *
 * A record is `flags u32 | bytes of ids u32 | size, mtime, ctime, inode, device i64`, the ids of all
 * files follow the records. What few files have, holes and errors, stays beside them.
 */

import type { FileOutcome } from './content-reader.ts'

const RECORD_BYTES = 48
const HAS_STAT = 1
const HAS_IDS = 2
const STAT_MEMBERS = ['size', 'mtime', 'ctime', 'inode', 'device'] as const

type Rest = Pick<FileOutcome, 'holes' | 'error'>

export type OutcomeBatch = {
  count: number
  bytes: Uint8Array<ArrayBuffer>
  rest: { index: number; rest: Rest }[]
}

/** `bytes` is new and may be transferred. */
export function packOutcomes(outcomes: readonly FileOutcome[]): OutcomeBatch {
  const count = outcomes.length
  const idBytes = outcomes.reduce((sum, { ids }) => sum + (ids?.length ?? 0), 0)
  const bytes = new Uint8Array(count * RECORD_BYTES + idBytes)
  const view = new DataView(bytes.buffer)
  const rest: OutcomeBatch['rest'] = []
  let idsAt = count * RECORD_BYTES
  for (const [index, { stat, ids, holes, error }] of outcomes.entries()) {
    const at = index * RECORD_BYTES
    view.setUint32(at, (stat === undefined ? 0 : HAS_STAT) | (ids === undefined ? 0 : HAS_IDS))
    view.setUint32(at + 4, ids?.length ?? 0)
    if (stat !== undefined) {
      for (const [i, member] of STAT_MEMBERS.entries()) {
        view.setBigUint64(at + 8 + 8 * i, BigInt.asUintN(64, stat[member]))
      }
    }
    if (ids !== undefined) bytes.set(ids, idsAt)
    idsAt += ids?.length ?? 0
    if (holes === undefined && error === undefined) continue
    rest.push({
      index,
      rest: {
        ...(holes === undefined ? {} : { holes }),
        ...(error === undefined ? {} : { error }),
      },
    })
  }
  return { count, bytes, rest }
}

/** The outcomes; their ids are views of `batch.bytes`. */
export function unpackOutcomes(batch: OutcomeBatch): FileOutcome[] {
  const { count, bytes } = batch
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const outcomes: FileOutcome[] = []
  let idsAt = count * RECORD_BYTES
  for (let index = 0; index < count; index++) {
    const at = index * RECORD_BYTES
    const flags = view.getUint32(at)
    const length = view.getUint32(at + 4)
    const outcome: FileOutcome = {}
    if ((flags & HAS_STAT) !== 0) {
      // an inode or device number may use all 64 bits; the times may be before 1970
      outcome.stat = {
        size: view.getBigInt64(at + 8),
        mtime: view.getBigInt64(at + 16),
        ctime: view.getBigInt64(at + 24),
        inode: view.getBigUint64(at + 32),
        device: view.getBigUint64(at + 40),
      }
    }
    if ((flags & HAS_IDS) !== 0) outcome.ids = bytes.subarray(idsAt, idsAt + length)
    idsAt += length
    outcomes.push(outcome)
  }
  for (const { index, rest } of batch.rest) Object.assign(outcomes[index] as FileOutcome, rest)
  return outcomes
}
