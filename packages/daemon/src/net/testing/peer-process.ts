/**
 * A host in a process of its own, to be killed by a test: `node peer-process.ts SEED
 * MEMBER_HOST_ID`. Prints its id and addresses as one JSON line. Serves `/test/flood/1`: a GET-like
 * answer that never ends by itself.
 */

import { buildHost, introduceVault } from './network.ts'

const [seed, member] = process.argv.slice(2)
const host = await buildHost(Number(seed))
host.membership.hosts.set(String(member), [])
introduceVault(host)
// Answers wait for ever: the other side is in the middle of a request when this process dies.
host.network.registerProtocol('/test/hang/1', () => new Promise<Uint8Array>(() => {}))
host.store.stall = new Promise(() => {})
await host.network.start()
process.stdout.write(`${JSON.stringify({ id: host.id, addresses: host.network.addresses() })}\n`)
