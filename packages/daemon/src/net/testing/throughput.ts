/**
 * PUT and GET between two processes on loopback: `node
 * packages/daemon/src/net/testing/throughput.ts [MIB]`. Prints MB/s, CPU seconds per GiB of this
 * (sending) process, and the receiver's peak memory.
 */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { concatBytes } from '@moyai/protocol'
import { eventually } from '../../testing/eventually.ts'
import { buildHost, introduceVault, makeStripe, pieces, vault } from './network.ts'

const SELF = fileURLToPath(import.meta.url)
const MIB = 1024 * 1024

type Hello = { id: string; addresses: string[] }

async function receive(): Promise<void> {
  const host = await buildHost(1)
  introduceVault(host)
  await host.network.start()
  process.send?.({ id: host.id, addresses: host.network.addresses() })
  process.on('message', (member: Hello | 'report') => {
    if (member === 'report') {
      const usage = process.resourceUsage()
      const cpu = (usage.userCPUTime + usage.systemCPUTime) / 1e6
      process.send?.({ cpu, rssMax: usage.maxRSS / 1024 })
      return
    }
    host.membership.hosts.set(member.id, [])
  })
}

async function send(total: number): Promise<void> {
  const child = fork(SELF, ['receive'])
  const [other] = (await once(child, 'message')) as [Hello]
  const host = await buildHost(8)
  introduceVault(host)
  await host.network.start()
  child.send({ id: host.id, addresses: [] })
  host.membership.hosts.set(other.id, other.addresses)
  host.network.membershipChanged()
  await eventually('connected', () => host.network.peers()[0]?.connected)
  const client = host.network.shards(other.id)
  const stripes = Array.from({ length: total }, (_, i) => makeStripe(i, { count: 1 }))
  await measure('PUT', total, async (i) => {
    const { envelope, shards } = stripes[i] as (typeof stripes)[0]
    await client.put({ envelope, index: 0, payload: pieces(shards[0] as Uint8Array) })
  })
  await measure('GET', total, async (i) => {
    const { descriptor } = stripes[i] as (typeof stripes)[0]
    const { pack, shardLength } = descriptor
    const root = descriptor.shardHashes[0] as Uint8Array
    const range = { index: 0, offset: 0, length: shardLength, root, shardLength }
    const parts: Uint8Array[] = []
    for await (const part of client.get({ vault: vault.publicKey, pack, ...range }))
      parts.push(part)
    if (concatBytes(...parts).length !== shardLength) throw new Error('short')
  })
  child.send('report')
  const [report] = (await once(child, 'message')) as [object]
  process.stdout.write(`receiver ${JSON.stringify(report)}\n`)
  child.kill()
  await host.network.stop()
}

async function measure(
  name: string,
  count: number,
  act: (i: number) => Promise<void>,
): Promise<void> {
  const before = process.cpuUsage()
  const start = performance.now()
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await act(next++)
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  const seconds = (performance.now() - start) / 1000
  const cpu = process.cpuUsage(before)
  const perGib = ((cpu.user + cpu.system) / 1e6 / count) * 1024
  const rate = (count * MIB) / 1e6 / seconds
  process.stdout.write(`${name} ${rate.toFixed(0)} MB/s, ${perGib.toFixed(2)} CPU-s/GiB here\n`)
}

if (process.argv[2] === 'receive') await receive()
else await send(Number(process.argv[2] ?? 128))
