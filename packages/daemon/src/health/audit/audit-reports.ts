/**
 * The newest audit report of each auditor about each vault: what hosts exchange, and what says
 * whether an owner is still looking after its vault (spec/audit.md §4).
 */

import {
  type AuditReport,
  concatBytes,
  equalBytes,
  fromHex,
  isMoyaiError,
  MoyaiError,
  openAuditReport,
  POOL_HOSTS_MAX,
  PUBLIC_KEY_BYTES,
  toHex,
} from '@moyai/protocol'

import type { Clock } from '@moyai/protocol'
import type { Database, Table } from '../../database/index.ts'
import type { HealthPool } from '../ports.ts'

/** A clock may be wrong by so much before its reports are not taken: a day. */
const FUTURE_MS_MAX = 86_400_000
/**
 * Reports kept: in a pool of 32 hosts each audits each vault; larger pools keep the newest ones.
 */
const REPORTS_MAX = POOL_HOSTS_MAX

export type AuditReportsComponents = {
  database: Database
  clock: Clock
  pool: Pick<HealthPool, 'id' | 'hosts' | 'vaults' | 'revoked'>
  /** Told of each report that is newer than what was known, those read at `open` included. */
  onReport?: (report: AuditReport) => void
  /** `openAuditReport`, unless one process is many hosts, which need not all verify the same. */
  openReport?: typeof openAuditReport
}

type Kept = { auditor: string; vault: Uint8Array; at: number; envelope: Uint8Array }

export class AuditReports {
  readonly #c: AuditReportsComponents
  readonly #table: Table
  readonly #kept = new Map<string, Kept>()
  readonly #open: typeof openAuditReport

  /** Knows nothing before `load`. */
  constructor(components: AuditReportsComponents) {
    this.#c = components
    this.#table = components.database.table('audit-report')
    this.#open = components.openReport ?? openAuditReport
  }

  static async open(components: AuditReportsComponents): Promise<AuditReports> {
    const reports = new AuditReports(components)
    await reports.load()
    return reports
  }

  async load(): Promise<void> {
    for await (const [key, envelope] of this.#table.iterate()) {
      try {
        this.#keep(this.#open(envelope), envelope)
      } catch (error) {
        if (!isMoyaiError(error)) throw error
        await this.#table.del(key)
      }
    }
  }

  /** One for each auditor (hex) and vault; `at`: ms, the end of the report. */
  newest(): { auditor: string; vault: Uint8Array; at: number }[] {
    return [...this.#kept.values()].map(({ auditor, vault, at }) => ({ auditor, vault, at }))
  }

  get(auditor: string, vault: Uint8Array): Uint8Array | undefined {
    return this.#kept.get(nameOf(auditor, vault))?.envelope
  }

  /** When (ms) the newest report of `auditor` (hex) about `vault` ended. */
  at(auditor: string, vault: Uint8Array): number | undefined {
    return this.#kept.get(nameOf(auditor, vault))?.at
  }

  /**
   * Keeps a report if it is newer than what is known of its auditor and vault; true when it was.
   * What `openAuditReport` throws; HOST_REFUSED for a report of another pool, of an auditor or a
   * vault that is not in it, or from the future.
   */
  async add(envelope: Uint8Array): Promise<boolean> {
    const report = this.#open(envelope)
    const { pool, clock } = this.#c
    const id = pool.id()
    const auditor = toHex(report.auditor)
    const right =
      id !== undefined &&
      equalBytes(report.pool, id) &&
      pool.hosts().some((host) => host.id === auditor) &&
      !pool.revoked().has(auditor) &&
      pool.vaults().has(toHex(report.vault)) &&
      report.to <= clock.now() + FUTURE_MS_MAX
    if (!right) throw new MoyaiError('HOST_REFUSED', 'an audit report that is not for this pool')
    const known = this.at(auditor, report.vault)
    if (known !== undefined && known >= report.to) return false
    const copy = envelope.slice()
    await this.#table.put(keyOf(auditor, report.vault), copy)
    this.#keep(report, copy)
    await this.#bound()
    return true
  }

  #keep(report: AuditReport, envelope: Uint8Array): void {
    const auditor = toHex(report.auditor)
    const { vault, to } = report
    this.#kept.set(nameOf(auditor, vault), { auditor, vault, at: to, envelope })
    this.#c.onReport?.(report)
  }

  async #bound(): Promise<void> {
    while (this.#kept.size > REPORTS_MAX) {
      const [oldest] = [...this.#kept].sort(([, a], [, b]) => a.at - b.at)
      if (oldest === undefined) return
      const [name, { auditor, vault }] = oldest
      this.#kept.delete(name)
      await this.#table.del(keyOf(auditor, vault))
    }
  }
}

function nameOf(auditor: string, vault: Uint8Array): string {
  return `${auditor} ${toHex(vault)}`
}

function keyOf(auditor: string, vault: Uint8Array): Uint8Array {
  return concatBytes(fromHex(auditor), vault.subarray(0, PUBLIC_KEY_BYTES))
}
