/**
 * The kernels against others of their trade, in one thread, on the same bytes, in turns.
 *
 * `node bench/micro/main.ts [--json]`: prints a table, or an array of rows (`Row` of contest.ts).
 * Rates are MB (10^6 bytes) of input per second of CPU. Takes half a minute.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import type { Row } from './contest.ts'
import { gearRows } from './gear.ts'
import { hashRows } from './hash.ts'
import { reedSolomonRows } from './reed-solomon.ts'

/** All rows; compiles and keeps files in a folder of its own, which it removes. */
export function microRows(): Row[] {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-micro-'))
  try {
    return [...reedSolomonRows(folder), ...gearRows(), ...hashRows()]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The rows as lines of text. */
export function microTable(rows: readonly Row[]): string {
  const lines: string[] = []
  for (const { row, moyai, peers, ratios, target } of rows) {
    lines.push(`${row}: ${moyai} MB/s`)
    for (const [name, rate] of Object.entries(peers)) {
      const ratio = ratios[name]
      const least = target?.[name]
      const aim = least === undefined ? '' : `, ${verdict(ratio, least)}`
      const compared = ratio === undefined ? String(rate) : `${rate} MB/s, ${ratio} times${aim}`
      lines.push(`  ${name.padEnd(26)} ${compared}`)
    }
  }
  return lines.join('\n')
}

function verdict(ratio: number | undefined, least: number): string {
  return `target ${least}${ratio !== undefined && ratio < least ? ' MISSED' : ''}`
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } })
  const rows = microRows()
  process.stdout.write(`${values.json ? JSON.stringify(rows, undefined, 2) : microTable(rows)}\n`)
}
