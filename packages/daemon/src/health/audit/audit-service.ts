/**
 * Audits: every shard of this host's vault is asked for at least weekly, and so are, while their
 * owners are away, those of vaults that this host holds shards of (spec/audit.md).
 *
 * One pass a day over the stripes of a vault chooses for each connected holder its share of this
 * round, going on where the last pass ended; the share grows with the time since its last answer,
 * so that who is seldom there is asked for more at once.
 */

import {
  AUDIT_CHALLENGES_MAX,
  AUDIT_COST_BYTES,
  AUDIT_DAILY_BYTES,
  AUDIT_NONCE_BYTES,
  AUDIT_OWNER_MS_MAX,
  AUDIT_ROUND_MS,
  auditorOf,
  auditShare,
  type Clock,
  challengedGroup,
  defined,
  isMoyaiError,
  type Random,
  type Signer,
  toHex,
  toMoyaiError,
} from '@moyai/protocol'

import type { Database, Table } from '../../database/index.ts'
import type { Logger } from '../../logger.ts'
import type { AuditAnswer, AuditChallenge } from '../../net/types.ts'
import { Turns } from '../../turns.ts'
import { auditReport } from './audit-report.ts'
import type { AuditReports } from './audit-reports.ts'
import {
  type HolderState,
  newHolder,
  readVaultAudit,
  type VaultAudit,
  writeVaultAudit,
} from './audit-state.ts'
import { AuditVerdicts } from './audit-verdicts.ts'
import { ENOUGH, STOPPING } from '../enough.ts'
import { learnReports } from './learn-reports.ts'
import type { HealthNetwork, HealthPool, LivenessView, StripeView, Whereabouts } from '../ports.ts'
import type { Trust } from './trust.ts'

const HOUR_MS = 3_600_000
/** A holder is asked once a day: with some slack, so that the hour does not wander. */
const AGAIN_MS = 20 * HOUR_MS
/** How often it is looked whether a holder is due that was not connected before. */
const TICK_MS = 6 * HOUR_MS
/** After a start others connect first, and people who wait for a restore come before audits. */
const START_MS = 600_000
/** Holders asked at once. */
const HOLDERS_AT_ONCE = 4
/** A whole batch, of a disk that sleeps and a line that is slow. */
const ANSWER_MS_MAX = 120_000
/** One of so many batches is followed by questions to the fellow holders. */
const PROXY_SAMPLE = 4
/** Fellow holders asked about one suspicion: a proxy needs k of them, one that saw it is enough. */
const FELLOWS_MAX = 4
/** Hosts whose reports are learned in a turn. */
const HOSTS_ASKED = 4

export type AuditOptions = {
  /** Bytes a day that audits may cost: AUDIT_DAILY_BYTES. */
  dailyBudgetBytes?: number
  tickMs?: number
  startMs?: number
  /** From one asking of a holder to the next. */
  againMs?: number
}

export type AuditComponents = {
  pool: HealthPool
  network: HealthNetwork
  liveness: LivenessView
  whereabouts: Whereabouts
  reports: AuditReports
  trust: Trust
  database: Database
  /** The host key: it signs reports. */
  signer: Signer
  clock: Clock
  random: Random
  logger: Logger
  /** Whether `host` (hex) claims the repair of a stripe: then it may fetch what it is audited for. */
  hasClaim?: (host: string, vault: Uint8Array, pack: Uint8Array) => boolean
}

/** A shard to ask for. */
type Due = { pack: Uint8Array; name: string; index: number; isRefuted: boolean }
type Share = { state: HolderState; found: Due[]; isCut: boolean; shards: number }
type Pass = { vault: Uint8Array; audit: VaultAudit; signal: AbortSignal; verdicts: AuditVerdicts }

/** See the head of this file. */
export class AuditService {
  readonly #c: AuditComponents
  readonly #o: Required<AuditOptions>
  readonly #table: Table
  readonly #audits = new Map<string, VaultAudit>()
  readonly #asked = new Turns(HOSTS_ASKED)
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined

  constructor(options: AuditOptions, components: AuditComponents) {
    this.#o = {
      dailyBudgetBytes: AUDIT_DAILY_BYTES,
      tickMs: TICK_MS,
      startMs: START_MS,
      againMs: AGAIN_MS,
      ...options,
    }
    this.#c = components
    this.#table = components.database.table('audit')
  }

  start(): void {
    this.#running ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stop.abort(STOPPING)
    await this.#running
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#c
    const { signal } = this.#stop
    let waitMs = this.#o.startMs
    for (;;) {
      await clock.sleep(waitMs, signal).catch(() => undefined)
      if (signal.aborted) return
      waitMs = this.#o.tickMs
      try {
        await this.turn(signal)
      } catch (error) {
        if (signal.aborted) return
        logger.warn({ error: toMoyaiError(error).message }, 'audit: a pass ended early')
      }
    }
  }

  /** One pass over every vault that this host has to audit now. Rejects with ABORTED, DISK. */
  async turn(signal: AbortSignal): Promise<void> {
    const { pool, whereabouts } = this.#c
    if (pool.id() === undefined) return
    await this.#learn(signal)
    const owners = pool.vaults()
    const mine: { vault: Uint8Array; audit: VaultAudit }[] = []
    for (const vault of await whereabouts.vaults()) {
      const owner = owners.get(toHex(vault))
      if (owner === undefined) continue
      const audit = await this.#auditOf(vault)
      if (owner === pool.self || this.#isAway(owner, vault, audit)) mine.push({ vault, audit })
    }
    for (const { vault, audit } of mine) {
      const budget = this.#o.dailyBudgetBytes / mine.length
      await this.#pass(vault, { audit, budget, signal })
    }
  }

  /** Reports of others, from a few hosts: all of them have been asked before long. */
  async #learn(signal: AbortSignal): Promise<void> {
    const { network, reports, logger } = this.#c
    const peers = network.connected().map((host) => ({ host, connected: true }))
    for (const host of this.#asked.next(peers)) {
      try {
        await learnReports({ host, network, reports, signal })
      } catch (error) {
        signal.throwIfAborted()
        logger.debug({ host, error: toMoyaiError(error).message }, 'audit: no reports learned')
      }
    }
  }

  /**
   * The oldest time (ms) since which every shard of `vault` was asked for, over its holders;
   * undefined while some was not yet.
   */
  async oldestAuditAt(vault: Uint8Array): Promise<number | undefined> {
    let oldest: number | undefined
    for (const holder of (await this.#auditOf(vault)).holders.values()) {
      if (holder.shards === 0) continue
      if (holder.coveredSince === undefined) return undefined
      oldest = Math.min(oldest ?? holder.coveredSince, holder.coveredSince)
    }
    return oldest
  }

  async #auditOf(vault: Uint8Array): Promise<VaultAudit> {
    const name = toHex(vault)
    const known = this.#audits.get(name)
    if (known !== undefined) return known
    const audit = await readVaultAudit(this.#table, name, this.#c.clock.now())
    this.#audits.set(name, audit)
    // That it is known from now on has to outlive a restart.
    if (audit.holders.size === 0) await writeVaultAudit(this.#table, name, audit)
    return audit
  }

  #isAway(owner: string, vault: Uint8Array, audit: VaultAudit): boolean {
    const at = this.#c.reports.at(owner, vault) ?? audit.knownSince
    return this.#c.clock.now() - at > AUDIT_OWNER_MS_MAX
  }

  async #pass(
    vault: Uint8Array,
    o: { audit: VaultAudit; budget: number; signal: AbortSignal },
  ): Promise<void> {
    const { audit, signal } = o
    const due = this.#dueHolders(audit)
    if (due.length === 0) return
    const verdicts = new AuditVerdicts(vault, this.#c)
    const pass: Pass = { vault, audit, signal, verdicts }
    const shares = await this.#choose(pass, due, o.budget / due.length)
    const waiting = [...shares.values()]
    const worker = async (): Promise<void> => {
      for (let share = waiting.shift(); share !== undefined; share = waiting.shift()) {
        await this.#auditHolder(pass, share)
      }
    }
    await Promise.all(Array.from({ length: HOLDERS_AT_ONCE }, worker))
    await writeVaultAudit(this.#table, toHex(vault), audit)
    if (verdicts.asked > 0) await this.#publish(pass)
  }

  /** Connected hosts that were not tried today; new ones begin their first round. */
  #dueHolders(audit: VaultAudit): HolderState[] {
    const { pool, network, clock } = this.#c
    const now = clock.now()
    const revoked = pool.revoked()
    const members = new Set(pool.hosts().map(({ id }) => id))
    for (const host of audit.holders.keys()) if (!members.has(host)) audit.holders.delete(host)
    return network.connected().flatMap((host) => {
      if (host === pool.self || revoked.has(host) || !members.has(host)) return []
      const state = audit.holders.get(host) ?? newHolder(host, now)
      audit.holders.set(host, state)
      // A clock that was set back does not stop audits.
      return now - state.triedAt >= this.#o.againMs || state.triedAt > now ? [state] : []
    })
  }

  /** What to ask each holder for; also counts what it has. */
  async #choose(
    { vault, signal }: Pass,
    due: readonly HolderState[],
    budget: number,
  ): Promise<Map<string, Share>> {
    const { pool, whereabouts, clock } = this.#c
    const isOwner = pool.vaults().get(toHex(vault)) === pool.self
    const shares = new Map<string, Share>()
    for (const state of due) {
      shares.set(state.host, { state, found: [], isCut: false, shards: 0 })
    }
    const foundMax = Math.ceil((budget * AUDIT_ROUND_MS) / (24 * HOUR_MS) / AUDIT_COST_BYTES) + 1
    for await (const stripe of whereabouts.stripes(vault)) {
      signal.throwIfAborted()
      const pack = toHex(stripe.pack)
      for (const place of stripe.places) {
        const share = shares.get(place.host)
        if (share === undefined) continue
        if (!isOwner && !this.#isMine(stripe, place.host)) continue
        share.shards++
        if (pack <= share.state.cursor) continue
        if (share.found.length >= foundMax) share.isCut = true
        else {
          const { index, refuted: isRefuted } = place
          share.found.push({ pack: stripe.pack, name: pack, index, isRefuted })
        }
      }
    }
    const now = clock.now()
    for (const share of shares.values()) {
      const { state, shards } = share
      state.shards = shards
      state.triedAt = now
      const sinceMs = state.answeredAt === undefined ? undefined : now - state.answeredAt
      const most = auditShare({ shards, sinceMs, bytesPerDay: budget })
      share.isCut ||= share.found.length > most
      share.found = share.found.slice(0, most)
    }
    return shares
  }

  /** Whether it is this host's turn to audit that place: first in order of the live holders. */
  #isMine(stripe: StripeView, audited: string): boolean {
    const { liveness, pool } = this.#c
    const revoked = pool.revoked()
    const live = stripe.places
      .map(({ host }) => host)
      .filter((host) => !revoked.has(host) && liveness.stateOf(host) === 'online')
    return auditorOf(stripe.pack, live, audited) === pool.self
  }

  async #auditHolder(pass: Pass, share: Share): Promise<void> {
    const { state, found } = share
    for (let at = 0; at < found.length; at += AUDIT_CHALLENGES_MAX) {
      pass.signal.throwIfAborted()
      const batch = found.slice(at, at + AUDIT_CHALLENGES_MAX)
      const answered = await this.#askBatch(pass, state, batch)
      if (answered) {
        state.answeredAt = this.#c.clock.now()
        state.wasLate = false
      } else if (state.wasLate) {
        // Twice no answer for the same shards: on to the others, which may answer.
        state.skipped = true
        state.wasLate = false
      } else {
        state.wasLate = true
        return
      }
      state.cursor = defined(batch.at(-1), 'the last of a batch').name
      if (!answered) return
    }
    if (share.isCut) return
    if (!state.skipped) state.coveredSince = state.roundSince
    state.roundSince = this.#c.clock.now()
    state.cursor = ''
    state.skipped = false
  }

  /** True when the holder answered, whatever it said. */
  async #askBatch(pass: Pass, state: HolderState, batch: readonly Due[]): Promise<boolean> {
    const challenges: AuditChallenge[] = []
    const asked: Due[] = []
    for (const due of batch) {
      const challenge = await this.#challenge(pass, due)
      if (challenge === undefined) continue
      challenges.push(challenge)
      asked.push(due)
    }
    if (challenges.length === 0) return true
    const { clock, random } = this.#c
    const sentAt = clock.monotonic()
    const answers = await this.#audit(pass, state.host, challenges)
    const isSample = (random.bytes(1)[0] as number) % PROXY_SAMPLE === 0
    const proxied =
      answers !== undefined && isSample
        ? await this.#proxied(pass, { host: state.host, challenges, answers, sentAt })
        : undefined
    const results = asked.map(
      (due, i) =>
        ({
          ...due,
          result: challenges[i] === proxied ? 'proxied' : (answers?.[i]?.result ?? 'late'),
        }) as const,
    )
    await pass.verdicts.note(state, results)
    return answers !== undefined
  }

  /** Undefined when the stripe's descriptor cannot be had now. */
  async #challenge(pass: Pass, due: Due): Promise<AuditChallenge | undefined> {
    try {
      const { stripe } = await this.#c.whereabouts.descriptor(pass.vault, due.pack, pass.signal)
      const root = stripe.shardHashes[due.index]
      if (root === undefined) return undefined
      const { shardLength } = stripe
      const group = challengedGroup(this.#c.random.bytes(4), shardLength)
      return { pack: due.pack, index: due.index, group, root, shardLength }
    } catch (error) {
      pass.signal.throwIfAborted()
      if (!isMoyaiError(error)) throw error
      return undefined
    }
  }

  /** Undefined when there was no answer. */
  async #audit(
    pass: Pass,
    host: string,
    challenges: readonly AuditChallenge[],
  ): Promise<AuditAnswer[] | undefined> {
    const { network, random, clock } = this.#c
    const nonce = random.bytes(AUDIT_NONCE_BYTES)
    const done = new AbortController()
    const signal = AbortSignal.any([pass.signal, done.signal])
    const late = clock.sleep(ANSWER_MS_MAX, signal).then(
      () => done.abort(ENOUGH),
      () => undefined,
    )
    try {
      const { vault } = pass
      return await network.shards(host).audit({ vault, challenges, nonce, signal })
    } catch (error) {
      pass.signal.throwIfAborted()
      if (!isMoyaiError(error)) throw error
      // Busy, off, its disk not mounted, another version: no answer says nothing of its shards.
      return undefined
    } finally {
      done.abort(ENOUGH)
      await late
    }
  }

  /**
   * Asks fellow holders of one of the proved shards for the same group of theirs: the challenge for
   * which `host` fetched that from them after it was asked.
   */
  async #proxied(
    pass: Pass,
    o: {
      host: string
      challenges: readonly AuditChallenge[]
      answers: readonly AuditAnswer[]
      sentAt: number
    },
  ): Promise<AuditChallenge | undefined> {
    const { whereabouts, network, clock, hasClaim, pool } = this.#c
    const at = o.answers.findIndex(({ result }) => result === 'proved')
    const challenge = o.challenges[at]
    if (challenge === undefined) return undefined
    const { pack, group, shardLength } = challenge
    if (hasClaim?.(o.host, pass.vault, pack) === true) return undefined
    const stripe = await whereabouts.stripe(pass.vault, pack)
    const descriptor = await this.#challenge(pass, { pack, name: '', index: 0, isRefuted: false })
    if (stripe === undefined || descriptor === undefined) return undefined
    const { stripe: signed } = await whereabouts.descriptor(pass.vault, pack, pass.signal)
    const fellows = stripe.places
      .filter(({ host }) => host !== o.host && host !== pool.self && network.isConnected(host))
      .slice(0, FELLOWS_MAX)
    for (const { host, index } of fellows) {
      const root = signed.shardHashes[index]
      if (root === undefined) continue
      const answers = await this.#audit(pass, host, [{ pack, index, group, root, shardLength }])
      const sinceMs = clock.monotonic() - o.sentAt
      const askers = answers?.[0]?.askers ?? []
      const isSeen = askers.some((asker) => asker.host === o.host && asker.agoMs <= sinceMs)
      if (isSeen && hasClaim?.(o.host, pass.vault, pack) !== true) return challenge
    }
    return undefined
  }

  async #publish({ vault, audit }: Pass): Promise<void> {
    const { pool, signer, clock, reports } = this.#c
    const id = pool.id()
    if (id === undefined) return
    const isOwner = pool.vaults().get(toHex(vault)) === pool.self
    const report = auditReport({ pool: id, vault, audit, isOwner, now: clock.now(), signer })
    await reports.add(report)
  }
}
