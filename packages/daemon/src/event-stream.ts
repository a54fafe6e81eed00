/**
 * From a service that calls back to the generator that the control server wants: events in order,
 * bounded, then the result. A client that reads slowly loses old progress, never an error or a
 * problem.
 */

/** Progress that a slow reader has not taken yet; one line each. */
const EVENTS_WAITING_MAX = 1000

type Progress = { message_type: string }

/** Runs `work`, yielding what it tells `emit`, and returns what it resolves with. */
export async function* eventStream<E extends Progress, R>(
  work: (emit: (event: E) => void) => Promise<R>,
): AsyncGenerator<E, R, void> {
  const waiting: E[] = []
  let wake: (() => void) | undefined
  const emit = (event: E): void => {
    // The newest progress says all that older progress said.
    const last = waiting.at(-1)
    if (event.message_type === 'status' && last?.message_type === 'status') waiting.pop()
    if (waiting.length >= EVENTS_WAITING_MAX && event.message_type === 'status') return
    waiting.push(event)
    wake?.()
  }
  const running = { done: false }
  const result = work(emit).finally(() => {
    running.done = true
    wake?.()
  })
  // The outcome is awaited below; until then a rejection has a listener all the same.
  result.catch(() => undefined)
  for (;;) {
    for (let event = waiting.shift(); event !== undefined; event = waiting.shift()) yield event
    if (running.done) return await result
    const { promise, resolve } = Promise.withResolvers<void>()
    wake = resolve
    if (waiting.length === 0 && !running.done) await promise
    wake = undefined
  }
}
