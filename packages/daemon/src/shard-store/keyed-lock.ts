/** One at a time per key, in the order of the calls. */

export class KeyedLock {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Runs `run` after all earlier runs of the same key have ended, however they ended. */
  async run<T>(key: string, run: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve()
    const mine = before.then(run, run)
    this.#last.set(key, mine)
    try {
      return await mine
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key)
    }
  }
}
