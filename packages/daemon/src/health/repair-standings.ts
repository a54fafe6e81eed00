/** What each host's shards are worth at present (spec/repair.md §1). */

import { hostStanding, isLossAgreed } from '@moyai/protocol'
import type { Clock, HostStanding } from '@moyai/protocol'

import type { HealthNetwork, HealthPool, LivenessView, TrustView } from './ports.ts'

/** Hosts asked whether they agree that one is lost; each at most so often. */
const WITNESSES_MAX = 8
export const WITNESS_MS: number = 15 * 60 * 1000

export type StandingComponents = {
  pool: HealthPool
  network: HealthNetwork
  liveness: LivenessView
  trust: TrustView
  clock: Clock
}

/** See the head of this file. What is not asked again within a turn does not change within it. */
export class HostStandings {
  readonly #c: StandingComponents
  readonly #standings = new Map<string, HostStanding>()
  readonly #presumedLost = new Set<string>()
  readonly #backSince = new Map<string, number>()
  /** What others presume lost, and when they said so. */
  readonly #witnesses = new Map<string, { at: number; lost: ReadonlySet<string> }>()
  #isDisputed = false

  constructor(components: StandingComponents) {
    this.#c = components
  }

  /** Hosts that are not certified are `gone`. */
  of(host: string): HostStanding {
    return this.#standings.get(host) ?? 'gone'
  }

  has(host: string): boolean {
    return this.#standings.has(host)
  }

  /** Since when a host that was presumed lost is back, as far as this run of the daemon knows. */
  backSince(host: string): number | undefined {
    return this.#backSince.get(host)
  }

  /** Some host is presumed lost by this one alone: to be asked about again. */
  get isDisputed(): boolean {
    return this.#isDisputed
  }

  /** Reads all states again; whether some standing is another now. */
  async update(signal: AbortSignal): Promise<boolean> {
    const { pool, liveness, trust, clock } = this.#c
    const retiring = pool.retiring()
    const revoked = pool.revoked()
    const ids = new Set(pool.hosts().map(({ id }) => id))
    this.#isDisputed = false
    let changed = false
    for (const id of ids) {
      const state = liveness.stateOf(id)
      if (state === 'presumed-lost') this.#presumedLost.add(id)
      else if (this.#presumedLost.delete(id)) this.#backSince.set(id, clock.now())
      const agreed = state === 'presumed-lost' && (await this.#isAgreed(id, signal))
      if (state === 'presumed-lost' && !agreed) this.#isDisputed = true
      // held back by the rules for whole domains: not lost, and not to be relied on
      const isHeldBack = state !== 'online' && liveness.wouldBeLost?.(id) === true
      const standing = hostStanding({
        member: !revoked.has(id),
        state: isHeldBack && state !== 'presumed-lost' ? 'suspect' : state,
        agreed,
        retiring: retiring.has(id),
        trusted: trust.isTrusted(id),
      })
      if (this.#standings.get(id) === standing) continue
      this.#standings.set(id, standing)
      changed = true
    }
    for (const id of this.#standings.keys()) {
      if (ids.has(id)) continue
      this.#standings.delete(id)
      changed = true
    }
    return changed
  }

  async #isAgreed(lost: string, signal: AbortSignal): Promise<boolean> {
    const { network, clock, pool } = this.#c
    const others = network.connected().filter((host) => host !== lost && host !== pool.self)
    for (const host of others.slice(0, WITNESSES_MAX)) {
      const before = this.#witnesses.get(host)
      if (before !== undefined && clock.now() - before.at < WITNESS_MS) continue
      try {
        const { presumedLost } = await network.ask(host, signal)
        this.#witnesses.set(host, { at: clock.now(), lost: new Set(presumedLost) })
      } catch {
        signal.throwIfAborted() // another may answer
      }
    }
    const said = [...this.#witnesses]
      .filter(([host, { at }]) => host !== lost && clock.now() - at < 2 * WITNESS_MS)
      .map(([, witness]) => witness.lost)
    return isLossAgreed({ host: lost, connected: others.length, presumedLost: said })
  }
}
