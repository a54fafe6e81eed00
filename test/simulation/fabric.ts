/**
 * The network between simulated hosts: who is connected, who cannot answer, what gets lost, and how
 * long bytes take.
 *
 * A connection needs both directions, as TCP does. A link that carries one direction only is not
 * connected, or, for as long as nobody has noticed, connected and mute: requests time out.
 */

import { MoyaiError } from '@moyai/protocol'

import type { Dice } from './dice.ts'
import { SECOND_MS, type VirtualTime } from './time.ts'

/** How long a host waits for an answer that does not come. */
const TIMEOUT_MS: number = 30 * SECOND_MS
/** From the moment a host runs until its connections stand. */
const CONNECT_MS: number = 5 * SECOND_MS
/** Transfers that take less than this take no time at all: instants are what costs. */
const TRANSFER_MS_MIN: number = 500

export type Chaos = {
  /** Probability that a message or its answer is lost. */
  loss: number
  /** Probability that a message comes twice. */
  duplicate: number
  /** Probability that a message is late, and by how many seconds at most. */
  late: number
  lateSeconds: number
}

export const CALM: Chaos = { loss: 0, duplicate: 0, late: 0, lateSeconds: 0 }

type PeerListener = (host: string) => void

/** A host as the network sees it. */
export class Node {
  readonly id: string
  readonly number: number
  /** Bytes per second of its line, each way. */
  bytesPerSecond: number
  on = false
  /** Connections stand: some seconds after it began to run. */
  joined = false
  /** Counts how often it was switched off: what was under way then is lost. */
  life = 0
  /** Hosts of different parts do not see one another. */
  part = 0
  readonly peers = new Set<string>()
  readonly up = new Set<PeerListener>()
  readonly down = new Set<PeerListener>()
  /** When its line is free again, by direction. */
  sendsUntil = 0
  receivesUntil = 0
  sentBytes = 0
  receivedBytes = 0

  constructor(o: { id: string; number: number; bytesPerSecond: number }) {
    this.id = o.id
    this.number = o.number
    this.bytesPerSecond = o.bytesPerSecond
  }
}

export class Fabric {
  readonly nodes = new Map<string, Node>()
  chaos: Chaos = CALM
  /** Counts changes of who is connected. */
  version = 0
  readonly #time: VirtualTime
  readonly #dice: Dice
  /** `from to` of directions that carry nothing. */
  readonly #cut = new Set<string>()
  /** `from to` of directions that carry nothing, which nobody has noticed. */
  readonly #mute = new Set<string>()

  constructor(o: { time: VirtualTime; dice: Dice }) {
    this.#time = o.time
    this.#dice = o.dice
  }

  add(node: Node): void {
    this.nodes.set(node.id, node)
  }

  isConnected(a: string, b: string): boolean {
    return this.nodes.get(a)?.peers.has(b) ?? false
  }

  // ---- what happens to it -----------------------------------------------------------------------

  /** The host runs: some seconds later its connections stand. */
  switchOn(node: Node): void {
    node.on = true
    const { life } = node
    this.#time.after(CONNECT_MS, () => {
      if (!node.on || node.life !== life) return
      node.joined = true
      this.update(node)
    })
  }

  switchOff(node: Node): void {
    node.on = false
    node.joined = false
    node.life += 1
    this.update(node)
  }

  /** Splits the hosts: `part` of each, by its id. */
  partition(partOf: (id: string) => number): void {
    for (const node of this.nodes.values()) node.part = partOf(node.id)
    this.updateAll()
  }

  /** The direction carries nothing from now on. `unnoticed`: both still think they are connected. */
  cut(from: string, to: string, unnoticed: boolean): void {
    const name = `${from} ${to}`
    if (unnoticed) this.#mute.add(name)
    else this.#cut.add(name)
    this.#updatePair(from, to)
  }

  mend(from: string, to: string): void {
    this.#mute.delete(`${from} ${to}`)
    this.#cut.delete(`${from} ${to}`)
    this.#updatePair(from, to)
  }

  /** Everything is whole, at once. */
  mendAll(): void {
    this.#mute.clear()
    this.#cut.clear()
    this.chaos = CALM
    this.partition(() => 0)
  }

  updateAll(): void {
    const all = [...this.nodes.values()]
    for (const [i, a] of all.entries()) for (const b of all.slice(i + 1)) this.#decide(a, b)
  }

  update(node: Node): void {
    for (const other of this.nodes.values()) if (other !== node) this.#decide(node, other)
  }

  #updatePair(a: string, b: string): void {
    const [one, other] = [this.nodes.get(a), this.nodes.get(b)]
    if (one !== undefined && other !== undefined) this.#decide(one, other)
  }

  #decide(a: Node, b: Node): void {
    const reaches =
      a.joined &&
      b.joined &&
      a.part === b.part &&
      (this.#cut.size === 0 ||
        (!this.#cut.has(`${a.id} ${b.id}`) && !this.#cut.has(`${b.id} ${a.id}`)))
    if (reaches === a.peers.has(b.id)) return
    this.version += 1
    if (reaches) {
      a.peers.add(b.id)
      b.peers.add(a.id)
      for (const listener of a.up) listener(b.id)
      for (const listener of b.up) listener(a.id)
    } else {
      a.peers.delete(b.id)
      b.peers.delete(a.id)
      if (a.on) for (const listener of a.down) listener(b.id)
      if (b.on) for (const listener of b.down) listener(a.id)
    }
  }

  // ---- messages and bytes -----------------------------------------------------------------------

  /**
   * Runs `answer` as the peer's answer to a request. HOST_UNREACHABLE, TIMED_OUT, ABORTED, and what
   * `answer` throws.
   */
  async call<T>(from: Node, to: Node, answer: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.#reach(from, to)
    const lives = from.life + to.life
    if (this.#isSwallowed(from, to)) {
      await this.wait(TIMEOUT_MS, signal)
      throw new MoyaiError('TIMED_OUT', 'no answer in 30 seconds')
    }
    await this.#delay(signal)
    if (signal?.aborted === true) throw abortOf(signal)
    this.#sameLives(from, to, lives)
    const result = await answer()
    this.#sameLives(from, to, lives)
    return result
  }

  /** Carries a message that nobody answers: it may be lost, late, or come twice. */
  tell(from: Node, to: Node, hear: () => void): void {
    this.#reach(from, to)
    const lives = from.life + to.life
    const times = this.#dice.chance(this.chaos.duplicate) ? 2 : 1
    for (let i = 0; i < times; i++) {
      if (this.#isSwallowed(from, to)) continue
      const late = this.#lateness()
      const deliver = (): void => {
        if (from.life + to.life === lives && from.peers.has(to.id)) hear()
      }
      if (late === 0) deliver()
      else this.#time.after(late, deliver)
    }
  }

  /** Moves `bytes` over the lines of both, after what they carry already. */
  async transfer(from: Node, to: Node, bytes: number, signal?: AbortSignal): Promise<void> {
    this.#reach(from, to)
    const lives = from.life + to.life
    const { now } = this.#time
    const takes = (bytes / Math.min(from.bytesPerSecond, to.bytesPerSecond)) * 1000
    const ends = Math.max(now, from.sendsUntil, to.receivesUntil) + takes
    from.sendsUntil = ends
    to.receivesUntil = ends
    from.sentBytes += bytes
    to.receivedBytes += bytes
    if (ends - now >= TRANSFER_MS_MIN) await this.wait(ends - now, signal)
    this.#sameLives(from, to, lives)
  }

  /** Waits; ABORTED when the signal says so. */
  wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(abortOf(signal))
        return
      }
      const onAbort = (): void => {
        cancel()
        reject(abortOf(signal as AbortSignal))
      }
      const cancel = this.#time.after(milliseconds, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  #reach(from: Node, to: Node): void {
    if (!from.peers.has(to.id)) throw unreachable()
  }

  #sameLives(from: Node, to: Node, lives: number): void {
    if (from.life + to.life !== lives || !from.peers.has(to.id)) throw unreachable()
  }

  #isSwallowed(from: Node, to: Node): boolean {
    const mute =
      this.#mute.size > 0 &&
      (this.#mute.has(`${from.id} ${to.id}`) || this.#mute.has(`${to.id} ${from.id}`))
    return mute || (this.chaos.loss > 0 && this.#dice.chance(this.chaos.loss))
  }

  #lateness(): number {
    const { late, lateSeconds } = this.chaos
    if (late === 0 || !this.#dice.chance(late)) return 0
    return this.#dice.int(1, lateSeconds) * SECOND_MS
  }

  async #delay(signal: AbortSignal | undefined): Promise<void> {
    const late = this.#lateness()
    if (late > 0) await this.wait(late, signal)
  }
}

function unreachable(): MoyaiError {
  return new MoyaiError('HOST_UNREACHABLE', 'the host is not connected')
}

function abortOf(signal: AbortSignal): MoyaiError {
  return signal.reason instanceof MoyaiError
    ? signal.reason
    : new MoyaiError('ABORTED', 'the request was given up', { cause: signal.reason })
}
