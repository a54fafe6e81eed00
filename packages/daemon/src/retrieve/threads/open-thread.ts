/** Worker thread: opens blobs and rebuilds ranges (`open-jobs.ts`). */

import { workerData } from 'node:worker_threads'

import { loadOpener } from './open-jobs.ts'
import type { Opener, OpenJob, OpenKeys, RebuildJob } from './open-jobs.ts'
import { serveThread } from './thread.ts'

const opener = loadOpener(workerData as OpenKeys)

const methods = {
  open: (job: OpenJob): ReturnType<Opener['open']> => opener.open(job),
  rebuild: (job: RebuildJob): ReturnType<Opener['rebuild']> => opener.rebuild(job),
}

export type OpenMethods = typeof methods

serveThread(methods)
