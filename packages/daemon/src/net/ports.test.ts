/** A port that the system chose is kept, and given up when somebody else has it. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../clock.ts'
import { SeededRandom } from '../random.ts'
import { createNetwork, type InspectableNetwork } from './index.ts'
import { isListening, portOf, withLastPorts, type PortMemory } from './ports.ts'
import { TestMembership } from './testing/network.ts'
import { seedOf } from './testing/nodes.ts'

const ANY = '/ip4/127.0.0.1/tcp/0'

function memory(): PortMemory & { known: Map<string, number> } {
  const known = new Map<string, number>()
  return {
    known,
    get: async (listen) => known.get(listen),
    put: async (listen, port) => void known.set(listen, port),
  }
}

async function started(seed: number, ports: PortMemory): Promise<InspectableNetwork> {
  const network = await createNetwork(
    { seed: seedOf(seed), listen: [ANY], ports },
    { clock: systemClock, random: new SeededRandom(seed), membership: new TestMembership() },
  )
  await network.start()
  return network
}

test('goal: a host that restarts listens where it did, unless another program has the port now', async () => {
  const ports = memory()
  const first = await started(1, ports)
  const before = first.addresses()
  await first.stop()
  const second = await started(1, ports)
  assert.deepEqual(second.addresses(), before)
  const other = memory()
  other.known.set(ANY, ports.known.get(ANY) as number)
  const third = await started(2, other)
  assert.notEqual(other.known.get(ANY), ports.known.get(ANY))
  assert.equal(third.addresses().length, 1)
  await second.stop()
  await third.stop()
})

test('goal: only addresses with any port remember one, each its own', async () => {
  const ports = memory()
  ports.known.set(ANY, 4711)
  ports.known.set('/ip4/0.0.0.0/tcp/4001', 1)
  const listen = [ANY, ANY, '/ip4/0.0.0.0/tcp/4001']
  const first = (await withLastPorts(listen, ports)).map((one) => one.first)
  assert.deepEqual(first, ['/ip4/127.0.0.1/tcp/4711', ANY, '/ip4/0.0.0.0/tcp/4001'])
  const actual = ['/ip4/127.0.0.1/tcp/5', '/ip4/192.168.1.2/tcp/6', '/ip6/::1/tcp/7']
  assert.equal(portOf(ANY, actual), 5)
  assert.equal(portOf('/ip4/192.168.1.2/tcp/0', actual), 6)
  assert.equal(portOf('/ip6/::/tcp/0', actual), 7)
  assert.equal(portOf('/ip4/0.0.0.0/tcp/4001', actual), undefined)
  assert.equal(isListening('/ip4/127.0.0.1/tcp/6', actual), true)
  assert.equal(isListening('/ip4/127.0.0.1/tcp/8', actual), false)
})
