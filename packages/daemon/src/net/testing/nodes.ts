/** libp2p nodes on loopback for the tests of the network layer. */

import type { Connection, Stream } from '@libp2p/interface'
import { systemClock } from '../../clock.ts'
import { privateKeyOfSeed } from '../identity.ts'
import { createTransport, type Node } from '../transport.ts'

/** A 32-byte seed of a test host. */
export function seedOf(number: number): Uint8Array {
  return new Uint8Array(32).fill(number)
}

/**
 * A started node with the production configuration that admits everybody; stopped when disposed.
 */
export async function openNode(
  seed: number,
): Promise<{ node: Node; [Symbol.asyncDispose](): Promise<void> }> {
  const node = await createTransport({
    privateKey: await privateKeyOfSeed(seedOf(seed)),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    announce: [],
    gater: {},
    clock: systemClock,
  })
  await node.start()
  return { node, [Symbol.asyncDispose]: async () => node.stop() }
}

/** One stream between `from` and `to` under a test protocol, seen from both ends. */
export async function connectStream(
  from: Node,
  to: Node,
  protocol = '/test/1',
): Promise<{ near: Stream; far: Stream; connection: Connection }> {
  const arrived = Promise.withResolvers<Stream>()
  await to.handle(protocol, (stream) => arrived.resolve(stream), { force: true })
  const connection = await from.dial(to.getMultiaddrs())
  const near = await connection.newStream(protocol)
  return { near, far: await arrived.promise, connection }
}
