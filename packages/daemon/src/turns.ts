/** Asking many hosts a few at a time: what an idle daemon does stays small in a large pool. */

/** Hosts come in turns: those first that were not in one for longest. */
export class Turns {
  readonly #hostsMax: number
  readonly #lastTurn = new Map<string, number>()
  #turn = 0

  /** `hostsMax`: hosts in one turn. */
  constructor(hostsMax: number) {
    this.#hostsMax = hostsMax
  }

  /** The connected ones of `peers` whose turn it is now. */
  next(peers: readonly { host: string; connected: boolean }[]): string[] {
    this.#turn++
    const last = (host: string): number => this.#lastTurn.get(host) ?? 0
    const hosts = peers
      .flatMap(({ host, connected }) => (connected ? host : []))
      .sort((a, b) => last(a) - last(b))
      .slice(0, this.#hostsMax)
    for (const host of hosts) this.#lastTurn.set(host, this.#turn)
    return hosts
  }
}
