/**
 * One end of a measured connection, in a process of its own: `node wire-ends.ts KIND SIDE`, started
 * by throughput.ts, which tells it what to do over the channel of `fork`.
 *
 * Kinds: `moyai` is the whole way of a shard, PUT to a store on disk and GET from it; `lanes` the
 * same PUT to a store that throws bytes away, which leaves the wire: lanes, frames, credit, signed
 * descriptors and receipts; `libp2p` the bare best configuration (Noise and yamux over TCP, 1 MiB
 * windows, 256 KiB messages, a writer that waits) with no protocol on top; `tls` node:tls with
 * AES-256-GCM. The last two throw bytes away as well.
 */

import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { createServer, connect, type TLSSocket } from 'node:tls'
import { noise } from '@chainsafe/libp2p-noise'
import type { Libp2p, Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import {
  blake3,
  defined,
  MoyaiError,
  openStripe,
  signStripe,
  toHex,
  type StripeDescriptor,
} from '@moyai/protocol'
import { createLibp2p } from 'libp2p'
import { systemClock } from '../../clock.ts'
import { nodeDisk } from '../../file-system/index.ts'
import { SeededRandom, systemRandom } from '../../random.ts'
import { DIGESTS_BYTES, openShardStore } from '../../shard-store/index.ts'
import { eventually } from '../../testing/eventually.ts'
import { privateKeyOfSeed } from '../identity.ts'
import { createNetwork, type InspectableNetwork } from '../index.ts'
import type { HeldShards } from '../shard/handler.ts'
import { StreamReader, StreamWriter } from '../stream-io.ts'
import { TestMembership, vault } from './network.ts'
import { seedOf } from './nodes.ts'

const MIB = 1024 * 1024
const MESSAGE_BYTES = 256 * 1024
const PROTOCOL = '/bench/1'
/** Shards on their way at once: what three packs of a store keep at one holder, and a few more. */
const SHARDS_AT_ONCE = 8

/** What an end is told; each is answered by one message. */
export type Order =
  | { do: 'open' }
  | { do: 'meet'; other: Address }
  | { do: 'run'; what: 'put' | 'get'; round: number; mib: number }
  | { do: 'mark' }
  | { do: 'report' }
  | { do: 'end' }

export type Address = { id: string; addresses: string[] }

/** CPU seconds of the whole process since the mark, and its event loop's delay, in ms. */
export type Report = { cpu: number; delayP99: number; delayMax: number; rssMib: number }

/** One side of one kind. The sending one connects when it meets the other. */
type End = {
  open(): Promise<Address>
  meet(other: Address): Promise<void>
  run(order: { what: 'put' | 'get'; round: number; mib: number }): Promise<void>
  close(): Promise<void>
}
type Side = 'tx' | 'rx'

// ---- moyai ------------------------------------------------------------------------------------

/** The same MiB under another name each time: holders compare names, and hash every byte. */
const SHARD = new SeededRandom('wire').bytes(MIB)
const SHARD_HASH = blake3(SHARD)
/** A stripe is signed once for its six shards, as a store does. */
const CODE = { k: 4, m: 2 } as const
const SHARDS = CODE.k + CODE.m

type Stripe = { descriptor: StripeDescriptor; envelope: Uint8Array }

/** The stripe of shard `number` of a round, and its index there. */
type StripeOf = (number: number) => Stripe & { index: number }

function stripesOf(round: number): StripeOf {
  const made: Stripe[] = []
  return (number) => {
    const at = Math.floor(number / SHARDS)
    const stripe = (made[at] ??= stripeOf(round, at))
    return { ...stripe, index: number % SHARDS }
  }
}

function stripeOf(round: number, number: number): Stripe {
  const descriptor: StripeDescriptor = {
    vault: vault.publicKey,
    vaultSalt: new Uint8Array(16),
    pack: blake3(Buffer.from(`${round} ${number}`)),
    ...CODE,
    shardLength: MIB,
    shardHashes: Array.from({ length: SHARDS }, () => SHARD_HASH),
    class: 'data',
    protectedUntil: 1_800_000_000_000,
    created: 1_790_000_000_000,
  }
  return { descriptor, envelope: signStripe(descriptor, vault) }
}

async function* shard(): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < MIB; at += MESSAGE_BYTES) yield SHARD.subarray(at, at + MESSAGE_BYTES)
}

type EndStore = { store: HeldShards; close: () => Promise<void> }

async function storeOnDisk(): Promise<EndStore> {
  const folder = await mkdtemp(join(process.env['WIRE_DIR'] ?? tmpdir(), 'moyai-wire-'))
  const store = await openShardStore({
    disk: nodeDisk,
    root: join(folder, 'shards'),
    random: systemRandom,
    quotaBytes: Number.MAX_SAFE_INTEGER,
    reserveBytes: 0,
  })
  const close = async (): Promise<void> => {
    await store.close()
    await rm(folder, { recursive: true, force: true })
  }
  return { store, close }
}

/** Takes every shard and keeps none. */
async function storeOfNothing(): Promise<EndStore> {
  const nothing = async (): Promise<void> => {}
  const store: HeldShards = {
    put: async ({ envelope }) => {
      const descriptor = openStripe(envelope)
      const writer = { descriptor, write: nothing, commit: nothing, abort: nothing }
      return { had: false, writer }
    },
    open: () => Promise.reject(new MoyaiError('NOT_FOUND', 'no shard is kept here')),
    verify: () => Promise.reject(new MoyaiError('NOT_FOUND', 'no shard is kept here')),
    isDamaged: () => false,
    list: async () => ({ items: [] }),
    digests: async () => new Uint8Array(DIGESTS_BYTES),
    stat: async () => [],
  }
  return { store, close: nothing }
}

async function moyaiEnd(side: Side, { store, close }: EndStore): Promise<End> {
  const membership = new TestMembership()
  membership.vaults.add(toHex(vault.publicKey))
  const network: InspectableNetwork = await createNetwork(
    { seed: seedOf(side === 'rx' ? 1 : 8), listen: ['/ip4/127.0.0.1/tcp/0'] },
    { clock: systemClock, random: systemRandom, membership, store },
  )
  let other = ''
  return {
    open: async () => {
      await network.start()
      return { id: toHex(network.self), addresses: network.addresses() }
    },
    meet: async ({ id, addresses }) => {
      other = id
      membership.hosts.set(id, side === 'tx' ? addresses : [])
      network.membershipChanged()
      if (side === 'tx') await eventually('connected', () => network.peers()[0]?.connected)
    },
    run: async ({ what, round, mib }) => {
      const client = network.shards(other)
      const stripes = stripesOf(round)
      await inParallel(mib, async (i) => {
        const { descriptor, envelope, index } = stripes(i)
        if (what === 'put') {
          await client.put({ envelope, index, payload: shard })
          return
        }
        const { pack } = descriptor
        const range = { index, offset: 0, length: MIB, root: SHARD_HASH, shardLength: MIB }
        let bytes = 0
        const parts = client.get({ vault: vault.publicKey, pack, ...range })
        for await (const part of parts) bytes += part.length
        if (bytes !== MIB) throw new Error('short')
      })
    },
    close: async () => {
      await network.stop()
      await close()
    },
  }
}

async function inParallel(count: number, act: (i: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await act(next++)
  }
  await Promise.all(Array.from({ length: SHARDS_AT_ONCE }, worker))
}

// ---- libp2p -----------------------------------------------------------------------------------

async function libp2pEnd(side: Side): Promise<End> {
  const node: Libp2p = await createLibp2p({
    start: false,
    privateKey: await privateKeyOfSeed(seedOf(side === 'rx' ? 2 : 9)),
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [
      yamux({
        streamOptions: {
          initialStreamWindowSize: 256 * 1024,
          maxStreamWindowSize: MIB,
          maxReadBufferLength: 4 * MIB,
          maxWriteBufferLength: 16 * MIB,
        },
      }),
    ],
  })
  let ends: { reader: StreamReader; writer: StreamWriter } | undefined
  return {
    open: async () => {
      await node.handle(PROTOCOL, (arrived) => swallow(arrived))
      await node.start()
      const addresses = node.getMultiaddrs().map((address) => address.toString())
      return { id: node.peerId.toString(), addresses }
    },
    meet: async ({ addresses }) => {
      if (side === 'rx') return
      const connection = await node.dial(addresses.map((text) => multiaddr(text)))
      const stream = await connection.newStream(PROTOCOL)
      ends = { reader: new StreamReader(stream), writer: new StreamWriter(stream) }
    },
    run: async ({ mib }) => {
      const { reader, writer } = defined(ends, 'a stream')
      await writer.write(lengthOf(mib))
      for (let sent = 0; sent < mib * MIB; sent += MESSAGE_BYTES) {
        await writer.write(SHARD.subarray(sent % MIB, (sent % MIB) + MESSAGE_BYTES))
      }
      await reader.read(1)
    },
    close: async () => node.stop(),
  }
}

/** Reads and forgets; after each run, whose length comes first, one byte goes back. */
async function swallow(stream: Stream): Promise<void> {
  const reader = new StreamReader(stream)
  const writer = new StreamWriter(stream)
  for (;;) {
    const head = await reader.read(4)
    if (head === undefined) return
    const mib = Buffer.from(head.subarray()).readUInt32BE()
    for (let got = 0; got < mib * MIB; got += MESSAGE_BYTES) await reader.read(MESSAGE_BYTES)
    await writer.write(Uint8Array.of(1))
  }
}

function lengthOf(mib: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(mib)
  return bytes
}

// ---- node:tls ---------------------------------------------------------------------------------

/** A key that both know instead of a certificate: the same records, and no file is needed. */
const TLS_KEY: Buffer = Buffer.alloc(32, 7)
const TLS = { ciphers: 'PSK-AES256-GCM-SHA384', maxVersion: 'TLSv1.2' } as const

async function tlsEnd(side: Side): Promise<End> {
  const server = createServer({ ...TLS, pskCallback: () => TLS_KEY }, swallowSocket)
  let socket: TLSSocket | undefined
  return {
    open: async () => {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return { id: '', addresses: [String((server.address() as AddressInfo).port)] }
    },
    meet: async ({ addresses }) => {
      if (side === 'rx') return
      const pskCallback = () => ({ psk: TLS_KEY, identity: 'bench' })
      const peer = { host: '127.0.0.1', port: Number(addresses[0]) }
      socket = connect({ ...TLS, ...peer, pskCallback, checkServerIdentity: () => undefined })
      await once(socket, 'secureConnect')
    },
    run: async ({ mib }) => {
      const to = defined(socket, 'a socket')
      const answered = once(to, 'data')
      to.write(lengthOf(mib))
      for (let sent = 0; sent < mib * MIB; sent += MESSAGE_BYTES) {
        const more = to.write(SHARD.subarray(sent % MIB, (sent % MIB) + MESSAGE_BYTES))
        if (!more) await once(to, 'drain')
      }
      await answered
    },
    close: async () => {
      socket?.destroy()
      server.close()
    },
  }
}

function swallowSocket(socket: TLSSocket): void {
  let left = 0
  let head = Buffer.alloc(0)
  socket.on('data', (bytes: Buffer) => {
    let rest = bytes
    if (left === 0) {
      head = Buffer.concat([head, rest])
      if (head.length < 4) return
      left = head.readUInt32BE() * MIB
      rest = head.subarray(4)
      head = Buffer.alloc(0)
    }
    left -= rest.length
    if (left === 0) socket.write(Uint8Array.of(1))
  })
  socket.on('error', () => socket.destroy())
}

// ---- orders -----------------------------------------------------------------------------------

async function openEnd(kind: string, side: Side): Promise<End> {
  if (kind === 'moyai') return moyaiEnd(side, await storeOnDisk())
  if (kind === 'lanes') return moyaiEnd(side, await storeOfNothing())
  return kind === 'libp2p' ? libp2pEnd(side) : tlsEnd(side)
}

async function secondsOf(work: Promise<void>): Promise<number> {
  const start = performance.now()
  await work
  return (performance.now() - start) / 1000
}

async function serve(kind: string, side: Side): Promise<void> {
  const delay = monitorEventLoopDelay({ resolution: 5 })
  let cpu = process.cpuUsage()
  const end = await openEnd(kind, side)
  const report = (): Report => {
    delay.disable()
    const used = process.cpuUsage(cpu)
    const [delayP99, delayMax] = [delay.percentile(99) / 1e6, delay.max / 1e6]
    const rssMib = process.memoryUsage.rss() / MIB
    return { cpu: (used.user + used.system) / 1e6, delayP99, delayMax, rssMib }
  }
  const obey = async (order: Order): Promise<unknown> => {
    if (order.do === 'open') return end.open()
    if (order.do === 'run') return secondsOf(end.run(order))
    if (order.do === 'report') return report()
    if (order.do === 'meet') await end.meet(order.other)
    if (order.do === 'end') await end.close()
    if (order.do === 'mark') {
      cpu = process.cpuUsage()
      delay.reset()
      delay.enable()
    }
    return undefined
  }
  process.on('message', (order: Order) => {
    const answer = (value: object): void => void process.send?.(value)
    obey(order).then(
      (value) => answer({ value }),
      (error: unknown) => answer({ error: String(error) }),
    )
  })
}

await serve(process.argv[2] ?? '', process.argv[3] === 'tx' ? 'tx' : 'rx')
