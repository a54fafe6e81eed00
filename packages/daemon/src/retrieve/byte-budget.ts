/** A counting semaphore in bytes: what is in flight stays below a constant. */

import { MoyaiError } from '@moyai/protocol'

/** See the head of this file. First come, first served. */
export class ByteBudget {
  readonly #limit: number
  #used = 0
  readonly #queue: { bytes: number; resolve: () => void; reject: (error: unknown) => void }[] = []

  constructor(limit: number) {
    this.#limit = limit
  }

  /**
   * Waits until `bytes` fit; more than the whole limit is let through alone. ABORTED by the signal.
   */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#queue.length === 0 && this.#fits(bytes)) {
      this.#used += bytes
      return
    }
    await new Promise<void>((resolve, reject) => {
      const entry = { bytes, resolve, reject }
      const onAbort = (): void => {
        const at = this.#queue.indexOf(entry)
        if (at >= 0) this.#queue.splice(at, 1)
        reject(signal.reason ?? new MoyaiError('ABORTED', 'interrupted'))
        this.#next()
      }
      entry.resolve = () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#queue.push(entry)
    })
  }

  give(bytes: number): void {
    this.#used -= bytes
    this.#next()
  }

  #fits(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.#limit
  }

  #next(): void {
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      if (!this.#fits(first.bytes)) return
      this.#queue.shift()
      this.#used += first.bytes
      first.resolve()
    }
  }
}
