/**
 * ChaCha20-Poly1305 by Node's own OpenSSL, from buffer to buffer.
 *
 * `node:crypto` makes a cipher object and new buffers for every 64 KiB of a connection, which costs
 * as much again as the cipher. The same functions, called through koffi, work on buffers that are
 * there already. Where koffi or a symbol is missing there is no such cipher, and callers use
 * `node:crypto`.
 */

import { createRequire } from 'node:module'
import { assert } from '@moyai/protocol'

export const TAG_BYTES = 16

/** `nonce` has 12 bytes, `key` 32; a frame has no additional data. */
export type FrameCipher = {
  /**
   * Encrypts `parts`, one after the other, to `out` from `at` on, and puts the tag (16 bytes) behind
   * them.
   */
  seal(o: {
    key: Uint8Array
    nonce: Uint8Array
    parts: readonly Uint8Array[]
    out: Uint8Array
    at: number
  }): void
  /**
   * Decrypts `parts` where they lie. False when the tag does not fit: they are then to be thrown
   * away.
   */
  open(o: {
    key: Uint8Array
    nonce: Uint8Array
    parts: readonly Uint8Array[]
    tag: Uint8Array
  }): boolean
}

type NativeFunction = (...args: unknown[]) => unknown

/** From OpenSSL's evp.h. */
const CTRL_GET_TAG = 0x10
const CTRL_SET_TAG = 0x11
const ENCRYPT = 1
const DECRYPT = 0

let loaded: { cipher: FrameCipher | undefined } | undefined

/** The cipher of this process, checked once against what it must give; undefined without koffi. */
export function frameCipher(): FrameCipher | undefined {
  loaded ??= { cipher: load() }
  return loaded.cipher
}

function load(): FrameCipher | undefined {
  try {
    const cipher = nativeCipher()
    return isRight(cipher) ? cipher : undefined
  } catch {
    return undefined // koffi is not there, or this Node hides its OpenSSL
  }
}

function nativeCipher(): FrameCipher {
  const koffi = createRequire(import.meta.url)('koffi') as {
    load(path: string | null): { func(signature: string): NativeFunction }
  }
  const lib = koffi.load(null)
  const algorithm = lib.func('void *EVP_chacha20_poly1305()')()
  const context = lib.func('void *EVP_CIPHER_CTX_new()')()
  const init = lib.func(
    'int EVP_CipherInit_ex(void *ctx, void *cipher, void *engine, void *key, void *iv, int enc)',
  )
  const control = lib.func('int EVP_CIPHER_CTX_ctrl(void *ctx, int type, int arg, void *ptr)')
  const update = lib.func(
    'int EVP_CipherUpdate(void *ctx, void *out, void *outl, void *in, int inl)',
  )
  const final = lib.func('int EVP_CipherFinal_ex(void *ctx, void *out, void *outl)')
  // Where the functions say how much they wrote, and what the last one has nothing to write to.
  const written = new Uint8Array(4)
  const nothing = new Uint8Array(TAG_BYTES)
  const must = (result: unknown): void => assert(result === 1, 'OpenSSL does what it is asked')
  must(init(context, algorithm, null, null, null, ENCRYPT))
  return {
    seal: ({ key, nonce, parts, out, at }) => {
      let end = at
      must(init(context, null, null, key, nonce, ENCRYPT))
      for (const part of parts) {
        assert(end + part.length + TAG_BYTES <= out.length, 'a sealed frame fits its buffer')
        must(update(context, out.subarray(end), written, part, part.length))
        end += part.length
      }
      must(final(context, nothing, written))
      must(control(context, CTRL_GET_TAG, TAG_BYTES, out.subarray(end, end + TAG_BYTES)))
    },
    open: ({ key, nonce, parts, tag }) => {
      must(init(context, null, null, key, nonce, DECRYPT))
      for (const part of parts) must(update(context, part, written, part, part.length))
      must(control(context, CTRL_SET_TAG, TAG_BYTES, tag))
      return final(context, nothing, written) === 1
    },
  }
}

/** RFC 8439's cipher, as other implementations write it: an empty text under zeros has this tag. */
const EMPTY_TAG = '4eb972c9a8fb3a1b382bb4d36f5ffad1'

function isRight(cipher: FrameCipher): boolean {
  const key = new Uint8Array(32)
  const nonce = new Uint8Array(12)
  const out = new Uint8Array(TAG_BYTES)
  cipher.seal({ key, nonce, parts: [], out, at: 0 })
  return Buffer.from(out).toString('hex') === EMPTY_TAG
}
