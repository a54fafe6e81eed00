/** Very many files of 0.1 to 4 KiB of text. */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { folderSize } from '../folders.ts'
import { seededRandom } from '../seeded.ts'
import type { Corpus, CorpusOptions } from './corpus.ts'
import { textPool } from './text.ts'

const FILES_PER_FOLDER = 500
const FILE_BYTES_MIN = 100
const FILE_BYTES_MAX = 4096
/** Far more than one compression window, so that files are alike but not the same. */
const POOL_BYTES = 64 * 1024 * 1024
/** Of every so many files, one changes. */
const CHANGED_EVERY = 200
const ADDED_FILES = 100

export async function tinyCorpus(
  o: CorpusOptions,
  { name, count }: { name: 'tiny' | 'million'; count: number },
): Promise<Corpus> {
  const source = join(o.folder, 'source')
  const pool = await textPool(o.trees.one, POOL_BYTES)
  const pathOf = (i: number): string =>
    join(source, `d${Math.floor(i / FILES_PER_FOLDER)}`, `f${i}.txt`)
  /** Cuts another piece of text for each file and version. */
  const write = (i: number, version: number): void => {
    const random = seededRandom((i + 1) * 2654435761 + version)
    random()
    const range = FILE_BYTES_MAX - FILE_BYTES_MIN + 1
    const length = FILE_BYTES_MIN + Math.floor(random() * range)
    const start = Math.floor(random() * Math.max(1, pool.length - length))
    writeFileSync(pathOf(i), pool.subarray(start, start + length))
  }
  for (let i = 0; i < count; i++) {
    if (i % FILES_PER_FOLDER === 0) {
      mkdirSync(join(pathOf(i), '..'), { recursive: true })
      // Lets an interruption through.
      await new Promise((resolve) => setImmediate(resolve))
      o.runner.signal.throwIfAborted()
    }
    write(i, 0)
  }
  const rewrite = (version: number): void => {
    for (let i = 0; i < count; i += CHANGED_EVERY) write(i, version)
  }
  const added = join(source, 'added')
  return {
    name,
    title: `${count.toLocaleString('en').replaceAll(',', ' ')} tiny files`,
    about:
      `files of 0.1 to 4 KiB of text cut from the kernel's source, ${FILES_PER_FOLDER} in a folder; ` +
      `the small change rewrites every ${CHANGED_EVERY}th and adds ${ADDED_FILES}`,
    source,
    size: await folderSize(source),
    oneFile: join('d3', `f${3 * FILES_PER_FOLDER + 7}.txt`),
    sparse: false,
    change: async (round) => {
      rewrite(round)
      mkdirSync(added)
      for (let i = 0; i < ADDED_FILES; i++) {
        writeFileSync(join(added, `f${i}.txt`), pool.subarray(i * 1000, i * 1000 + 999 + round))
      }
    },
    reset: async () => {
      rewrite(0)
      rmSync(added, { recursive: true, force: true })
    },
  }
}
