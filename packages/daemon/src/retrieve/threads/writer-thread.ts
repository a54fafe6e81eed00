/** Worker thread: writes the target of one restore (`target-writer.ts`). */

import { workerData } from 'node:worker_threads'

import { loadHasher } from '../../store/native-hasher.ts'
import { TargetWriter } from '../target/target-writer.ts'
import type {
  Begun,
  FinishItem,
  Finished,
  OverwriteMode,
  Part,
  Prepared,
  PrepareItem,
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

type MatchesArgument = { file: number; where: 'target' | 'temporary'; parts: readonly Part[] }

const methods = {
  prepare: (items: readonly PrepareItem[]): { result: Prepared } => ({
    result: theWriter().prepare(items),
  }),
  matches: (o: MatchesArgument): { result: boolean[] } => ({
    result: theWriter().matches(o.file, o.where, o.parts),
  }),
  rewrite: (file: number): { result: Begun } => ({
    result: theWriter().rewrite(file),
  }),
  finish: (items: readonly FinishItem[]): { result: Finished } => ({
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
