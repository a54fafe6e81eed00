/**
 * Whom to ask for the pool when the database is gone: hosts of `network.peers` in config.toml, and
 * the file `pool.peers` beside the keys, which is written whenever addresses change. What is in it
 * is public and only a hint: the pool is taken from whoever answers only if it has this host in it
 * by this host's own signature.
 */

import { peerIdFromString } from '@libp2p/peer-id'
import { isMoyaiError, PUBLIC_KEY_BYTES, utf8 } from '@moyai/protocol'

import { readFile, replaceFile, SECRET_MODE, type Disk } from '../file-system/index.ts'
import type { Logger } from '../logger.ts'
import { hexOfPeerId } from '../net/identity.ts'
import { withoutPeerId } from '../net/addresses.ts'
import * as events from './events.ts'

/** Enough for a pool of hundreds; a longer file is not ours. */
const FILE_BYTES_MAX: number = 256 * 1024
const PEERS_MAX = 64
const HOST = new RegExp(`^[0-9a-f]{${2 * PUBLIC_KEY_BYTES}}$`)

/** A host (hex) and where it may listen. */
export type KnownPeer = { host: string; addresses: string[] }

/**
 * The host and address of a multiaddr that ends in `/p2p/…`; undefined when it does not name an
 * Ed25519 key.
 */
export function peerOfAddress(address: string): KnownPeer | undefined {
  const id = /\/p2p\/([A-Za-z0-9]+)$/.exec(address)?.[1]
  if (id === undefined) return undefined
  try {
    const host = hexOfPeerId(peerIdFromString(id))
    return host === undefined ? undefined : { host, addresses: [withoutPeerId(address)] }
  } catch {
    // A person wrote something that is no peer id: there is nobody to ask.
    return undefined
  }
}

function isPeer(value: unknown): value is KnownPeer {
  if (typeof value !== 'object' || value === null) return false
  if (!('host' in value && 'addresses' in value && Array.isArray(value.addresses))) return false
  const addresses = value.addresses.every((address) => typeof address === 'string')
  return addresses && typeof value.host === 'string' && HOST.test(value.host)
}

export class KnownPeers {
  readonly #path: string
  readonly #disk: Disk
  readonly #logger: Logger
  #written = ''

  constructor(o: { path: string }, components: { disk: Disk; logger: Logger }) {
    this.#path = o.path
    this.#disk = components.disk
    this.#logger = components.logger
  }

  /** The hosts in the file; none when it is not there or cannot be understood. */
  async read(): Promise<KnownPeer[]> {
    try {
      const { bytes } = await readFile(this.#disk, this.#path, FILE_BYTES_MAX)
      const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
      return Array.isArray(value) ? value.filter(isPeer).slice(0, PEERS_MAX) : []
    } catch (error) {
      if (isMoyaiError(error, 'NOT_FOUND') || error instanceof SyntaxError) return []
      throw error
    }
  }

  /** Writes them when they changed; a disk that fails is logged, because this is only a hint. */
  async write(peers: Iterable<{ host: string; addresses: readonly string[] }>): Promise<void> {
    const some = [...peers].filter(({ addresses }) => addresses.length > 0).slice(0, PEERS_MAX)
    const text = `${JSON.stringify(some, undefined, 1)}\n`
    if (some.length === 0 || text === this.#written) return
    try {
      await replaceFile(this.#disk, { path: this.#path, bytes: utf8(text), mode: SECRET_MODE })
      this.#written = text
    } catch (error) {
      events.tendingFailed(this.#logger, error)
    }
  }
}
