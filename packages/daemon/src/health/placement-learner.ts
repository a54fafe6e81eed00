/**
 * The owner learns where its shards are now: what others repaired while it was away is taken over
 * into its index, so that it reads from there, and places nothing a second time.
 *
 * A record is only replaced, never removed: the host that had the shard may be back one day. The
 * new holder signs for it first.
 */

import { MoyaiError, openStripe, toHex, toMoyaiError, type Clock } from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import type { HolderRecord, VaultIndex } from '../store/index.ts'
import { checkReceipt } from '../store/sender.ts'
import type { HealthNetwork, HealthPool, StripeView, Whereabouts } from './ports.ts'

/** Changes of places within this are looked at together, ms. */
const GATHER_MS = 5_000

export type PlacementLearnerComponents = {
  vault: Uint8Array
  index: Pick<VaultIndex, 'stripe' | 'holders' | 'addHolder'>
  whereabouts: Whereabouts
  network: HealthNetwork
  pool: HealthPool
  clock: Clock
  logger: Logger
}

export class PlacementLearner {
  readonly #c: PlacementLearnerComponents
  readonly #stop = new AbortController()
  #unlisten: () => void = () => undefined
  #isDue = true
  /** The last turn found a holder that was not there to sign. */
  #isLeft = false
  #wake: () => void = () => undefined
  #running: Promise<void> | undefined

  constructor(components: PlacementLearnerComponents) {
    this.#c = components
  }

  start(): void {
    const { whereabouts, network, vault } = this.#c
    const own = toHex(vault)
    const due = (): void => {
      this.#isDue = true
      this.#wake()
    }
    const ends = [
      whereabouts.onChange((changed) => (changed === own ? due() : undefined)),
      network.on('peer:up', () => (this.#isLeft ? due() : undefined)),
    ]
    this.#unlisten = () => ends.forEach((end) => end())
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#unlisten()
    this.#stop.abort(new MoyaiError('ABORTED', 'the daemon is stopping'))
    this.#wake()
    await this.#running
  }

  /** Looks once at all stripes of the vault; how many records were replaced. */
  async turn(signal: AbortSignal): Promise<number> {
    const { vault, whereabouts, logger } = this.#c
    this.#isLeft = false
    let learned = 0
    for await (const view of whereabouts.stripes(vault)) {
      signal.throwIfAborted()
      learned += await this.#learn(view, signal)
    }
    if (learned > 0) logger.info({ shards: learned }, 'learned where shards are now')
    return learned
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#c
    const { signal } = this.#stop
    while (!signal.aborted) {
      await clock.sleep(GATHER_MS, signal).catch(() => undefined)
      if (this.#isDue && !signal.aborted) {
        this.#isDue = false
        try {
          await this.turn(signal)
        } catch (error) {
          if (!signal.aborted) {
            logger.warn({ error: toMoyaiError(error).message }, 'placement not learned')
          }
        }
      }
      if (this.#isDue || signal.aborted) continue
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  async #learn(view: StripeView, signal: AbortSignal): Promise<number> {
    const { index } = this.#c
    const { pack, places, code } = view
    const recorded = new Map((await index.holders(pack)).map((one) => [one.index, one.host]))
    let learned = 0
    for (let at = 0; at < code.k + code.m; at++) {
      const there = places.filter((place) => place.index === at && !place.refuted)
      const host = recorded.get(at)
      if (there.length === 0 || there.some((place) => place.host === host)) continue
      for (const place of there) {
        const holder = await this.#signed(view, { at, host: place.host, signal })
        if (holder === undefined) continue
        await index.addHolder(pack, holder)
        learned++
        break
      }
    }
    return learned
  }

  /** The holder's receipt for a shard it lists; undefined when it cannot be had now. */
  async #signed(
    { pack }: StripeView,
    o: { at: number; host: string; signal: AbortSignal },
  ): Promise<HolderRecord | undefined> {
    const { index, network, pool, logger } = this.#c
    const record = await index.stripe(pack)
    if (record === undefined || o.host === pool.self) return undefined
    if (!network.isConnected(o.host)) {
      this.#isLeft = true
      return undefined
    }
    const { envelope } = record
    try {
      const shards = network.shards(o.host)
      const put = { envelope, index: o.at, payload: notHere, signal: o.signal }
      const { receipt } = await shards.put(put)
      checkReceipt(receipt, { descriptor: openStripe(envelope), index: o.at, host: o.host })
      return { index: o.at, host: o.host, receipt }
    } catch (error) {
      o.signal.throwIfAborted()
      logger.debug({ host: o.host, error: toMoyaiError(error).message }, 'no receipt')
      return undefined
    }
  }
}

/** It is not sent: the host lists the shard, and signs for it without. */
async function* notHere(): AsyncGenerator<Uint8Array> {
  yield* []
  throw new MoyaiError('NOT_FOUND', 'the shard is not here either')
}
