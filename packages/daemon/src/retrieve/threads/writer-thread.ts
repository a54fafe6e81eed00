/** Worker thread: writes the target of one restore (`target-writer.ts`). */

import { workerData } from 'node:worker_threads'

import { loadHasher } from '../../store/native-hasher.ts'
import { TargetWriter } from '../target/target-writer.ts'
import type {
  FinishItem,
  FinishResult,
  OverwriteMode,
  Part,
  Piece,
  PrepareItem,
  PrepareResult,
} from '../target/types.ts'
import { serveThread } from './thread.ts'

export type WriterData = { target: string; overwrite: OverwriteMode; chunkIdKey: Uint8Array }

const { target, overwrite, chunkIdKey } = workerData as WriterData
const hasher = loadHasher()
const keyedHash = (bytes: Uint8Array): Uint8Array => hasher.keyedHash(chunkIdKey, bytes)
let writer: TargetWriter | undefined

/** Made at the first call, so that an unusable target fails a call and not the thread. */
function theWriter(): TargetWriter {
  writer ??= new TargetWriter({ target, overwrite, keyedHash })
  return writer
}

type Failures = ReturnType<TargetWriter['write']>
type MatchesArgument = { file: number; where: 'target' | 'temporary'; parts: readonly Part[] }
type WriteArgument = { bytes: Uint8Array; pieces: readonly Piece[] }

const methods = {
  prepare: (items: readonly PrepareItem[]): { result: PrepareResult[] } => ({
    result: theWriter().prepare(items),
  }),
  matches: (o: MatchesArgument): { result: boolean[] } => ({
    result: theWriter().matches(o.file, o.where, o.parts),
  }),
  rewrite: (file: number): { result: 'write' | 'resume' } => ({
    result: theWriter().rewrite(file),
  }),
  write: (o: WriteArgument): { result: Failures } => ({
    result: theWriter().write(o.bytes, o.pieces),
  }),
  finish: (items: readonly FinishItem[]): { result: FinishResult[] } => ({
    result: theWriter().finish(items),
  }),
  close: (): { result: undefined } => {
    writer?.close()
    writer = undefined
    return { result: undefined }
  },
}

export type WriterMethods = typeof methods

serveThread(methods)
