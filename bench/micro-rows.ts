/** Rows of the programs that measure one part alone: kernels, and the wire. */

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import type { Runner } from './processes.ts'

const PROGRAMS = [
  fileURLToPath(new URL('micro/main.ts', import.meta.url)),
  fileURLToPath(new URL('../packages/daemon/src/net/testing/throughput.ts', import.meta.url)),
]
const BOUND_MS = 900_000

export type MicroRow = {
  row: string
  metric: string
  moyai: number
  /** By name: a figure, or why there is none. */
  peers: Record<string, number | string>
  /** moyai's figure by each peer's. */
  ratios: Record<string, number>
  /** By peer the least ratio that is aimed at, or one `<= 1.1 x PEER`. */
  target?: Record<string, number> | string
}

export type MicroTarget = { peer: string; bound: number; atMost: boolean }

/** The targets of a row; those that cannot be read are an error of the program that said them. */
export function targetsOf({ target, row }: MicroRow): MicroTarget[] {
  if (target === undefined) return []
  if (typeof target !== 'string') {
    return Object.entries(target).map(([peer, bound]) => ({ peer, bound, atMost: false }))
  }
  const match = /^([<>])= ([\d.]+) x (.+)$/.exec(target)
  const [, sign, bound, peer] = match ?? []
  if (bound === undefined || peer === undefined) throw new Error(`${row}: what is '${target}'?`)
  return [{ peer, bound: Number(bound), atMost: sign === '<' }]
}

/** Runs the programs that are there; `say` hears of those that are not or fail. */
export async function microRows(runner: Runner, say: (line: string) => void): Promise<MicroRow[]> {
  const rows: MicroRow[] = []
  for (const program of PROGRAMS) {
    const name = program.split('/').slice(-2).join('/')
    if (!existsSync(program)) {
      say(`  ${name} is not there: its rows are left out`)
      continue
    }
    try {
      const argv = [process.execPath, program, '--json']
      const { stdout } = await runner.must(argv, { boundMs: BOUND_MS })
      const parsed: unknown = JSON.parse(stdout)
      if (!Array.isArray(parsed)) throw new Error('it did not print a list')
      rows.push(...(parsed as MicroRow[]))
    } catch (error) {
      if (runner.signal.aborted) throw error
      say(`  ${name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  return rows
}
