/** Hosts that were asked and did not answer: when each is to be asked again. */

/** The first wait; it doubles up to the last. */
const WAIT_MS = 15_000
const WAIT_MS_MAX = 3_600_000

/** See the head of this file. Times are monotonic, ms. */
export class SilentHosts {
  readonly #silent = new Map<string, { waits: number; at: number }>()

  failed(host: string, now: number): void {
    const before = this.#silent.get(host)?.waits
    const waits = before === undefined ? WAIT_MS : Math.min(WAIT_MS_MAX, 2 * before)
    this.#silent.set(host, { waits, at: now + waits })
  }

  answered(host: string): void {
    this.#silent.delete(host)
  }

  /** When the first of those that are connected is due; infinite when none is. */
  nextAt(isConnected: (host: string) => boolean): number {
    let next = Number.POSITIVE_INFINITY
    for (const [host, { at }] of this.#silent) if (isConnected(host)) next = Math.min(next, at)
    return next
  }

  /** Those that are due. */
  due(now: number): string[] {
    return [...this.#silent].flatMap(([host, { at }]) => (at <= now ? [host] : []))
  }
}
