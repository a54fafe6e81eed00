/**
 * Noise as libp2p's package speaks it, with its frames sealed and opened in place.
 *
 * The package's handshake and states are used as they are. After the handshake its stream makes
 * some ten buffers for each frame of 64 KiB, copies what it received once more than needed, and
 * hands the socket four small writes per frame, each a system call and a wait. Here all frames of a
 * message are sealed into one buffer, which is one write, and what arrives is decrypted where it
 * lies. The bytes on the wire are the same (docs/decisions/0011).
 *
 * Where OpenSSL cannot be reached, or the package's stream is not built as expected, it stays as it
 * is.
 */

import { noise, type NoiseComponents, type NoiseExtensions } from '@chainsafe/libp2p-noise'
import { defaultCrypto } from '@chainsafe/libp2p-noise/crypto'
import type { ConnectionEncrypter, MessageStream, SecuredConnection } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { frameCipher, TAG_BYTES } from './frame-cipher.ts'
import { NOISE_SLAB_BYTES, NOISE_SLABS_KEPT_MAX } from './limits.ts'

/** Each frame begins with its length in two bytes, which bound it. */
const LENGTH_BYTES = 2
const FRAME_BYTES_MAX = 65_535
const PLAIN_BYTES_MAX: number = FRAME_BYTES_MAX - TAG_BYTES
/** Messages below this get a buffer of their own size. */
const SLAB_FROM_BYTES = 16 * 1024

type Bytes = Uint8Array | Uint8ArrayList
type Encrypter = ConnectionEncrypter<NoiseExtensions>

/** A frame on its way through the package's cipher state, which adds key and nonce to it. */
class SealJob {
  readonly parts: readonly Uint8Array[]
  readonly out: Uint8Array
  readonly at: number
  constructor(parts: readonly Uint8Array[], out: Uint8Array, at: number) {
    this.parts = parts
    this.out = out
    this.at = at
  }
}

class OpenJob {
  readonly parts: readonly Uint8Array[]
  readonly tag: Uint8Array
  constructor(parts: readonly Uint8Array[], tag: Uint8Array) {
    this.parts = parts
    this.tag = tag
  }
}

/** What is used of the package's stream; none of it is public. */
type NoiseStream = MessageStream & {
  handshake: { encrypt(job: SealJob): unknown; decrypt(job: OpenJob): unknown }
  decoder: { decode(data: Bytes): Iterable<Uint8ArrayList> }
  encrypt(data: Bytes): Uint8ArrayList
  decrypt(data: Uint8ArrayList): Uint8ArrayList
  stream: MessageStream & { socket?: { writableLength: number } }
}

/** For `connectionEncrypters`; every connection speaks `/noise`. */
export function poolNoise(): (components: NoiseComponents) => Encrypter {
  const cipher = frameCipher()
  if (cipher === undefined) return noise()
  const nothing = new Uint8Array(0)
  const crypto: typeof defaultCrypto = {
    ...defaultCrypto,
    chaCha20Poly1305Encrypt: (text, nonce, ad, key) => {
      const job: unknown = text
      if (!(job instanceof SealJob)) {
        return defaultCrypto.chaCha20Poly1305Encrypt(text, nonce, ad, key)
      }
      cipher.seal({ key, nonce, parts: job.parts, out: job.out, at: job.at })
      return nothing
    },
    chaCha20Poly1305Decrypt: (text, nonce, ad, key, dst) => {
      const job: unknown = text
      if (!(job instanceof OpenJob)) {
        return defaultCrypto.chaCha20Poly1305Decrypt(text, nonce, ad, key, dst)
      }
      if (cipher.open({ key, nonce, parts: job.parts, tag: job.tag })) return nothing
      throw new Error('a frame of the connection was altered')
    },
  }
  return (components) => withFrames(noise({ crypto })(components))
}

function withFrames(inner: Encrypter): Encrypter {
  const framed = (secured: SecuredConnection<NoiseExtensions>): typeof secured => {
    takeOver(secured.connection)
    return secured
  }
  return {
    protocol: inner.protocol,
    secureInbound: async (connection, options) =>
      framed(await inner.secureInbound(connection, options)),
    secureOutbound: async (connection, options) =>
      framed(await inner.secureOutbound(connection, options)),
  }
}

function field(value: object, name: string): unknown {
  return (value as Record<string, unknown>)[name]
}

/** Whether `value` is an object with these methods. */
function has(value: unknown, ...methods: string[]): boolean {
  if (typeof value !== 'object' || value === null) return false
  return methods.every((name) => typeof field(value, name) === 'function')
}

function isNoiseStream(connection: MessageStream): connection is NoiseStream {
  return (
    has(connection, 'encrypt', 'decrypt') &&
    has(field(connection, 'handshake'), 'encrypt', 'decrypt') &&
    has(field(connection, 'decoder'), 'decode') &&
    has(field(connection, 'stream'), 'send')
  )
}

/**
 * Puts our sealing and opening in the place of the stream's own; false when it is not the stream
 * that is known here.
 */
export function takeOver(connection: MessageStream): boolean {
  if (!isNoiseStream(connection)) return false
  const { handshake, stream } = connection
  const isFlushed = (): boolean =>
    stream.writeBufferLength === 0 && stream.socket?.writableLength === 0
  const slabs = new Slabs(isFlushed)
  connection.encrypt = (data) =>
    new Uint8ArrayList(
      sealFrames(data, {
        take: (length) => slabs.take(length),
        seal: (job) => void handshake.encrypt(job),
      }),
    )
  const opener = new FrameOpener((job) => void handshake.decrypt(job))
  connection.decoder = { decode: (data) => opener.push(data) }
  connection.decrypt = (data) => data
  stream.addEventListener('drain', () => slabs.giveBack())
  stream.addEventListener('close', () => slabs.drop())
  return true
}

/** All frames of one message in one buffer. */
function sealFrames(
  data: Bytes,
  o: { take: (length: number) => Uint8Array; seal: (job: SealJob) => void },
): Uint8Array {
  const frames = Math.ceil(data.byteLength / PLAIN_BYTES_MAX)
  const out = o.take(data.byteLength + frames * (LENGTH_BYTES + TAG_BYTES))
  let at = 0
  for (let from = 0; from < data.byteLength; from += PLAIN_BYTES_MAX) {
    const to = Math.min(from + PLAIN_BYTES_MAX, data.byteLength)
    const parts =
      data instanceof Uint8Array ? [data.subarray(from, to)] : [...data.sublist(from, to)]
    const length = to - from + TAG_BYTES
    out[at] = length >> 8
    out[at + 1] = length
    o.seal(new SealJob(parts, out, at + LENGTH_BYTES))
    at += LENGTH_BYTES + length
  }
  return out
}

/** Collects what arrives and opens each frame that is complete, in place. */
class FrameOpener {
  readonly #open: (job: OpenJob) => void
  readonly #arrived = new Uint8ArrayList()

  constructor(open: (job: OpenJob) => void) {
    this.#open = open
  }

  /** The texts of all frames that `data` completes, as one list or none; throws for a bad one. */
  push(data: Bytes): Uint8ArrayList[] {
    const arrived = this.#arrived
    const texts = new Uint8ArrayList()
    arrived.append(data)
    while (arrived.byteLength >= LENGTH_BYTES) {
      const length = (arrived.get(0) << 8) | arrived.get(1)
      const end = LENGTH_BYTES + length
      if (arrived.byteLength < end) break
      // The package lets empty frames pass, too.
      if (length > 0) {
        if (length < TAG_BYTES) throw new Error('a frame of the connection has no tag')
        const text = arrived.sublist(LENGTH_BYTES, end - TAG_BYTES)
        const tag = arrived.subarray(end - TAG_BYTES, end)
        this.#open(new OpenJob([...text], tag))
        texts.append(text)
      }
      arrived.consume(end)
    }
    return texts.byteLength === 0 ? [] : [texts]
  }
}

/** Buffers that no connection uses. */
const free: Uint8Array[] = []

/**
 * The buffers that one connection seals into. They are used again once the kernel has taken all
 * that was written: until then sockets refer to them.
 */
class Slabs {
  readonly #isFlushed: () => boolean
  #slab: Uint8Array | undefined
  #usedBytes = 0

  constructor(isFlushed: () => boolean) {
    this.#isFlushed = isFlushed
  }

  take(length: number): Uint8Array {
    if (length < SLAB_FROM_BYTES || length > NOISE_SLAB_BYTES) return Buffer.allocUnsafe(length)
    if (this.#usedBytes > 0 && this.#isFlushed()) this.#usedBytes = 0
    if (this.#usedBytes + length > NOISE_SLAB_BYTES) return Buffer.allocUnsafeSlow(length)
    this.#slab ??= free.pop() ?? Buffer.allocUnsafeSlow(NOISE_SLAB_BYTES)
    const start = this.#usedBytes
    this.#usedBytes += length
    return this.#slab.subarray(start, this.#usedBytes)
  }

  /** Lets another connection have the buffer, if nothing refers to it any more. */
  giveBack(): void {
    if (this.#slab === undefined || !this.#isFlushed()) return
    if (free.length < NOISE_SLABS_KEPT_MAX) free.push(this.#slab)
    this.drop()
  }

  /** The socket may still refer to the buffer: it is left to the garbage collector. */
  drop(): void {
    this.#slab = undefined
    this.#usedBytes = 0
  }
}
