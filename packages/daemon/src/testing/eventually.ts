/** Waiting in tests: for a condition, never for a time. */

import { setTimeout as delay } from 'node:timers/promises'

const POLL_MS = 5

/**
 * Resolves with the first value of `condition` that is neither false nor undefined; rejects, naming
 * `what`, when there was none within `deadlineMs`.
 */
export async function eventually<T>(
  what: string,
  condition: () => T | false | undefined | Promise<T | false | undefined>,
  deadlineMs = 30_000,
): Promise<T> {
  const start = performance.now()
  for (;;) {
    const value = await condition()
    if (value !== false && value !== undefined) return value
    if (performance.now() - start > deadlineMs) throw new Error(`never happened: ${what}`)
    await delay(POLL_MS)
  }
}
