/** Where shards go when a host may have several of one stripe. */

/**
 * The running host with the fewest shards of a stripe, `more` of which are on their way; −1 when
 * none runs. Even over hosts first, then over places, then over all that hosts hold (`load`). `held`
 * and `stale` are the stripe's shards per host, and those on machines that are no more.
 */
export function lightestHost(o: {
  places: readonly number[]
  up: Uint8Array
  stale: Uint8Array
  held: Uint8Array
  more: Uint8Array
  load: Int32Array
}): number {
  const countOf = (host: number): number => (o.held[host] as number) + (o.more[host] as number)
  const inPlace: number[] = []
  for (const [host, place] of o.places.entries()) {
    inPlace[place] = (inPlace[place] ?? 0) + countOf(host)
  }
  let best = -1
  let lowest = Number.POSITIVE_INFINITY
  for (const [host, place] of o.places.entries()) {
    if (o.up[host] === 0 || o.stale[host] !== 0) continue
    // Each weighs more than all that the next one can add up to.
    const weight = 1e6 * countOf(host) + 1e3 * (inPlace[place] ?? 0) + (o.load[host] as number)
    if (weight < lowest) {
      best = host
      lowest = weight
    }
  }
  return best
}
