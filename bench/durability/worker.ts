/** A worker thread: rows are asked for one by one. */

import { parentPort } from 'node:worker_threads'

import { type Job, simulateRow } from './study.ts'

parentPort?.on('message', (job: Job) => parentPort?.postMessage(simulateRow(job)))
