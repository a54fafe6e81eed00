/**
 * The tables of docs/placement.md, computed by the planner. `node test/helpers/placement-tables.ts`
 * writes them into the page; a test compares.
 */

import { readFileSync, writeFileSync } from 'node:fs'

import { type CodePlan, type HostFacts, overheadOf, planCode } from '@moyai/protocol'

export const PAGE: URL = new URL('../../docs/placement.md', import.meta.url)
export const POOL_SIZES: readonly number[] = [3, 4, 5, 6, 9, 12, 20, 40]
export const DOMAIN_COUNTS: readonly number[] = [1, 2, 3, 4]
const BEGIN = '<!-- tables: written by test/helpers/placement-tables.ts -->'
const END = '<!-- end of tables -->'

/** Id of the owner's host in `tablePool`. */
export const TABLE_OWNER = 'host 0'

/** Hosts of one organisation, dealt out over sites; `providers` 0: machines of one's own. */
export function tablePool(o: { hosts: number; sites: number; providers: number }): HostFacts[] {
  return Array.from({ length: o.hosts }, (_, i) => ({
    id: `host ${i}`,
    org: 'one',
    site: `site ${i % o.sites}`,
    provider: o.providers === 0 ? 'self' : `provider ${providerOf(i, o.sites, o.providers)}`,
    online: true,
    freeBytes: 1e12,
  }))
}

/** Dealt out, too, and shifted after each round, so that providers do not coincide with sites. */
function providerOf(i: number, sites: number, providers: number): number {
  let round = sites
  while (round % providers !== 0) round += sites
  return (i + Math.floor(i / round)) % providers
}

function cell(plan: CodePlan, kinds: readonly ('site' | 'provider')[]): string {
  const { code, survives, margin } = plan
  const kept = kinds.filter((kind) => survives[kind] > 0)
  const lost = kinds.filter((kind) => survives[kind] === 0)
  const more = margin > 0 && kept.length > 0 ? ` + ${margin}` : ''
  const parts = [
    `${code.k}+${code.m}, ${overheadOf(code).toFixed(2)}×`,
    `${code.m} host${code.m === 1 ? '' : 's'}`,
    ...(kept.length > 0 ? [`${kept.join(' or ')}${more}`] : []),
    ...lost.map((kind) => `**no ${kind}**`),
  ]
  return parts.join('; ')
}

function table(providers: number): string {
  const kinds = providers === 0 ? (['site'] as const) : (['site', 'provider'] as const)
  const head = DOMAIN_COUNTS.map((sites) => `${sites} site${sites === 1 ? '' : 's'}`)
  const rows = POOL_SIZES.map((hosts) => {
    const cells = DOMAIN_COUNTS.map((sites) => {
      const pool = tablePool({ hosts, sites, providers })
      return cell(planCode({ hosts: pool, owner: TABLE_OWNER, class: 'data' }), kinds)
    })
    return [`${hosts}`, ...cells]
  })
  const lines = [['hosts', ...head], ['---', ...head.map(() => '---')], ...rows]
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n')
}

/** The part of the page between its marks. */
export function placementTables(): string {
  const own = `### Machines of your own\n\n${table(0)}`
  const rented = DOMAIN_COUNTS.map(
    (count) => `### Machines of ${count} provider${count === 1 ? '' : 's'}\n\n${table(count)}`,
  )
  return [BEGIN, own, ...rented, END].join('\n\n')
}

/** The page with its tables replaced. */
export function withTables(page: string): string {
  const begin = page.indexOf(BEGIN)
  const end = page.indexOf(END)
  if (begin < 0 || end < begin) throw new Error('docs/placement.md has lost its marks')
  return page.slice(0, begin) + placementTables() + page.slice(end + END.length)
}

if (import.meta.main) writeFileSync(PAGE, withTables(readFileSync(PAGE, 'utf8')))
