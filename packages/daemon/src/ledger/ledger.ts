/**
 * Give and take: what the hosts of the pool have room for, what each keeps for this one, and the
 * quota that this host keeps for the vaults of others (spec/quota.md).
 */

import {
  decodeLedgerRequest,
  decodeLedgerResponse,
  encodeLedgerRequest,
  encodeLedgerResponse,
  LEDGER_BYTES_MAX,
  quotaBytes,
  toHex,
  toMoyaiError,
} from '@moyai/protocol'
import type { Clock, HostStatus, LedgerResponse, PoolState } from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import type { Network } from '../net/index.ts'
import type { ShardStore, VaultQuota } from '../shard-store/index.ts'
import { Turns } from '../turns.ts'

const LEDGER_PROTOCOL = '/moyai/ledger/1'
/** Hosts are asked in turns: in a small pool all each time, in one of forty within 5 min. */
const ASK_INTERVAL_MS = 60 * 1000
const ASKED_PER_TURN = 8
const ANSWER_MS_MAX = 10_000

/** What a host said, and when: `at` ms since the epoch by this host's clock. */
export type LedgerEntry = LedgerResponse & { at: number }

export type LedgerComponents = {
  network: Pick<Network, 'registerProtocol' | 'request' | 'peers' | 'on'>
  shards: Pick<ShardStore, 'usedBytes' | 'freeBytes'>
  /** Undefined while this host is in no pool. */
  pool: () => PoolState | undefined
  clock: Clock
  logger: Logger
}

/** See the head of this file. `start` and `stop` are for asking others; answering works at once. */
export class Ledger {
  readonly #self: string
  readonly #components: LedgerComponents
  readonly #entries = new Map<string, LedgerEntry>()
  readonly #asking = new Set<string>()
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined
  #unlisten: (() => void) | undefined

  /** `self`: id of this host, hex. */
  constructor(self: string, components: LedgerComponents) {
    this.#self = self
    this.#components = components
    components.network.registerProtocol(
      LEDGER_PROTOCOL,
      ({ host, bytes }) => this.#answer(host, bytes),
      { requestBytesMax: LEDGER_BYTES_MAX, responseBytesMax: LEDGER_BYTES_MAX },
    )
  }

  /** What `host` (hex) said last; undefined before it did. */
  of(host: string): LedgerEntry | undefined {
    return this.#entries.get(host)
  }

  start(): void {
    const { network } = this.#components
    this.#unlisten = network.on('peer:up', (host) => void this.#ask(host))
    this.#running = this.#askForEver()
  }

  async stop(): Promise<void> {
    this.#unlisten?.()
    this.#stop.abort()
    await this.#running
  }

  /**
   * Asks every connected host whose answer is older than `ageMs`; resolves when all have answered or
   * failed, after `patienceMs` at the latest.
   */
  async refresh(ageMs: number, patienceMs: number = ANSWER_MS_MAX): Promise<void> {
    const { network, clock } = this.#components
    const old = clock.now() - ageMs
    const hosts = network
      .peers()
      .filter(({ host, connected }) => connected && (this.of(host)?.at ?? -1) <= old)
    const done = new AbortController()
    const all = Promise.all(hosts.map(({ host }) => this.#ask(host))).finally(() => done.abort())
    await Promise.race([all, clock.sleep(patienceMs, done.signal).catch(() => undefined)])
  }

  /** Bytes that this host keeps for the organisation of `host` (hex). */
  async keptFor(host: string): Promise<number> {
    const { shards } = this.#components
    let sum = 0
    for (const vault of this.#vaultsOf(host)) sum += await shards.usedBytes(vault)
    return sum
  }

  async #askForEver(): Promise<void> {
    const { clock, network } = this.#components
    const turns = new Turns(ASKED_PER_TURN)
    while (!this.#stop.signal.aborted) {
      await Promise.all(turns.next(network.peers()).map((host) => this.#ask(host)))
      await clock.sleep(ASK_INTERVAL_MS, this.#stop.signal).catch(() => undefined)
    }
  }

  async #ask(host: string): Promise<void> {
    if (this.#asking.has(host)) return
    this.#asking.add(host)
    const { network, clock, logger } = this.#components
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ANSWER_MS_MAX)])
    try {
      const request = encodeLedgerRequest()
      const answer = await network.request(host, LEDGER_PROTOCOL, request, { signal })
      const response = decodeLedgerResponse(answer)
      this.#entries.set(host, { ...response, at: clock.now() })
    } catch (error) {
      // it is asked again at the next turn; what it said before is still the best there is
      if (!this.#stop.signal.aborted) {
        logger.debug({ host, error: toMoyaiError(error).message }, 'no answer about its space')
      }
    } finally {
      this.#asking.delete(host)
    }
  }

  async #answer(host: string, bytes: Uint8Array): Promise<Uint8Array> {
    decodeLedgerRequest(bytes)
    const { shards, pool, clock } = this.#components
    const offered = pool()?.hosts.get(this.#self)?.offeredBytes ?? 0
    const quota = quotaFor(pool(), this.#self, host)
    return encodeLedgerResponse({
      offered,
      used: await shards.usedBytes(),
      free: await shards.freeBytes(),
      kept: await this.keptFor(host),
      ...(quota === undefined ? {} : { quota }),
      now: clock.now(),
    })
  }

  #vaultsOf(host: string): Uint8Array[] {
    const state = this.#components.pool()
    const org = state?.hosts.get(host)?.org
    return state === undefined || org === undefined ? [] : vaultsOf(state, toHex(org))
  }
}

/** What the vault (hex) may take at the host `self`; undefined where nothing but room bounds it. */
export function vaultQuota(
  state: PoolState | undefined,
  self: string,
  vault: string,
): VaultQuota | undefined {
  for (const [id, host] of state?.hosts ?? []) {
    if (toHex(host.vault) !== vault) continue
    const bytes = quotaFor(state, self, id)
    if (state === undefined || bytes === undefined) return undefined
    return { vaults: vaultsOf(state, toHex(host.org)), bytes }
  }
  return undefined
}

/** As `quotaBytes`, for the organisation of `host` at `self`. */
function quotaFor(state: PoolState | undefined, self: string, host: string): number | undefined {
  const org = state?.hosts.get(host)?.org
  if (state === undefined || org === undefined || !state.hosts.has(self)) return undefined
  const hosts = Array.from(state.hosts, ([id, one]) => ({
    id,
    org: toHex(one.org),
    offered: one.offeredBytes,
  }))
  return quotaBytes({ hosts, holder: self, org: toHex(org) })
}

function vaultsOf(state: PoolState, org: string): Uint8Array[] {
  return [...state.hosts.values()]
    .filter((host) => toHex(host.org) === org)
    .map(({ vault }) => vault)
}

/** `hosts` with what each has room for, keeps for us, and is kept for here. */
export async function withLedger(
  hosts: readonly HostStatus[],
  ledger: Pick<Ledger, 'of' | 'keptFor'>,
): Promise<HostStatus[]> {
  return Promise.all(
    hosts.map(async (host) => {
      if (host.state === 'self') return host
      const entry = ledger.of(host.id)
      return {
        ...host,
        used: host.used ?? entry?.kept ?? null,
        free: entry?.free ?? null,
        quota: entry?.quota ?? null,
        kept: await ledger.keptFor(host.id),
      }
    }),
  )
}
