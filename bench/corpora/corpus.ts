/** What is stored: a folder, a small change to it, and the way back. */

import type { FolderSize } from '../folders.ts'
import type { Runner } from '../processes.ts'
import type { KernelTrees } from './kernel.ts'

export const CORPUS_NAMES = ['kernel', 'tiny', 'image', 'media', 'file', 'million'] as const
export type CorpusName = (typeof CORPUS_NAMES)[number]

export type CorpusOptions = {
  /** An empty folder; everything of the corpus is below it. */
  folder: string
  trees: KernelTrees
  /** A small version of everything, to try the program itself. */
  quick: boolean
  runner: Runner
}

export type Corpus = {
  name: CorpusName
  title: string
  /** What it is and what the small change is, in one or two sentences. */
  about: string
  /** The folder that is stored, absolute. */
  source: string
  size: FolderSize
  /** The file that is restored alone, relative to `source`. */
  oneFile: string
  /** Files have holes. */
  sparse: boolean
  /** Makes the small change of this round. */
  change: (round: number) => Promise<void>
  /** Undoes it, so that the next round starts from the same files. */
  reset: () => Promise<void>
}
