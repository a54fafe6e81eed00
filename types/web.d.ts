/**
 * The few web types that libp2p's declarations name and Node's do not define. The whole DOM library
 * would let browser globals pass the type check. A script, not a module: what it declares is
 * global.
 */

interface EventInit {
  bubbles?: boolean
  cancelable?: boolean
  composed?: boolean
}

interface CustomEventInit<T = unknown> extends EventInit {
  detail?: T
}

interface JsonWebKey {
  alg?: string
  crv?: string
  d?: string
  dp?: string
  dq?: string
  e?: string
  ext?: boolean
  k?: string
  key_ops?: string[]
  kty?: string
  n?: string
  p?: string
  q?: string
  qi?: string
  use?: string
  x?: string
  y?: string
}

interface CryptoKeyPair {
  publicKey: CryptoKey
  privateKey: CryptoKey
}
