/**
 * A second writer of moyai's sealed formats, from the pages in spec/ alone: it shares no code with
 * the packages, and it can write what they refuse to. Vectors come from it, so that a mistake in
 * one implementation shows in the other.
 */

import {
  createCipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  sign,
} from 'node:crypto'
import { writeFileSync } from 'node:fs'

export type Bytes = Buffer<ArrayBuffer>

export const hex = (text: string): Bytes => Buffer.from(text, 'hex')
export const ascii = (text: string): Bytes => Buffer.from(text, 'latin1')
export const cat = (...parts: Uint8Array[]): Bytes => Buffer.concat(parts)

/** 32 bytes that depend on a name only. */
export const named = (name: string): Bytes => createHash('sha256').update(name).digest()

export function u32(value: number): Bytes {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** RFC 5869 by hand; info = "moyai/v1/" label 0x00 context. */
export function hkdf(o: {
  key: Uint8Array
  salt?: Uint8Array
  label: string
  context?: Uint8Array
  length?: number
}): Bytes {
  const extract = createHmac('sha256', o.salt ?? Buffer.alloc(32))
    .update(o.key)
    .digest()
  const info = cat(ascii(`moyai/v1/${o.label}`), hex('00'), o.context ?? Buffer.alloc(0))
  const length = o.length ?? 32
  let block: Uint8Array = Buffer.alloc(0)
  let out = Buffer.alloc(0)
  for (let counter = 1; out.length < length; counter++) {
    block = createHmac('sha256', extract)
      .update(cat(block, info, Uint8Array.of(counter)))
      .digest()
    out = cat(out, block)
  }
  return out.subarray(0, length)
}

/** A CBOR head: major type and argument in the shortest form. */
export function head(major: number, argument: number): Bytes {
  const top = major << 5
  if (argument < 24) return Buffer.from([top | argument])
  if (argument < 0x100) return Buffer.from([top | 24, argument])
  if (argument < 0x10000) return Buffer.from([top | 25, argument >> 8, argument & 0xff])
  return cat(Buffer.from([top | 26]), u32(argument))
}

export const cborInt = (value: number): Bytes => head(0, value)
export const cborBytes = (value: Uint8Array): Bytes => cat(head(2, value.length), value)
export const cborText = (value: string): Bytes => cat(head(3, value.length), ascii(value))
export const cborArray = (items: Uint8Array[]): Bytes => cat(head(4, items.length), ...items)
/** Keys are written in the order given. */
export const cborMap = (entries: [string, Uint8Array][]): Bytes =>
  cat(head(5, entries.length), ...entries.flatMap(([key, value]) => [cborText(key), value]))

export function gcm(o: {
  key: Uint8Array
  nonce: number
  aad: Uint8Array
  plaintext: Uint8Array
}): Bytes {
  const cipher = createCipheriv('aes-256-gcm', o.key, cat(Buffer.alloc(8), u32(o.nonce)))
  cipher.setAAD(o.aad)
  return cat(cipher.update(o.plaintext), cipher.final(), cipher.getAuthTag())
}

export function ed25519(seed: Uint8Array): {
  publicKey: Bytes
  sign: (message: Uint8Array) => Bytes
} {
  const der = cat(hex('302e020100300506032b657004220420'), seed)
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const jwk = createPublicKey(key).export({ format: 'jwk' })
  return {
    publicKey: Buffer.from(jwk.x ?? '', 'base64url'),
    sign: (message) => Buffer.from(sign(null, message, key)),
  }
}

/** A copy with one bit of one byte changed. */
export function flip(bytes: Uint8Array, at: number, mask = 1): Bytes {
  const changed = Buffer.from(bytes)
  const index = at < 0 ? bytes.length + at : at
  changed[index] = (changed[index] ?? 0) ^ mask
  return changed
}

export function writeVectors(meta: ImportMeta, file: string, content: object): void {
  writeFileSync(new URL(file, meta.url), `${JSON.stringify(content, null, 2)}\n`)
}
