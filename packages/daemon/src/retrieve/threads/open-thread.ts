/** Worker thread: opens blobs and rebuilds ranges (`open-jobs.ts`). */

import { workerData } from 'node:worker_threads'

import { loadCodec } from '../../codec.ts'
import { loadAead } from '../../native/aead.ts'
import { loadCompressor } from '../../native/zstd.ts'
import { loadHasher } from '../../store/native-hasher.ts'
import { Opener } from './open-jobs.ts'
import type { OpenJob, OpenKeys, RebuildJob } from './open-jobs.ts'
import { serveThread } from './thread.ts'

const opener = new Opener(workerData as OpenKeys, {
  hasher: loadHasher(),
  aead: loadAead(),
  compressor: loadCompressor(),
  loadCodec,
})

const methods = {
  open: (job: OpenJob): ReturnType<Opener['open']> => opener.open(job),
  rebuild: (job: RebuildJob): ReturnType<Opener['rebuild']> => opener.rebuild(job),
}

export type OpenMethods = typeof methods

serveThread(methods)
