/** Runs seeds in a thread of its own, one after the other, as they are asked for. */

import { parentPort } from 'node:worker_threads'

import { runSeed, type RunResult } from './run.ts'
import { daemonServices } from './services.ts'
import type { Mutation } from './world.ts'

/** One simulation, as it is sent to a thread. */
export type Task = {
  seed: string
  hosts: number
  years: number
  beyondBudget: boolean
  mutation?: Mutation
  only?: string[]
}

/** Runs a seed over the daemon's own services. */
export function runDaemonSeed(task: Task, trace?: (line: string) => void): Promise<RunResult> {
  const only = task.only === undefined ? undefined : new Set(task.only)
  return runSeed({ ...task, only, makeServices: daemonServices, trace })
}

parentPort?.on('message', (task: Task) => {
  void runDaemonSeed(task).then((result) => parentPort?.postMessage(result))
})
