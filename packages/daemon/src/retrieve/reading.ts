/** The reading side of a vault, put together: from index and hosts to verified chunks and trees. */

import type { Clock, VaultBundle } from '@moyai/protocol'
import { vaultSigner } from '@moyai/protocol'

import { loadHasher } from '../store/native-hasher.ts'
import { ChunkReader } from './chunk-reader.ts'
import { Holders } from './holders.ts'
import { HostHealth } from './host-health.ts'
import type { PackIndex, ShardHosts } from './ports.ts'
import { RebuiltPacks } from './rebuilt-packs.ts'
import { StripeReader } from './stripe-reader.ts'
import { OpeningPool } from './threads/opening-pool.ts'
import type { Opening } from './threads/opening-pool.ts'
import { TreeReader } from './tree-reader.ts'

export type ReadingComponents = {
  index: PackIndex
  hosts: ShardHosts
  clock: Clock
  /** Where blobs are opened; worker threads of its own when absent. */
  opening?: Opening
  /** Folder for rebuilt packs, which have no names there. */
  cache: string
}

/** One reader of each kind, sharing caches, threads and what is known of hosts. */
export class Reading {
  readonly health: HostHealth
  readonly holders: Holders
  readonly stripes: StripeReader
  readonly chunks: ChunkReader
  readonly trees: TreeReader
  readonly #pool: OpeningPool | undefined
  readonly #rebuilt: RebuiltPacks

  constructor(bundle: VaultBundle, components: ReadingComponents) {
    const { index, hosts, clock } = components
    const { dataKey, chunkIdKey } = bundle
    const vault = vaultSigner(bundle).publicKey
    let opening = components.opening
    if (opening === undefined) {
      this.#pool = new OpeningPool({ vault, dataKey, chunkIdKey })
      opening = this.#pool
    }
    this.health = new HostHealth(clock)
    const { health } = this
    this.holders = new Holders({ index, hosts, health, clock })
    const rebuilt = new RebuiltPacks(components.cache)
    this.#rebuilt = rebuilt
    const { holders } = this
    this.stripes = new StripeReader({ hosts, holders, health, rebuilt, opening, clock })
    const hasher = loadHasher()
    const chunkId = (bytes: Uint8Array): Uint8Array => hasher.keyedHash(chunkIdKey, bytes)
    this.chunks = new ChunkReader({ index, stripes: this.stripes, opening, chunkId })
    this.trees = new TreeReader(this.chunks)
  }

  /** Ends its threads; what is being read is rejected with ABORTED. */
  async close(): Promise<void> {
    await this.#pool?.close()
    await this.#rebuilt.close()
  }
}
