/**
 * Keeping a port that the system chose: hosts that listen on any free port and all restart at once
 * would otherwise know only each other's old ones.
 */

/** Ports that were in use last time, by the address of the configuration. */
export type PortMemory = {
  get: (listen: string) => Promise<number | undefined>
  put: (listen: string, port: number) => Promise<void>
}

const ANY_PORT = /\/tcp\/0$/

/** What to listen on: the address itself, and the one with the port of last time to try first. */
export type Listening = { listen: string; first: string }

export async function withLastPorts(
  listen: readonly string[],
  memory: PortMemory | undefined,
): Promise<Listening[]> {
  const all: Listening[] = []
  for (const address of listen) {
    const port = ANY_PORT.test(address) ? await memory?.get(address) : undefined
    const first = port === undefined ? address : address.replace(ANY_PORT, `/tcp/${port}`)
    // Two that are alike cannot have the same port.
    const taken = all.some((other) => other.first === first)
    all.push({ listen: address, first: taken ? address : first })
  }
  return all
}

/** The port of `actual` addresses that belongs to `listen`, an address without one. */
export function portOf(listen: string, actual: readonly string[]): number | undefined {
  if (!ANY_PORT.test(listen)) return undefined
  const family = listen.startsWith('/ip6/') ? '/ip6/' : '/ip4/'
  const host = /^(\/ip[46]\/[^/]+)\//.exec(listen)?.[1]
  const anyHost = host === '/ip4/0.0.0.0' || host === '/ip6/::'
  const own = actual.find((one) => one.startsWith(anyHost ? family : `${host}/`))
  const port = /\/tcp\/(\d+)/.exec(own ?? '')?.[1]
  return port === undefined ? undefined : Number(port)
}

/** Whether one of the `actual` addresses has the port of `address`. */
export function isListening(address: string, actual: readonly string[]): boolean {
  const port = /\/tcp\/(\d+)/.exec(address)?.[1]
  return actual.some((one) => /\/tcp\/(\d+)/.exec(one)?.[1] === port)
}
