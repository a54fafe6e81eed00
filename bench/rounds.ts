/**
 * Contenders over one corpus, interleaved: in each round every contender starts with an empty
 * repository, and every step goes through all of them before the next begins, in another order.
 */

import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { compareFolders } from '@moyai/cli/compare'

import { type Contender, type Sample, type Session, type Step, STEP_TITLES } from './contenders.ts'
import type { Corpus } from './corpora/index.ts'
import { settleAndWarm } from './folders.ts'
import type { Runner } from './processes.ts'
import type { ContenderResult, Verified } from './results.ts'

const MINUTE_MS = 60_000
/**
 * ext4 does not give an inode away again for up to six minutes after it was freed, and looks at
 * each of them while it searches for another: who restores after many files were removed pays for
 * that, some tenfold. So what has more files than this stays until the whole run is over.
 */
export const REMOVED_FILES_MAX = 5000
const GIB = 1024 ** 3

export type RoundsOptions = {
  corpus: Corpus
  contenders: readonly Contender[]
  steps: readonly Step[]
  rounds: number
  /** An empty folder. */
  folder: string
  runner: Runner
  say: (line: string) => void
}

export type RoundsResult = { contenders: ContenderResult[]; verified: Verified[] }

export async function runRounds(o: RoundsOptions): Promise<RoundsResult> {
  const results = new Map<string, ContenderResult>(
    o.contenders.map(({ id, label, settings }) => [
      id,
      { id, label, settings, steps: {}, failures: [] },
    ]),
  )
  const verified: Verified[] = []
  for (let round = 1; round <= o.rounds; round++) {
    const folder = join(o.folder, `round-${round}`)
    await new Round({ ...o, folder }, { round, results, verified }).run()
  }
  return { contenders: [...results.values()], verified }
}

/**
 * Two minutes, three more for each GiB and two for each 100 000 files: many times what it takes.
 */
function boundMsOf({ size }: Corpus): number {
  return MINUTE_MS * (2 + (3 * size.bytes) / GIB + (2 * size.files) / 100_000)
}

type Entrant = { contender: Contender; result: ContenderResult; folder: string; session: Session }

class Round {
  readonly #o: RoundsOptions
  readonly #round: number
  readonly #results: ReadonlyMap<string, ContenderResult>
  readonly #verified: Verified[]
  #entrants: Entrant[] = []

  constructor(
    o: RoundsOptions,
    state: { round: number; results: Map<string, ContenderResult>; verified: Verified[] },
  ) {
    this.#o = o
    this.#round = state.round
    this.#results = state.results
    this.#verified = state.verified
  }

  async run(): Promise<void> {
    const { corpus, contenders, steps, folder } = this.#o
    try {
      for (const contender of rotated(contenders, this.#round - 1)) await this.#open(contender)
      for (const [i, step] of steps.entries()) {
        if (step === 'change') await corpus.change(this.#round)
        for (const entrant of rotated(this.#entrants, i)) await this.#step(entrant, step)
      }
    } finally {
      for (const { session } of this.#entrants) await session.close()
      if (corpus.size.files <= REMOVED_FILES_MAX) await rm(folder, { recursive: true, force: true })
      if (!this.#o.runner.signal.aborted) await corpus.reset()
    }
  }

  async #open(contender: Contender): Promise<void> {
    const { corpus, runner } = this.#o
    const result = this.#results.get(contender.id)
    if (result === undefined) return
    const folder = join(this.#o.folder, contender.id)
    await mkdir(folder, { recursive: true })
    const { source, sparse } = corpus
    const options = { folder, source, sparse, round: this.#round, boundMs: boundMsOf(corpus) }
    try {
      const session = await contender.open({ ...options, runner })
      this.#entrants.push({ contender, result, folder, session })
    } catch (error) {
      this.#failed(result, 'could not be started', error)
    }
  }

  #failed(result: ContenderResult, what: string, error: unknown): void {
    if (this.#o.runner.signal.aborted) throw error
    const text = `round ${this.#round}, ${what}: ${error instanceof Error ? error.message : String(error)}`
    result.failures.push(text)
    this.#o.say(`  ${result.label}: ${text}`)
  }

  async #step(entrant: Entrant, step: Step): Promise<void> {
    const { result, session } = entrant
    const samples = (result.steps[step] ??= Array.from({ length: this.#o.rounds }, () => null))
    try {
      const sample = await this.#measure(entrant, step)
      if (sample === undefined) return
      samples[this.#round - 1] = sample
      this.#o.say(line(this.#round, entrant.contender.label, step, sample))
    } catch (error) {
      this.#failed(result, STEP_TITLES[step], error)
      // What came of it cannot be relied on.
      this.#entrants = this.#entrants.filter((one) => one !== entrant)
      await session.close()
    }
  }

  async #measure(entrant: Entrant, step: Step): Promise<Sample | undefined> {
    const { corpus, runner } = this.#o
    const { session } = entrant
    if (step === 'first' || step === 'second' || step === 'change') {
      await settleAndWarm(runner, [corpus.source])
      return await session.store()
    }
    if (step === 'gone' && session.loseTwoHosts === undefined) return undefined
    if (step === 'one' && session.restoreOne === undefined) return undefined
    if (step === 'gone') await session.loseTwoHosts?.()
    await settleAndWarm(runner, session.warmed())
    const to = join(entrant.folder, `restored-${step}`)
    try {
      const restored =
        step === 'one' ? session.restoreOne?.(corpus.oneFile, to) : session.restore(to)
      if (restored === undefined) return undefined
      const { sample, root } = await restored
      if (this.#round === 1) await this.#verify(entrant, step, root)
      return sample
    } finally {
      if (corpus.size.files <= REMOVED_FILES_MAX) await rm(to, { recursive: true, force: true })
    }
  }

  /** Compares what was restored with the corpus, byte by byte and in all metadata. */
  async #verify(entrant: Entrant, step: Step, root: string): Promise<void> {
    const { corpus } = this.#o
    const original = step === 'one' ? join(corpus.source, corpus.oneFile) : corpus.source
    const { files, differences } = await compareFolders(original, root)
    const [first] = differences
    const example = first === undefined ? {} : { example: `${first.path} ${first.what}` }
    const { label } = entrant.contender
    this.#verified.push({ label, step, files, differences: differences.length, ...example })
    if (first !== undefined) {
      this.#o.say(
        `  ${label}: ${differences.length} differences, first ${first.path} ${first.what}`,
      )
    }
  }
}

function rotated<T>(list: readonly T[], by: number): T[] {
  return list.map((_, i) => list[(i + by) % list.length] as T)
}

function line(round: number, label: string, step: Step, sample: Sample): string {
  const cpu = `${sample.ownerCpuSeconds.toFixed(2)} / ${sample.cpuSeconds.toFixed(2)} CPU-s`
  const peak = (Math.max(sample.peakBytes, sample.holderPeakBytes) / 1024 ** 2).toFixed(0)
  const wall = sample.wallSeconds.toFixed(2)
  return `  ${round} ${STEP_TITLES[step].padEnd(26)} ${label.padEnd(28)} ${wall.padStart(7)} s  ${cpu}  ${peak} MiB`
}
