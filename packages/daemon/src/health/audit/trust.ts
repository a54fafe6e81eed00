/**
 * Whose word counts: what audits of each host showed, kept over restarts (spec/audit.md §5).
 *
 * This host believes its own audits, and what two auditors of different organisations report alike:
 * one auditor alone could slander.
 */

import {
  type AuditDay,
  type AuditReport,
  type AuditVerdict,
  type Clock,
  decodeAs,
  encodeCbor,
  fields,
  fromHex,
  type Infer,
  isPattern,
  noteVerdict,
  POOL_HOSTS_MAX,
  PUBLIC_KEY_BYTES,
  reportedTally,
  s,
  type StatusResult,
  TALLY_DAYS,
  tallyOf,
  toHex,
  trustAfter,
  type TrustState,
} from '@moyai/protocol'

import type { Database, Table } from '../../database/index.ts'
import type { HealthPool, TrustView } from '../ports.ts'

const DAY = s.map({
  day: s.int(),
  asked: s.int(),
  proved: s.int(),
  late: s.int(),
  proxied: s.int(),
  failed: s.array(s.text({ max: 200 }), { max: 64 }),
})
const RECORD = s.map({
  days: s.array(DAY, { max: TALLY_DAYS + 1 }),
  provedInRow: s.int(),
  rowSince: s.int(),
  untrustedSince: s.optional(s.int()),
})
type Record = Infer<typeof RECORD>

const RECORD_BYTES_MAX = 256 * 1024

export type TrustComponents = {
  database: Database
  clock: Clock
  pool: Pick<HealthPool, 'hosts' | 'self'>
}

const NEW: Record = { days: [], provedInRow: 0, rowSince: 0 }

export class Trust implements TrustView {
  readonly #c: TrustComponents
  readonly #table: Table
  readonly #records = new Map<string, Record>()
  /** Accused host → auditors (hex) whose newest reports show a pattern. */
  readonly #accusers = new Map<string, Set<string>>()
  readonly #listeners = new Set<(host: string) => void>()

  /** Knows nothing before `load`. */
  constructor(components: TrustComponents) {
    this.#c = components
    this.#table = components.database.table('trust')
  }

  /** Reads what is known; what cannot be decoded is forgotten. DISK. */
  static async open(components: TrustComponents): Promise<Trust> {
    const trust = new Trust(components)
    await trust.load()
    return trust
  }

  async load(): Promise<void> {
    for await (const [key, value] of this.#table.iterate({ limit: POOL_HOSTS_MAX })) {
      if (key.length === PUBLIC_KEY_BYTES) this.#records.set(toHex(key), decoded(value))
    }
  }

  isTrusted(host: string): boolean {
    if (this.#records.get(host)?.untrustedSince !== undefined) return false
    return !this.#isAccused(host)
  }

  /** Calls `listener` with a host (hex) that is trusted no more, or again. */
  onChange(listener: (host: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Hosts (hex) that are not trusted, and since when (ms): for alarms. Accused ones: since the
   * present.
   */
  untrusted(): { host: string; since: number }[] {
    const hosts = new Set([...this.#records.keys(), ...this.#accusers.keys()])
    return [...hosts]
      .filter((host) => !this.isTrusted(host))
      .map((host) => {
        const since = this.#records.get(host)?.untrustedSince ?? this.#c.clock.now()
        return { host, since }
      })
  }

  /** Notes what own audits of `host` (hex) showed, in order, durably. `shard` names it here. */
  async note(
    host: string,
    verdicts: readonly { verdict: AuditVerdict; shard: string }[],
  ): Promise<void> {
    if (verdicts.length === 0) return
    const before = this.isTrusted(host)
    const now = this.#c.clock.now()
    let record = this.#records.get(host) ?? NEW
    for (const { verdict, shard } of verdicts) record = after(record, { verdict, shard, now })
    this.#records.set(host, record)
    await this.#table.put(fromHex(host), encodeCbor(fields(record)))
    this.#tell(host, before)
  }

  /** Takes in the newest report of an auditor other than this host, already verified. */
  hear(report: AuditReport): void {
    const auditor = toHex(report.auditor)
    if (auditor === this.#c.pool.self) return
    for (const holder of report.holders) {
      const host = toHex(holder.host)
      if (host === auditor) continue
      const before = this.isTrusted(host)
      const accusers = this.#accusers.get(host) ?? new Set<string>()
      const name = `${auditor} ${toHex(report.vault)}`
      if (isPattern(reportedTally(holder))) accusers.add(name)
      else accusers.delete(name)
      if (accusers.size > 0) this.#accusers.set(host, accusers)
      else this.#accusers.delete(host)
      this.#tell(host, before)
    }
  }

  #isAccused(host: string): boolean {
    const accusers = this.#accusers.get(host)
    if (accusers === undefined || accusers.size < 2) return false
    const orgs = new Map(this.#c.pool.hosts().map(({ id, org }) => [id, org]))
    const accusing = new Set<string>()
    for (const name of accusers) {
      const org = orgs.get(name.slice(0, 2 * PUBLIC_KEY_BYTES))
      // Who was put out accuses nobody; nobody's own organisation is needed to see the pattern.
      if (org !== undefined) accusing.add(org)
    }
    return accusing.size >= 2
  }

  #tell(host: string, before: boolean): void {
    if (before === this.isTrusted(host)) return
    for (const listener of this.#listeners) listener(host)
  }
}

function after(record: Record, o: { verdict: AuditVerdict; shard: string; now: number }): Record {
  const days: AuditDay[] = noteVerdict(record.days, o)
  const { state, isForgiven } = trustAfter(stateOf(record), { ...o, tally: tallyOf(days) })
  return { days: isForgiven ? [] : days, ...state }
}

function stateOf({ provedInRow, rowSince, untrustedSince }: Record): TrustState {
  const since = untrustedSince === undefined ? {} : { untrustedSince }
  return { provedInRow, rowSince, ...since }
}

function decoded(value: Uint8Array): Record {
  try {
    return decodeAs(RECORD, value, { bytesMax: RECORD_BYTES_MAX, what: 'trust record' })
  } catch {
    // Written by another version: what audits show from now on is enough.
    return NEW
  }
}

/** An alarm for each host that is not trusted any more. */
export function untrustedAlarms(
  trust: Pick<Trust, 'untrusted'>,
  nameOf: (host: string) => string,
): StatusResult['alarms'] {
  return trust.untrusted().map(({ host, since }) => ({
    code: 'HOST_UNTRUSTED',
    since: new Date(since).toISOString(),
    text: `${nameOf(host)} does not keep what it says: its shards are being made anew elsewhere`,
  }))
}
