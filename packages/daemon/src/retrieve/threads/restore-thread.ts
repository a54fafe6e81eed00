/** Worker thread: opens blobs and writes files (`restore-jobs.ts`). */

import { workerData } from 'node:worker_threads'

import type { DirectoryNotice } from '../target/types.ts'
import { loadOpener } from './open-jobs.ts'
import type { OpenKeys } from './open-jobs.ts'
import { Restorer } from './restore-jobs.ts'
import type { BlobReport, RestoreJob } from './restore-jobs.ts'
import { serveThread } from './thread.ts'

export type RestoreData = { keys: OpenKeys; target: string }

type RestoreArgument = {
  enter: readonly DirectoryNotice[]
  leave: readonly number[]
  job: RestoreJob
}

const { keys, target } = workerData as RestoreData
const restorer = new Restorer(loadOpener(keys), target)

const methods = {
  restore: ({ enter, leave, job }: RestoreArgument): { result: BlobReport[] } => {
    restorer.leave(leave)
    restorer.enter(enter)
    return { result: restorer.restore(job) }
  },
  close: (): { result: undefined } => {
    restorer.close()
    return { result: undefined }
  },
}

export type RestoreMethods = typeof methods

serveThread(methods)
