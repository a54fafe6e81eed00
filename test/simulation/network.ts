/** The network as the services of one simulated host see it, over the shared fabric. */

import type { HealthNetwork, HealthNews, HealthReport, PeerEvent, ShardClient } from '@moyai/daemon'
import {
  GROUP_BYTES,
  MoyaiError,
  signReceipt,
  SliceVerifier,
  sliceProof,
  type Clock,
  type Signer,
} from '@moyai/protocol'

import type { Fabric, Node } from './fabric.ts'
import type { SimStore } from './store.ts'

/** What a host answers and hears; its services give it when they begin. */
export type HealthEar = {
  report(): Promise<HealthReport>
  audits(wanted: readonly { auditor: string; vault: Uint8Array }[]): Promise<readonly Uint8Array[]>
  onNews(from: string, news: HealthNews): void
}

/** A host that answers. */
export type Peer = {
  node: Node
  store: SimStore
  signer: Signer
  clock: Clock
  /** Undefined while its services do not run. */
  ear: HealthEar | undefined
}

export type SimNetworkOptions = {
  self: Node
  fabric: Fabric
  peers: ReadonlyMap<string, Peer>
  pool: Uint8Array
  /** What one byte of a simulated shard stands for. */
  weight: number
  /** Bytes of shards moved, in nominal size. */
  moved: (from: string, to: string, bytes: number, what: 'get' | 'put') => void
}

export class SimNetwork implements HealthNetwork {
  readonly #o: SimNetworkOptions
  readonly #clients = new Map<string, ShardClient>()
  #connected: readonly string[] = []
  #version = -1

  constructor(o: SimNetworkOptions) {
    this.#o = o
  }

  connected(): readonly string[] {
    const { fabric, self } = this.#o
    if (this.#version !== fabric.version) {
      this.#connected = [...self.peers].sort()
      this.#version = fabric.version
    }
    return this.#connected
  }

  isConnected(host: string): boolean {
    return this.#o.self.peers.has(host)
  }

  /** Hosts with close numbers are close: it only has to differ. */
  rttMs(host: string): number | undefined {
    const peer = this.#o.peers.get(host)
    return peer === undefined ? undefined : 1 + Math.abs(peer.node.number - this.#o.self.number)
  }

  on(event: PeerEvent, listener: (host: string) => void): () => void {
    const { up, down } = this.#o.self
    const listeners = event === 'peer:up' ? up : down
    listeners.add(listener)
    return () => void listeners.delete(listener)
  }

  shards(host: string): ShardClient {
    if (!this.isConnected(host)) throw unreachable()
    const known = this.#clients.get(host)
    if (known !== undefined) return known
    const client = new SimShardClient(this.#o, this.#peer(host))
    this.#clients.set(host, client)
    return client
  }

  async ask(host: string, signal: AbortSignal): Promise<HealthReport> {
    return this.#call(host, (ear) => ear.report(), signal)
  }

  async audits(
    host: string,
    wanted: readonly { auditor: string; vault: Uint8Array }[],
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[]> {
    return this.#call(host, (ear) => ear.audits(wanted), signal)
  }

  async tell(host: string, news: HealthNews, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw new MoyaiError('ABORTED', 'given up')
    const peer = this.#peer(host)
    this.#o.fabric.tell(this.#o.self, peer.node, () => peer.ear?.onNews(this.#o.self.id, news))
  }

  async #call<T>(
    host: string,
    answer: (ear: HealthEar) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const peer = this.#peer(host)
    const { fabric, self } = this.#o
    return fabric.call(self, peer.node, () => answer(earOf(peer)), signal)
  }

  #peer(host: string): Peer {
    const peer = this.#o.peers.get(host)
    if (peer === undefined) throw unreachable()
    return peer
  }
}

class SimShardClient implements ShardClient {
  readonly #o: SimNetworkOptions
  readonly #peer: Peer

  constructor(o: SimNetworkOptions, peer: Peer) {
    this.#o = o
    this.#peer = peer
  }

  async put(o: Parameters<ShardClient['put']>[0]): Promise<{ receipt: Uint8Array; had: boolean }> {
    const { fabric, self, weight } = this.#o
    const { node, store } = this.#peer
    const begun = await fabric.call(self, node, () => store.put(o), o.signal)
    const { descriptor } = begun.had ? begun : begun.writer
    if (!begun.had) {
      const { writer } = begun
      try {
        const payload = typeof o.payload === 'function' ? o.payload() : o.payload
        let bytes = 0
        for await (const chunk of payload) {
          bytes += chunk.length
          await writer.write(chunk)
        }
        await fabric.transfer(self, node, bytes * weight, o.signal)
        await writer.commit()
        this.#o.moved(self.id, node.id, bytes * weight, 'put')
      } finally {
        await writer.abort()
      }
    }
    const { signer, clock } = this.#peer
    const { vault, pack, protectedUntil, shardHashes } = descriptor
    const shardHash = shardHashes[o.index] as Uint8Array
    const storedAt = clock.now()
    const about = { pool: this.#o.pool, vault, pack, index: o.index, shardHash, protectedUntil }
    const receipt = signReceipt({ ...about, host: signer.publicKey, storedAt }, signer)
    return fabric.call(self, node, async () => ({ receipt, had: begun.had }), o.signal)
  }

  async *get(o: Parameters<ShardClient['get']>[0]): AsyncGenerator<Uint8Array> {
    const { fabric, self, weight } = this.#o
    const { node, store } = this.#peer
    const { vault, pack, index, offset, length, root, shardLength } = o
    const { bytes, groups, sound } = await fabric.call(
      self,
      node,
      async () => {
        const reader = await store.open({ vault, pack, index })
        const start = Math.floor(offset / GROUP_BYTES) * GROUP_BYTES
        const end = Math.min(shardLength, Math.ceil((offset + length) / GROUP_BYTES) * GROUP_BYTES)
        const read = await reader.read(start, end - start)
        // A copy is what the store makes of bytes that are damaged.
        const isSound = start === offset && end === offset + length && reader.sound(read)
        return { bytes: read, groups: reader.groups, sound: isSound }
      },
      o.signal,
    )
    await fabric.transfer(node, self, bytes.length * weight, o.signal)
    this.#o.moved(node.id, self.id, bytes.length * weight, 'get')
    if (sound) {
      yield bytes
      return
    }
    const proof = sliceProof(groups, shardLength, { offset, length })
    const verifier = new SliceVerifier({ root, payloadLength: shardLength, offset, length, proof })
    yield* verifier.push(bytes)
    verifier.finish()
  }

  async stat(
    o: Parameters<ShardClient['stat']>[0],
  ): Promise<{ index: number; envelope: Uint8Array }[]> {
    const { fabric, self } = this.#o
    return fabric.call(self, this.#peer.node, () => this.#peer.store.stat(o), o.signal)
  }

  async audit(o: Parameters<ShardClient['audit']>[0]): ReturnType<ShardClient['audit']> {
    const { fabric, self } = this.#o
    const { node, store } = this.#peer
    return fabric.call(
      self,
      node,
      async () =>
        o.challenges.map(({ pack, index, group }) => ({
          result: store.prove({ vault: o.vault, pack, index }, group),
          askers: [],
        })),
      o.signal,
    )
  }

  async digests(o: Parameters<ShardClient['digests']>[0]): Promise<Uint8Array> {
    const { fabric, self } = this.#o
    return fabric.call(self, this.#peer.node, () => this.#peer.store.digests(o.vault), o.signal)
  }

  async inventory(
    o: Parameters<ShardClient['inventory']>[0],
  ): ReturnType<ShardClient['inventory']> {
    const { fabric, self } = this.#o
    return fabric.call(self, this.#peer.node, () => this.#peer.store.list(o), o.signal)
  }
}

function earOf(peer: Peer): HealthEar {
  if (peer.ear === undefined) throw unreachable()
  return peer.ear
}

function unreachable(): MoyaiError {
  return new MoyaiError('HOST_UNREACHABLE', 'the host is not connected')
}
