/**
 * `pnpm bench`: moyai against other backup programs, on the same files in the same run.
 *
 * `node bench/main.ts [--quick] [--only NAME,…] [--peers NAME,…] [--rounds 3] [--code 4+2]
 * [--folder DIR] [--tree DIR --tree2 DIR] [--restic PATH]… [--borg PATH]… [--kopia PATH]…
 * [--tahoe PATH]… [--out FILE] [--no-docs]`; `--render` only writes the page from the results that
 * are there.
 *
 * Names of `--only`: kernel, tiny, image, media, file, million, and parts (kernels and the wire);
 * all by default. `--peers` takes beginnings of their names. `--folder` keeps what is downloaded and
 * has room for the run (about 60 GiB; a quick one 3). Results are added to FILE
 * (bench/out/results.json), and docs/performance.md is written from it, unless it is a quick run.
 * Linux only. Ends with 1 when moyai failed or a copy of its was not identical.
 */

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { type Absent, type Contender, isAbsent, type Step, STEPS } from './contenders.ts'
import {
  buildCorpus,
  CORPUS_NAMES,
  type CorpusName,
  givenTrees,
  kernelTrees,
  type KernelTrees,
} from './corpora/index.ts'
import { commit, machine } from './machine.ts'
import { microRows } from './micro-rows.ts'
import { moyai } from './moyai.ts'
import { findPeers } from './peers/index.ts'
import { plot } from './plot.ts'
import { Runner } from './processes.ts'
import { intoPage, markdown } from './report.ts'
import { type CorpusResult, readResults, type Results, writeResults } from './results.ts'
import { REMOVED_FILES_MAX, runRounds } from './rounds.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const PAGE = join(ROOT, 'docs', 'performance.md')
const PICTURE = 'performance/ratios.svg'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    peers: { type: 'string' },
    rounds: { type: 'string' },
    code: { type: 'string', default: '4+2' },
    folder: { type: 'string', default: join(tmpdir(), 'moyai-bench') },
    tree: { type: 'string' },
    tree2: { type: 'string' },
    restic: { type: 'string', multiple: true, default: [] },
    borg: { type: 'string', multiple: true, default: [] },
    kopia: { type: 'string', multiple: true, default: [] },
    tahoe: { type: 'string', multiple: true, default: [] },
    out: { type: 'string' },
    docs: { type: 'boolean', default: true },
    render: { type: 'boolean', default: false },
  },
  allowNegative: true,
})

const { quick } = values
const rounds = Number(values.rounds ?? (quick ? 1 : 3))
const outName = quick ? 'quick.json' : 'results.json'
const out = resolve(values.out ?? join(ROOT, 'bench', 'out', outName))

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

function chosen(): { corpora: CorpusName[]; parts: boolean } {
  const names = values.only?.split(',') ?? [...CORPUS_NAMES, 'parts']
  const unknown = names.filter((name) => name !== 'parts' && !isCorpus(name))
  if (unknown.length > 0) throw new Error(`--only does not know ${unknown.join(', ')}`)
  return {
    corpora: CORPUS_NAMES.filter((name) => names.includes(name)),
    parts: names.includes('parts'),
  }
}

function isCorpus(name: string): name is CorpusName {
  return (CORPUS_NAMES as readonly string[]).includes(name)
}

async function findTrees(runner: Runner): Promise<KernelTrees> {
  const { tree, tree2 } = values
  if (tree !== undefined && tree2 !== undefined) return givenTrees(resolve(tree), resolve(tree2))
  if (tree !== tree2) throw new Error('--tree and --tree2 come together')
  return await kernelTrees(runner, resolve(values.folder))
}

type Field = { contenders: Contender[]; absent: Absent[] }

/** Who takes part in a corpus, and in which steps. */
function entrants(name: CorpusName, all: Field): Field & { steps: readonly Step[] } {
  if (name === 'million') {
    const contenders = all.contenders.filter(({ id }) => id === 'moyai')
    return { contenders, absent: [], steps: ['first', 'second'] }
  }
  if (name !== 'file') {
    const contenders = all.contenders.filter(({ id }) => !id.startsWith('tahoe-'))
    return { contenders, absent: all.absent, steps: STEPS }
  }
  // Its one file makes the restore of one file the same as that of all.
  return { ...all, steps: STEPS.filter((step) => step !== 'one') }
}

async function runCorpus(
  name: CorpusName,
  o: { field: Field; trees: KernelTrees; work: string; runner: Runner; at: string },
): Promise<CorpusResult> {
  const { contenders, absent, steps } = entrants(name, o.field)
  const folder = join(o.work, name)
  const files = join(folder, 'corpus')
  await mkdir(files, { recursive: true })
  let isKept = false
  try {
    say(`${name}: making the files`)
    const options = { folder: files, trees: o.trees, quick, runner: o.runner }
    const corpus = await buildCorpus(name, options)
    say(`${name}: ${corpus.size.files} files, ${corpus.size.bytes} bytes`)
    isKept = corpus.size.files > REMOVED_FILES_MAX
    const times = name === 'million' ? 1 : rounds
    const options2 = { corpus, contenders, steps, rounds: times, folder, runner: o.runner, say }
    const { contenders: measured, verified } = await runRounds(options2)
    const { title, about, size } = corpus
    const date = new Date().toISOString().slice(0, 10)
    const head = { name, title, about, size, rounds: times, date, commit: o.at }
    return { ...head, contenders: measured, absent, verified }
  } finally {
    if (!isKept) await rm(folder, { recursive: true, force: true })
  }
}

function healthy({ contenders, verified }: CorpusResult): boolean {
  const own = contenders.find(({ id }) => id === 'moyai')
  const copies = verified.filter(({ label }) => label === own?.label)
  return own?.failures.length === 0 && copies.every(({ differences }) => differences === 0)
}

/** Writes docs/performance.md and its picture from all results so far. */
async function writeDocs(results: Results): Promise<void> {
  const picture = plot(results)
  const page = await readFile(PAGE, 'utf8')
  await writeFile(PAGE, intoPage(page, markdown(results, picture && PICTURE)))
  if (picture === undefined) return
  await mkdir(join(ROOT, 'docs', 'performance'), { recursive: true })
  await writeFile(join(ROOT, 'docs', PICTURE), picture)
}

async function run(runner: Runner): Promise<boolean> {
  const { corpora, parts } = chosen()
  const at = await commit(runner)
  const before = await readResults(out)
  const results: Results = { corpora: {}, micro: null, ...before, machine: machine() }
  let well = true
  const measured: Results = { ...results, corpora: {}, micro: null }
  const folder = resolve(values.folder)
  await mkdir(folder, { recursive: true })
  const work = await mkdtemp(join(folder, 'run-'))
  try {
    if (corpora.length > 0) {
      const trees = await findTrees(runner)
      const field = await findField(runner)
      for (const name of corpora) {
        const result = await runCorpus(name, { field, trees, work, runner, at })
        results.corpora[name] = result
        measured.corpora[name] = result
        well &&= healthy(result)
        await writeResults(out, results)
      }
    }
    if (parts) {
      say('parts:')
      const rows = await microRows(runner, say)
      results.micro = { date: new Date().toISOString().slice(0, 10), commit: at, rows }
      measured.micro = results.micro
      await writeResults(out, results)
    }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  say(`\n${markdown(measured)}\n`)
  if (values.docs && !quick) await writeDocs(results)
  return well
}

async function findField(runner: Runner): Promise<Field> {
  const wanted = values.peers?.split(',')
  const found = await findPeers(runner, values)
  const absent = found.filter(isAbsent)
  for (const { label, why } of absent) say(`${label}: ${why}`)
  const peers = found
    .filter((one): one is Contender => !isAbsent(one))
    .filter(({ id }) => wanted?.some((name) => id.startsWith(name)) ?? true)
  say(`against ${peers.map(({ label }) => label).join(', ')}`)
  return { contenders: [moyai(values.code), ...peers], absent }
}

async function render(): Promise<void> {
  const results = await readResults(out)
  if (results === undefined) throw new Error('there are no results yet')
  await writeDocs(results)
}

const abort = new AbortController()
const onSignal = (): void => abort.abort(new Error('interrupted'))
process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
try {
  if (values.render) await render()
  else process.exitCode = (await run(new Runner(abort.signal))) ? 0 : 1
} catch (error) {
  if (!abort.signal.aborted) throw error
  say('interrupted; everything was removed')
  process.exitCode = 130
}
