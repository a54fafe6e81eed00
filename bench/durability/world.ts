/**
 * What goes wrong, how often, and how quickly it is noticed and mended: the assumptions of
 * `pnpm durability`. docs/durability.md says them in words; every one can be set on the command line
 * or by a caller.
 */

/** Rates per year, times in days unless the name says otherwise. */
export type World = {
  /** Disk or machine dead, stolen or reinstalled; per machine. */
  machineLossPerYear: number
  /** Taken out of the pool without moving its shards away first; per machine. */
  churnPerYear: number
  /** Fire, flood or theft of everything in a place; per place. */
  siteLossPerYear: number
  /** The provider or the administrator of a place takes everything there along; per place. */
  providerLossPerYear: number
  /** A piece of a shard has rotted, unnoticed; per machine. */
  rotPerYear: number
  /** Every shard is read and checked once in this time. */
  scrubDays: number
  /** Upload that a place gives to repairs while its machines run. */
  megabitsPerSite: number
  /** Part of the time in which repairs can go on. */
  duty: number
  /** A silent machine is presumed lost after. */
  presumedLostDays: number
  /** A silent machine counts as missing where a stripe is close to its end. */
  suspectDays: number
  /** A person says that a place is lost after. */
  declaredDays: number
  /** From a machine's loss to a new, empty one in its place. */
  replacedDays: number
  /** The same after a whole place was lost. */
  siteReplacedDays: number
  /** Data of each owner before parity; every machine is an owner's. */
  gigabytesPerOwner: number
  /** Stripes are dealt out in this many different ways. */
  groups: number
}

export type Scenario = 'office' | 'always'

const COMMON = {
  machineLossPerYear: 0.05,
  churnPerYear: 0.1,
  siteLossPerYear: 0.01,
  providerLossPerYear: 0.01,
  rotPerYear: 0.04,
  scrubDays: 30,
  megabitsPerSite: 20,
  declaredDays: 1,
  replacedDays: 10,
  siteReplacedDays: 45,
  gigabytesPerOwner: 100,
  groups: 12,
}

export const WORLDS: Record<Scenario, World> = {
  // 120 hours in which an office machine is expected are about 14 days; 40 of them, five.
  office: { ...COMMON, duty: 0.28, presumedLostDays: 14, suspectDays: 5 },
  always: { ...COMMON, duty: 1, presumedLostDays: 2, suspectDays: 1 },
}

/** From this margin on one missing shard waits for a second one before it is rebuilt. */
export const LAZY_MARGIN_MIN = 4

export const DAYS_PER_YEAR = 365.25

const BITS_PER_GIGABYTE = 8e9
const SECONDS_PER_DAY = 86_400

/** What one place's line carries for repairs. */
export function gigabytesPerDay({ megabitsPerSite, duty }: World): number {
  return (megabitsPerSite * 1e6 * SECONDS_PER_DAY * duty) / BITS_PER_GIGABYTE
}
