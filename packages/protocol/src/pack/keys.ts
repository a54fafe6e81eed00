/**
 * Pack headers and the keys behind them (spec/pack.md §2 and §3).
 *
 * A pack has keys of its own, derived from the vault's data key with 32 random bytes that stand in
 * the header. So blob i can have nonce i, and a key is gone from memory when its pack is done.
 */

import { assert } from '../assert.ts'
import { concatBytes, equalBytes, utf8 } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'
import { deriveKey } from '../keys/index.ts'
import {
  COMMITMENT_BYTES,
  KEY_BYTES,
  PACK_HEADER_BYTES,
  PUBLIC_KEY_BYTES,
  SEAL_SALT_BYTES,
  SEAL_TAG_BYTES,
} from '../limits.ts'
import type { Aead } from '../ports.ts'
import { nodeAead, nonceOf, unseal, unsealInto } from '../seal/index.ts'

/** Data packs hold file contents; meta packs hold trees, chunk lists and index segments. */
export type PackClass = 'data' | 'meta'

/** The class byte of the header is the position here plus one. */
const PACK_CLASSES: readonly PackClass[] = ['data', 'meta']

const MAGIC = utf8('MOYAIPK')
const VERSION = 1
const VERSION_OFFSET = 7
const CLASS_OFFSET = 8
const ZERO_OFFSET = 9
const SALT_OFFSET = 16
const COMMITMENT_OFFSET = SALT_OFFSET + SEAL_SALT_BYTES

assert(COMMITMENT_OFFSET + COMMITMENT_BYTES === PACK_HEADER_BYTES, 'the header is full')

/** Nonces of what is no blob; blob indexes stay below PACK_BLOBS_MAX. */
export const DIRECTORY_NONCE = 0xffffffff
export const FOOTER_NONCE = 0xfffffffe

/** Kind bytes in authenticated data. */
export const KIND_BYTES = {
  data: 1,
  tree: 2,
  list: 3,
  index: 4,
  directory: 0xf0,
  footer: 0xf1,
} as const

/** What is in a blob. */
export type BlobKind = 'data' | 'tree' | 'list' | 'index'

type SealedKind = keyof typeof KIND_BYTES

/** What a header says before any key is known. */
export type PackHeader = { packClass: PackClass; salt: Uint8Array; commitment: Uint8Array }

/** Sealing and opening of the parts of one pack. */
export class PackKeys {
  /** AES-256-CTR key of the padding. */
  readonly padding: Uint8Array
  readonly header: Uint8Array
  readonly #sealing: Uint8Array
  readonly #aead: Aead

  private constructor(o: {
    header: Uint8Array
    sealing: Uint8Array
    padding: Uint8Array
    aead: Aead | undefined
  }) {
    this.header = o.header
    this.#sealing = o.sealing
    this.padding = o.padding
    this.#aead = o.aead ?? nodeAead
  }

  /** The keys of a new pack, with its header. `salt` is 32 random bytes that no other pack has. */
  static create(o: PackIdentity, aead?: Aead): PackKeys {
    const derived = derivePackKeys(o)
    const header = new Uint8Array(PACK_HEADER_BYTES)
    header.set(MAGIC)
    header[VERSION_OFFSET] = VERSION
    header[CLASS_OFFSET] = PACK_CLASSES.indexOf(o.packClass) + 1
    header.set(o.salt, SALT_OFFSET)
    header.set(derived.commitment, COMMITMENT_OFFSET)
    return new PackKeys({ ...derived, header, aead })
  }

  /**
   * The keys of the pack with this header; SEAL_MISMATCH when `dataKey` or `vault` are not its own.
   */
  static open(
    o: { header: Uint8Array; dataKey: Uint8Array; vault: Uint8Array },
    aead?: Aead,
  ): PackKeys {
    const header = new Uint8Array(o.header.subarray(0, PACK_HEADER_BYTES))
    const { packClass, salt, commitment } = parsePackHeader(header)
    const derived = derivePackKeys({ packClass, salt, dataKey: o.dataKey, vault: o.vault })
    if (!equalBytes(derived.commitment, commitment)) {
      throw new MoyaiError('SEAL_MISMATCH', 'the pack was sealed with another key')
    }
    return new PackKeys({ ...derived, header, aead })
  }

  #aad(kind: SealedKind, nonce: number): Uint8Array {
    const aad = new Uint8Array(PACK_HEADER_BYTES + 5)
    aad.set(this.header)
    new DataView(aad.buffer).setUint32(PACK_HEADER_BYTES, nonce)
    aad[PACK_HEADER_BYTES + 4] = KIND_BYTES[kind]
    return aad
  }

  /** Seals into `target` at `offset`; `nonce` is the blob's index and must be new. */
  seal(o: {
    kind: SealedKind
    nonce: number
    plaintext: Uint8Array
    target: Uint8Array
    offset: number
  }): void {
    const target = o.target.subarray(o.offset)
    const aad = this.#aad(o.kind, o.nonce)
    const { plaintext } = o
    this.#aead.seal({ key: this.#sealing, nonce: nonceOf(o.nonce), aad, plaintext, target })
  }

  /**
   * The plaintext; SEAL_MISMATCH unless it was sealed as this kind, under this nonce, in this pack.
   */
  unseal(o: { kind: SealedKind; nonce: number; sealed: Uint8Array }): Uint8Array<ArrayBuffer> {
    const aad = this.#aad(o.kind, o.nonce)
    const what = o.kind === 'directory' || o.kind === 'footer' ? `pack ${o.kind}` : 'blob'
    const { sealed } = o
    const aead = this.#aead
    return unseal({ key: this.#sealing, nonce: nonceOf(o.nonce), aad, sealed, what, aead })
  }

  /** Like `unseal` of a blob, but the plaintext takes the place of the sealed bytes: a view. */
  unsealInPlace(o: { kind: BlobKind; nonce: number; sealed: Uint8Array }): Uint8Array {
    const { sealed } = o
    const aad = this.#aad(o.kind, o.nonce)
    const by = { key: this.#sealing, nonce: nonceOf(o.nonce), aad, aead: this.#aead }
    unsealInto({ ...by, sealed, target: sealed, what: 'blob' })
    return sealed.subarray(0, sealed.length - SEAL_TAG_BYTES)
  }
}

/** What a pack's keys depend on. */
export type PackIdentity = {
  salt: Uint8Array
  packClass: PackClass
  dataKey: Uint8Array
  vault: Uint8Array
}

function derivePackKeys(o: PackIdentity): {
  sealing: Uint8Array
  padding: Uint8Array
  commitment: Uint8Array
} {
  assert(o.dataKey.length === KEY_BYTES, 'a data key has 32 bytes')
  assert(o.vault.length === PUBLIC_KEY_BYTES, 'a vault id has 32 bytes')
  assert(o.salt.length === SEAL_SALT_BYTES, 'a pack salt has 32 bytes')
  const classByte = Uint8Array.of(PACK_CLASSES.indexOf(o.packClass) + 1)
  const all = deriveKey({
    key: o.dataKey,
    salt: o.salt,
    info: 'pack',
    context: concatBytes(o.vault, classByte),
    length: 2 * KEY_BYTES + COMMITMENT_BYTES,
  })
  return {
    sealing: all.subarray(0, KEY_BYTES),
    padding: all.subarray(KEY_BYTES, 2 * KEY_BYTES),
    commitment: all.subarray(2 * KEY_BYTES),
  }
}

/** The header of the pack with this salt: what `openBlob` needs when only the salt was kept. */
export function packHeader(o: PackIdentity): Uint8Array {
  return PackKeys.create(o).header
}

/** Reads a header (views into it). TRUNCATED, MALFORMED or UNKNOWN_VERSION. */
export function parsePackHeader(header: Uint8Array): PackHeader {
  if (header.length < PACK_HEADER_BYTES) {
    throw new MoyaiError('TRUNCATED', 'pack shorter than its header')
  }
  if (!equalBytes(header.subarray(0, VERSION_OFFSET), MAGIC)) {
    throw new MoyaiError('MALFORMED', 'not a pack: wrong magic')
  }
  if (header[VERSION_OFFSET] !== VERSION) {
    throw new MoyaiError('UNKNOWN_VERSION', `pack version ${header[VERSION_OFFSET]} is not known`)
  }
  const packClass = PACK_CLASSES[(header[CLASS_OFFSET] as number) - 1]
  if (packClass === undefined) throw new MoyaiError('MALFORMED', 'unknown pack class')
  if (header.subarray(ZERO_OFFSET, SALT_OFFSET).some((byte) => byte !== 0)) {
    throw new MoyaiError('MALFORMED', 'reserved bytes of the pack header are not zero')
  }
  return {
    packClass,
    salt: header.subarray(SALT_OFFSET, COMMITMENT_OFFSET),
    commitment: header.subarray(COMMITMENT_OFFSET, PACK_HEADER_BYTES),
  }
}
