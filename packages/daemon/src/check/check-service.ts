/**
 * Check: whether what was stored can be had again, by evidence of now.
 *
 * The vault's log is decoded and its chain followed; every host is asked for its inventory, which
 * is compared with the index stripe by stripe; with `readData` each shard that a host says to have
 * is read back over the network in full and verified, so that damage, loss, truncation and lies are
 * named with pack, index and host; then all trees are walked, which shows the files that lost
 * stripes affect. Nothing is changed. Memory: a page of each inventory, READS_MAX ranges.
 *
 * Absent on purpose: repair.
 */

import {
  compareBytes,
  logEntryId,
  NO_ENTRY,
  openLogEntry,
  openSnapshot,
  survives,
  toHex,
  toMoyaiError,
  vaultSigner,
} from '@moyai/protocol'
import type {
  CheckParams,
  CheckProblem,
  CheckSummary,
  Clock,
  ErrorCode,
  HostFacts,
  MoyaiError,
  StripeDescriptor,
  Survives,
  VaultBundle,
} from '@moyai/protocol'

import { Inventories } from '../inventories.ts'
import type { Claim } from '../inventories.ts'
import type { ShardClient } from '../net/types.ts'
import type { PackIndex } from '../retrieve/ports.ts'
import type { Reading } from '../retrieve/reading.ts'
import { PATIENT, streamRange } from '../retrieve/shard-fetch.ts'
import type { NamedSnapshot, VaultLog } from '../retrieve/snapshots.ts'
import { CheckReport } from './check-report.ts'
import type { CheckEvent } from './check-report.ts'
import { TreeCheck } from './tree-check.ts'

/** Shards read at once. */
const READS_MAX = 8

export type CheckHosts = {
  /** The hosts of the pool but this one, hex ids. */
  hosts(): string[]
  shards(host: string): Pick<ShardClient, 'get' | 'stat' | 'inventory'>
  /** As in `ShardHosts`. */
  isHeldBack?(): boolean
}

export type CheckServiceOptions = { bundle: VaultBundle }

export type CheckServiceComponents = {
  index: PackIndex
  hosts: CheckHosts
  log: VaultLog
  clock: Clock
  reading: Reading
  /** Where hosts are and whose, for what may be lost. */
  facts: () => HostFacts[]
  /** The short name of a host (hex id), for people; the id when absent. */
  nameOf?: (host: string) => string
}

export type CheckControl = { signal: AbortSignal; onEvent?: (event: CheckEvent) => void }

type Run = { report: CheckReport; signal: AbortSignal; readData: boolean }

/** See the head of this file. */
export class CheckService {
  readonly #bundle: VaultBundle
  readonly #vault: Uint8Array
  readonly #components: CheckServiceComponents

  constructor(options: CheckServiceOptions, components: CheckServiceComponents) {
    this.#bundle = options.bundle
    this.#vault = vaultSigner(options.bundle).publicKey
    this.#components = components
  }

  /**
   * Resolves with everything found; rejects only with ABORTED or when the local index cannot be
   * read.
   */
  async check(params: CheckParams, control: CheckControl): Promise<CheckSummary> {
    const { clock, reading } = this.#components
    const onEvent = control.onEvent ?? ((): void => undefined)
    const report = new CheckReport({ clock, onEvent })
    const { readData } = params
    const run: Run = { report, signal: control.signal, readData }
    report.begin('log', 0)
    const snapshots = await this.#log(run)
    report.snapshots = snapshots.length
    await this.#stripes(run)
    report.begin('trees', snapshots.length)
    const trees = new TreeCheck(reading, report, control.signal)
    for (const named of snapshots) {
      await trees.snapshot(named)
      report.step()
    }
    return report.summary(readData)
  }

  #nameOf(host: string): string {
    return this.#components.nameOf?.(host) ?? host
  }

  #named({ host, index }: { host: string; index: number }): { host: string; index: number } {
    return { host: this.#nameOf(host), index }
  }

  /** Every entry of the log that is a snapshot; what is wrong with the chain is reported. */
  async #log({ report, signal }: Run): Promise<NamedSnapshot[]> {
    const snapshots: NamedSnapshot[] = []
    let prev = NO_ENTRY
    let seq = 0
    for await (const envelope of this.#components.log.entries()) {
      signal.throwIfAborted()
      const id = logEntryId(envelope)
      try {
        const entry = openLogEntry(envelope)
        if (entry.seq !== seq || compareBytes(entry.prev, prev) !== 0) {
          report.problem({
            kind: 'log',
            text: `log entry ${seq} does not follow the one before it`,
          })
        }
        if (entry.kind === 'snapshot') {
          const snapshot = openSnapshot(this.#bundle, entry)
          snapshots.push({ id: toHex(id), seq: entry.seq, snapshot })
        }
      } catch (error) {
        report.problem({ kind: 'log', text: `log entry ${seq}: ${toMoyaiError(error).message}` })
      }
      prev = id
      seq += 1
    }
    return snapshots
  }

  async #stripes(run: Run): Promise<void> {
    const { index, hosts, clock } = this.#components
    const { report, signal, readData } = run
    let total = 0
    for await (const _ of index.packs()) total += 1
    report.begin(readData ? 'data' : 'stripes', total)
    const inventories = new Inventories({ hosts, vault: this.#vault, clock, signal })
    const figures = new Map<string, Survives>()
    for await (const pack of index.packs()) {
      signal.throwIfAborted()
      const stripe = await this.#descriptor(pack, report)
      if (stripe === undefined) continue
      const claims = await inventories.of(pack)
      const good = await this.#stripe(run, stripe, claims, inventories)
      report.stripe(pack, {
        present: new Set(good.map((claim) => claim.index)).size,
        total: stripe.k + stripe.m,
        k: stripe.k,
      })
      report.survives(this.#figures(stripe, good, figures))
      report.step()
    }
    for (const [host, error] of inventories.failures()) {
      const name = this.#nameOf(host)
      const text = `host ${name} could not be asked what it has: ${error.message}`
      report.problem({ kind: kindOf(error), host: name, text })
    }
  }

  async #descriptor(pack: Uint8Array, report: CheckReport): Promise<StripeDescriptor | undefined> {
    const hex = toHex(pack)
    try {
      const info = await this.#components.index.pack(pack)
      if (info !== undefined) return info.stripe
      report.problem({
        kind: 'index',
        pack: hex,
        text: `pack ${hex.slice(0, 8)} is not in the index`,
      })
    } catch (error) {
      const text = `pack ${hex.slice(0, 8)}: ${toMoyaiError(error).message}`
      report.problem({ kind: 'index', pack: hex, text })
    }
    return undefined
  }

  /**
   * The claims that are good as far as was looked: by inventory, or by reading. Problems are
   * reported.
   */
  async #stripe(
    run: Run,
    stripe: StripeDescriptor,
    claims: Claim[],
    inventories: Inventories,
  ): Promise<Claim[]> {
    const { report } = run
    const shards = stripe.k + stripe.m
    const known = claims.filter(({ index }) => index < shards)
    const whole = known.filter((claim) => {
      if (claim.length >= stripe.shardLength) return true
      report.problem(
        shardProblem('truncated', stripe, this.#named(claim), 'is shorter than a shard'),
      )
      return false
    })
    const failed = inventories.failures()
    const holders = await this.#components.index.holders(stripe.pack)
    for (const { index, host } of holders) {
      const isClaimed = known.some((claim) => claim.host === host && claim.index === index)
      // a host that could not be asked is reported once, not for each shard
      if (isClaimed || failed.has(host)) continue
      report.problem(
        shardProblem('missing', stripe, this.#named({ host, index }), 'is not there any more'),
      )
    }
    const placed = new Set([...known, ...holders].map(({ index }) => index))
    for (let index = 0; index < shards; index++) {
      if (placed.has(index)) continue
      const pack = toHex(stripe.pack)
      const text = `shard ${index} of pack ${pack.slice(0, 8)} was never taken by a host`
      report.problem({ kind: 'missing', pack, index, text })
    }
    return run.readData ? this.#readAll(run, stripe, whole) : whole
  }

  /** Those of `claims` whose shards read back right. */
  async #readAll(run: Run, stripe: StripeDescriptor, claims: Claim[]): Promise<Claim[]> {
    const good: Claim[] = []
    const rest = [...claims]
    const reader = async (): Promise<void> => {
      for (let claim = rest.shift(); claim !== undefined; claim = rest.shift()) {
        if (await this.#readOne(run, stripe, claim)) good.push(claim)
      }
    }
    await Promise.all(Array.from({ length: READS_MAX }, reader))
    run.signal.throwIfAborted()
    return good
  }

  async #readOne(run: Run, stripe: StripeDescriptor, claim: Claim): Promise<boolean> {
    const { hosts, clock } = this.#components
    const { report, signal } = run
    try {
      const source = hosts.shards(claim.host)
      const range = { index: claim.index, offset: 0, length: stripe.shardLength }
      const isHeldBack = hosts.isHeldBack?.bind(hosts)
      const how = { clock, patience: PATIENT, isHeldBack, signal }
      await streamRange({ source, stripe, ...range, ...how }, (part) => {
        report.bytesRead += part.length
      })
      report.shardsRead += 1
      return true
    } catch (error) {
      signal.throwIfAborted()
      const failure = toMoyaiError(error)
      report.problem(shardProblem(kindOf(failure), stripe, this.#named(claim), failure.message))
      return false
    }
  }

  /** Stripes on the same hosts under the same code bear the same losses. */
  #figures(
    stripe: StripeDescriptor,
    good: readonly Claim[],
    known: Map<string, Survives>,
  ): Survives {
    const shards = good.map(({ index, host }) => ({ index, host }))
    const places = shards.map(({ index, host }) => `${host}/${index}`).sort()
    const hosts = new Set(good.map(({ host }) => host)).size === good.length
    // with one shard a host it does not matter which shard is where
    const key = hosts
      ? good
          .map(({ host }) => host)
          .sort()
          .join()
      : places.join()
    const whole = `${stripe.k}+${stripe.m}@${key}`
    let figures = known.get(whole)
    if (figures === undefined) {
      const code = { k: stripe.k, m: stripe.m }
      figures = survives({ shards, hosts: this.#components.facts(), code })
      known.set(whole, figures)
    }
    return figures
  }
}

function shardProblem(
  kind: CheckProblem['kind'],
  stripe: StripeDescriptor,
  { host, index }: { host: string; index: number },
  what: string,
): Omit<CheckProblem, 'message_type'> {
  const pack = toHex(stripe.pack)
  const text = `shard ${index} of pack ${pack.slice(0, 8)} on host ${host}: ${what}`
  return { kind, pack, index, host, text }
}

/** Absent, damaged and out of reach are different things, and so are their remedies. */
const KINDS: Partial<Record<ErrorCode, CheckProblem['kind']>> = {
  HASH_MISMATCH: 'damaged',
  SHARD_DAMAGED: 'damaged',
  MALFORMED: 'damaged',
  NOT_FOUND: 'missing',
  TRUNCATED: 'truncated',
  HOST_UNREACHABLE: 'unreachable',
  TIMED_OUT: 'unreachable',
  STREAM_CLOSED: 'unreachable',
  STORE_OFFLINE: 'unreachable',
  BUSY: 'unreachable',
}

function kindOf(error: MoyaiError): CheckProblem['kind'] {
  return KINDS[error.code] ?? 'refused'
}
