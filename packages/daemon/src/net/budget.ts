/**
 * A budget of bytes shared by many receivers: the bound on what all peers together can make this
 * process buffer.
 */

import { assert, MoyaiError } from '@moyai/protocol'

type Waiter = {
  owner: string
  bytes: number
  granted: PromiseWithResolvers<void>
}

/**
 * Hands out up to `bytesMax` bytes, and up to `bytesMaxPerOwner` to one owner. Requests that do not
 * fit wait in order of arrival; one whose owner is at its own bound does not hold up the others.
 */
export class ByteBudget {
  readonly bytesMax: number
  readonly bytesMaxPerOwner: number
  readonly #waiters: Waiter[] = []
  readonly #byOwner = new Map<string, number>()
  #usedBytes = 0

  constructor(options: { bytesMax: number; bytesMaxPerOwner?: number }) {
    this.bytesMax = options.bytesMax
    this.bytesMaxPerOwner = options.bytesMaxPerOwner ?? options.bytesMax
    assert(this.bytesMaxPerOwner <= this.bytesMax, 'an owner has a part of the budget')
  }

  /** Bytes handed out at the moment. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Requests that wait. */
  get waitingCount(): number {
    return this.#waiters.length
  }

  /**
   * Takes `bytes` for `owner`, waiting for others to release theirs. ABORTED when `signal` aborts
   * first; then nothing was taken. Whoever resolved must `release` the same number.
   */
  async acquire(owner: string, bytes: number, signal: AbortSignal): Promise<void> {
    assert(bytes > 0 && bytes <= this.bytesMaxPerOwner, 'a request fits the budget')
    if (signal.aborted) throw new MoyaiError('ABORTED', 'no longer wanted')
    if (this.#waiters.length === 0 && this.#fits(owner, bytes)) return this.#take(owner, bytes)
    const waiter: Waiter = { owner, bytes, granted: Promise.withResolvers<void>() }
    const give = (): void => {
      const at = this.#waiters.indexOf(waiter)
      if (at < 0) return
      this.#waiters.splice(at, 1)
      waiter.granted.reject(new MoyaiError('ABORTED', 'no longer wanted'))
      this.#serve()
    }
    signal.addEventListener('abort', give, { once: true })
    this.#waiters.push(waiter)
    this.#serve()
    try {
      await waiter.granted.promise
    } finally {
      signal.removeEventListener('abort', give)
    }
  }

  /** Gives back `bytes` of what `owner` has. */
  release(owner: string, bytes: number): void {
    const owned = this.#byOwner.get(owner) ?? 0
    assert(bytes >= 0 && bytes <= owned, 'nobody releases more than they took')
    if (owned === bytes) this.#byOwner.delete(owner)
    else this.#byOwner.set(owner, owned - bytes)
    this.#usedBytes -= bytes
    this.#serve()
  }

  #fits(owner: string, bytes: number): boolean {
    const owned = this.#byOwner.get(owner) ?? 0
    return this.#usedBytes + bytes <= this.bytesMax && owned + bytes <= this.bytesMaxPerOwner
  }

  #take(owner: string, bytes: number): void {
    this.#usedBytes += bytes
    this.#byOwner.set(owner, (this.#byOwner.get(owner) ?? 0) + bytes)
  }

  #serve(): void {
    for (let at = 0; at < this.#waiters.length;) {
      const waiter = this.#waiters[at] as Waiter
      if (this.#fits(waiter.owner, waiter.bytes)) {
        this.#waiters.splice(at, 1)
        this.#take(waiter.owner, waiter.bytes)
        waiter.granted.resolve()
      } else if (this.#usedBytes + waiter.bytes > this.bytesMax) {
        // Strictly in order when the whole budget is short, or large requests would starve.
        return
      } else at += 1
    }
  }
}
