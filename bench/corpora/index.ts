/** Builds corpora by name. */

import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { folderSize } from '../folders.ts'
import { applyChanges, changesBetween } from './change-set.ts'
import type { Corpus, CorpusName, CorpusOptions } from './corpus.ts'
import { fileCorpus, imageCorpus, mediaCorpus } from './large.ts'
import { tinyCorpus } from './tiny.ts'

export { CORPUS_NAMES, type Corpus, type CorpusName } from './corpus.ts'
export { givenTrees, kernelTrees, type KernelTrees } from './kernel.ts'

const COPY_BOUND_MS = 600_000
/** The part of the kernel that a quick run takes. */
const QUICK_FOLDERS = ['fs', 'mm', 'kernel']

/** Builds a corpus below `o.folder`. */
export function buildCorpus(name: CorpusName, o: CorpusOptions): Promise<Corpus> {
  return BUILDERS[name](o)
}

const BUILDERS: Readonly<Record<CorpusName, (o: CorpusOptions) => Promise<Corpus>>> = {
  kernel: kernelCorpus,
  tiny: (o) => tinyCorpus(o, { name: 'tiny', count: o.quick ? 5000 : 200_000 }),
  image: imageCorpus,
  media: mediaCorpus,
  file: fileCorpus,
  million: (o) => tinyCorpus(o, { name: 'million', count: o.quick ? 20_000 : 1_000_000 }),
}

/** A copy of the older tree; the small change makes it the newer one, file by file. */
async function kernelCorpus(o: CorpusOptions): Promise<Corpus> {
  const { one, two, label } = o.trees
  const source = join(o.folder, 'source')
  await mkdir(source)
  const names = o.quick ? QUICK_FOLDERS : await readdir(one)
  const copy = ['cp', '-a', '--', ...names.map((name) => join(one, name)), source]
  await o.runner.must(copy, { boundMs: COPY_BOUND_MS })
  const there = (path: string): boolean =>
    !o.quick || QUICK_FOLDERS.some((name) => path.startsWith(`${name}/`))
  const between = async (from: string, to: string): Promise<() => Promise<void>> => {
    const all = await changesBetween(from, to)
    const changes = { removed: all.removed.filter(there), written: all.written.filter(there) }
    const list = join(o.folder, 'changed')
    return () => applyChanges(o.runner, changes, { to, target: source, list })
  }
  const change = await between(one, two)
  const reset = await between(two, one)
  return {
    name: 'kernel',
    title: 'kernel source',
    about:
      `${label}${o.quick ? `, only ${QUICK_FOLDERS.join(', ')}` : ''}; the small change makes the older one the newer, ` +
      'writing only the files that differ',
    source,
    size: await folderSize(source),
    oneFile: o.quick ? 'kernel/sched/core.c' : 'MAINTAINERS',
    sparse: false,
    change,
    reset,
  }
}
