/** One row of the micro measurements: several ways to do the same work on the same bytes. */

/** Measured in turns of this length, of which there are ROUNDS. */
const TURN_MS = 40
const ROUNDS = 5

/** A way to do the work. */
export type Contender = {
  name: string
  /** MB (10^6 bytes) of input per second of CPU, over at least `milliseconds` of work. */
  rate(milliseconds: number): number
}

export const NOT_INSTALLED = 'not installed'

/** What `--json` prints an array of. */
export type Row = {
  row: string
  metric: 'MB/s'
  moyai: number
  peers: Record<string, number | typeof NOT_INSTALLED>
  /** Moyai's rate by each peer's. */
  ratios: Record<string, number>
  /** The least ratio to a peer that the project aims at. */
  target?: Record<string, number>
}

/** A contender in this thread; `run` reads `bytes` bytes of input. */
export function inThread(name: string, bytes: number, run: () => void): Contender {
  return {
    name,
    rate(milliseconds) {
      const began = process.threadCpuUsage()
      let runs = 0
      for (;;) {
        run()
        runs++
        const { user, system } = process.threadCpuUsage(began)
        const microseconds = user + system
        if (microseconds >= milliseconds * 1000) return (runs * bytes) / microseconds
      }
    },
  }
}

/**
 * Lets all take turns, so that whatever else the machine does meets all of them, and compares the
 * medians. A missing peer is a name instead of a contender.
 */
export function contest(o: {
  row: string
  moyai: Contender
  peers: readonly (Contender | string)[]
  target?: Record<string, number>
}): Row {
  const installed = o.peers.filter((peer) => typeof peer !== 'string')
  const contenders = [o.moyai, ...installed]
  const rates = contenders.map((): number[] => [])
  // the first turn is for the compilers
  for (let round = -1; round < ROUNDS; round++) {
    for (const [i, contender] of contenders.entries()) {
      const rate = contender.rate(TURN_MS)
      if (round >= 0) rates[i]?.push(rate)
    }
  }
  const [moyai = 0, ...others] = rates.map((all) => median(all))
  const peers: Row['peers'] = {}
  const ratios: Row['ratios'] = {}
  for (const peer of o.peers) {
    if (typeof peer === 'string') {
      peers[peer] = NOT_INSTALLED
      continue
    }
    const rate = others[installed.indexOf(peer)] as number
    peers[peer.name] = Math.round(rate)
    ratios[peer.name] = Number((moyai / rate).toFixed(2))
  }
  const target = o.target === undefined ? {} : { target: o.target }
  return { row: o.row, metric: 'MB/s', moyai: Math.round(moyai), peers, ratios, ...target }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] as number
}

/** Bytes without redundancy, the same at every run. */
export function noise(length: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4))
  let state = seed
  for (let i = 0; i < words.length; i++) {
    // xorshift32
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[i] = state
  }
  return new Uint8Array(words.buffer, 0, length)
}

/** Something like source text: words of a small vocabulary. */
export function textLike(length: number): Uint8Array {
  const choices = noise(length)
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) {
    const word = choices[i >> 3] as number
    bytes[i] = (i & 7) === (word & 7) ? 32 : 97 + ((word * ((i & 7) + 3)) % 25)
  }
  return bytes
}
