/** What many seeds together showed. */

import type { RunResult } from './run.ts'

export type Summary = {
  seeds: number
  hostYears: number
  stripes: number
  /** Faults that struck, by kind. */
  faults: Record<string, number>
  /** Shards that were truly lost, and distinct shards that came back. */
  lostShards: number
  healedShards: number
  lostStripes: number
  trimmedCopies: number
  surplusLeft: number
  movedBytes: number
  worstHealHours: number
  /** From the end of faults until everything was whole. */
  calmHours: { mean: number; worst: number }
  cpuSeconds: number
  violations: Record<string, string[]>
}

export function summaryOf(results: readonly RunResult[]): Summary {
  const sum = (of: (result: RunResult) => number): number =>
    results.reduce((total, result) => total + of(result), 0)
  const most = (of: (result: RunResult) => number): number => Math.max(0, ...results.map(of))
  const faults: Record<string, number> = {}
  const violations: Record<string, string[]> = {}
  for (const { seed, counts, violation } of results) {
    for (const [kind, count] of Object.entries(counts)) {
      const name = /^fault (.+)$|^(crash|retire|join)$/.exec(kind)
      const fault = name?.[1] ?? name?.[2]
      if (fault !== undefined) faults[fault] = (faults[fault] ?? 0) + count
    }
    if (violation === undefined) continue
    violations[violation.invariant] = [...(violations[violation.invariant] ?? []), seed]
  }
  return {
    seeds: results.length,
    hostYears: sum(({ hostYears }) => hostYears),
    stripes: sum(({ stripes }) => stripes),
    faults,
    lostShards: sum(({ lostShards }) => lostShards),
    healedShards: sum(({ healedShards }) => healedShards),
    lostStripes: sum(({ lostStripes }) => lostStripes),
    trimmedCopies: sum(({ counts }) => counts['trimmed'] ?? 0),
    surplusLeft: sum(({ surplusLeft }) => surplusLeft),
    movedBytes: sum(({ movedBytes }) => movedBytes),
    worstHealHours: most(({ worstHealHours }) => worstHealHours),
    calmHours: {
      mean: sum(({ calmHours }) => calmHours) / Math.max(1, results.length),
      worst: most(({ calmHours }) => calmHours),
    },
    cpuSeconds: sum(({ cpuMs }) => cpuMs) / 1000,
    violations,
  }
}

/** A table for people. */
export function summaryText(summary: Summary): string {
  const faults = Object.entries(summary.faults).sort(([, a], [, b]) => b - a)
  const violations = Object.entries(summary.violations)
  const rows: [string, string][] = [
    ['seeds', String(summary.seeds)],
    ['host years', summary.hostYears.toFixed(0)],
    ['stripes', String(summary.stripes)],
    ['faults', faults.map(([name, count]) => `${name} ${count}`).join(', ')],
    ['shards lost, made again', `${summary.lostShards}, ${summary.healedShards}`],
    ['stripes lost', String(summary.lostStripes)],
    ['copies let go, left', `${summary.trimmedCopies}, ${summary.surplusLeft}`],
    ['moved', `${(summary.movedBytes / 1e12).toFixed(2)} TB`],
    ['worst time to heal', `${(summary.worstHealHours / 24).toFixed(1)} days`],
    [
      'whole after calm',
      `${summary.calmHours.mean.toFixed(0)} h, worst ${summary.calmHours.worst.toFixed(0)} h`,
    ],
    ['CPU', `${summary.cpuSeconds.toFixed(1)} s`],
    [
      'violations',
      violations.length === 0
        ? 'none'
        : violations.map(([name, seeds]) => `${name}: ${seeds.join(' ')}`).join('; '),
    ],
  ]
  return `${rows.map(([name, value]) => `${name.padEnd(24)} ${value}`).join('\n')}\n`
}
