/** The BLAKE3 of somebody else, which ours is compared with. */

import { createRequire } from 'node:module'

type Native = {
  blake3(bytes: Uint8Array): Uint8Array
  Blake3Hasher: {
    newKeyed(key: Uint8Array): { update(bytes: Uint8Array): { digestBuffer(): Uint8Array } }
  }
}

const protocolRequire = createRequire(new URL('../packages/protocol/package.json', import.meta.url))

/** `@napi-rs/blake-hash`, a development dependency of the protocol package. */
export const native: Native = protocolRequire('@napi-rs/blake-hash') as Native
