import assert from 'node:assert/strict'
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { noise } from '@chainsafe/libp2p-noise'
import type { MessageStream, Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import * as fc from 'fast-check'
import { createLibp2p, type Libp2p } from 'libp2p'
import { Uint8ArrayList } from 'uint8arraylist'
import { frameCipher, TAG_BYTES } from './frame-cipher.ts'
import { NOISE_SLAB_BYTES } from './limits.ts'
import { poolNoise, takeOver } from './noise.ts'
import { StreamReader, StreamWriter } from './stream-io.ts'

/** Cuts `bytes` at places that `cuts` chooses, as sockets and lists do. */
function inParts(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length]
  places.sort((a, b) => a - b)
  return places.slice(1).map((end, i) => bytes.subarray(places[i], end))
}

const cipher = frameCipher()
const CIPHER = 'chacha20-poly1305'
const TAG = { authTagLength: TAG_BYTES }
const anyCuts = fc.array(fc.nat(), { maxLength: 6 })

describe('the frame cipher', { skip: cipher === undefined && 'koffi is not here' }, () => {
  assert.ok(cipher !== undefined)
  const key = randomBytes(32)
  const nonce = randomBytes(12)

  it('seals what node:crypto opens, wherever the text is cut', () => {
    fc.assert(
      fc.property(fc.nat({ max: 70_000 }), anyCuts, (length, cuts) => {
        const text = randomBytes(length)
        const out = new Uint8Array(3 + length + TAG_BYTES)
        cipher.seal({ key, nonce, parts: inParts(text, cuts), out, at: 3 })
        const decipher = createDecipheriv(CIPHER, key, nonce, TAG)
        decipher.setAuthTag(out.subarray(3 + length))
        const opened = decipher.update(out.subarray(3, 3 + length))
        decipher.final()
        assert.ok(opened.equals(text))
        assert.deepEqual([...out.subarray(0, 3)], [0, 0, 0])
      }),
      { numRuns: 50 },
    )
  })

  it('opens in place what node:crypto sealed, and nothing that was altered', () => {
    fc.assert(
      fc.property(fc.nat({ max: 70_000 }), anyCuts, fc.nat(), (length, cuts, at) => {
        const text = randomBytes(length)
        const sealing = createCipheriv(CIPHER, key, nonce, TAG)
        const sealed = Buffer.concat([sealing.update(text), sealing.final(), sealing.getAuthTag()])
        const altered = Uint8Array.from(sealed)
        altered[at % sealed.length] = (altered[at % sealed.length] ?? 0) ^ 1
        const opens = (bytes: Uint8Array): boolean =>
          cipher.open({
            key,
            nonce,
            parts: inParts(bytes.subarray(0, length), cuts),
            tag: bytes.subarray(length),
          })
        assert.equal(opens(altered), false)
        assert.equal(opens(sealed), true)
        assert.ok(sealed.subarray(0, length).equals(text))
      }),
      { numRuns: 50 },
    )
  })

  it('does not write beyond its buffer', () => {
    const out = new Uint8Array(100)
    assert.throws(() => cipher.seal({ key, nonce, parts: [new Uint8Array(90)], out, at: 0 }))
  })
})

// ---- connections ------------------------------------------------------------------------------

const ours = poolNoise()

async function openNode(encrypter: typeof ours): Promise<Libp2p> {
  return createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [encrypter],
    streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: 1024 * 1024 } })],
  })
}

/** A node that sends back whatever comes, and one that is connected to it. */
async function withEcho(
  o: { near: typeof ours; far: typeof ours },
  use: (stream: Stream) => Promise<void>,
): Promise<void> {
  const [near, far] = await Promise.all([openNode(o.near), openNode(o.far)])
  try {
    await far.handle('/echo/1', async (stream) => {
      const reader = new StreamReader(stream)
      const writer = new StreamWriter(stream)
      for (;;) {
        const head = await reader.read(4)
        if (head === undefined) return
        const length = Buffer.from(head.subarray()).readUInt32BE()
        const bytes = await reader.read(length)
        if (bytes !== undefined) await writer.write(bytes)
      }
    })
    const connection = await near.dial(far.getMultiaddrs())
    await use(await connection.newStream('/echo/1'))
  } finally {
    await Promise.all([near.stop(), far.stop()])
  }
}

describe('noise in place', () => {
  for (const [name, near, far] of [
    ['with itself', ours, ours],
    ['towards the stock package', ours, noise()],
    ['from the stock package', noise(), ours],
  ] as const) {
    it(`carries messages of all lengths, ${name}`, async () => {
      // Goal: the bytes on the wire are Noise's. Method: lengths around every border (one frame,
      // one slab), sent and echoed; the source buffers are as they were.
      const lengths = [1, 1199, 1200, 65_507, 65_508, 65_519, 65_520, 131_038, 200_000, 500_000]
      await withEcho({ near, far }, async (stream) => {
        const reader = new StreamReader(stream)
        const writer = new StreamWriter(stream)
        for (const length of [...lengths, NOISE_SLAB_BYTES, NOISE_SLAB_BYTES + 1, ...lengths]) {
          const bytes = randomBytes(length)
          const copy = Buffer.from(bytes)
          const head = Buffer.alloc(4)
          head.writeUInt32BE(length)
          const message = new Uint8ArrayList(head, ...inParts(bytes, [7, 70_000]))
          const [answer] = await Promise.all([reader.read(length), writer.write(message)])
          assert.ok(copy.equals(answer?.subarray() ?? new Uint8Array()))
          assert.ok(copy.equals(bytes))
        }
      })
    })
  }

  it('uses a buffer again only when the kernel has all of it', () => {
    // Goal: what a socket refers to never changes. Method: a stream whose socket says what we want.
    const socket = { writableLength: 0 }
    const listeners: (() => void)[] = []
    const known = {
      handshake: { encrypt: (): void => {}, decrypt: (): void => {} },
      decoder: { decode: (): void => {} },
      encrypt: (text: Uint8Array): Uint8ArrayList => assert.fail(`${text.length}`),
      decrypt: (): void => {},
      stream: {
        socket,
        writeBufferLength: 0,
        send: (): boolean => true,
        addEventListener: (_: string, listener: () => void) => void listeners.push(listener),
      },
    }
    assert.equal(takeOver(known as unknown as MessageStream), true)
    const seal = (length: number): Uint8Array => known.encrypt(new Uint8Array(length)).subarray()
    const sameMemory = (a: Uint8Array, b: Uint8Array): boolean =>
      a.buffer === b.buffer && a.byteOffset === b.byteOffset
    const first = seal(200_000)
    assert.ok(sameMemory(first, seal(200_000)), 'all was taken: the same place again')
    socket.writableLength = 1
    const third = seal(200_000)
    const fourth = seal(200_000)
    assert.equal(third.buffer, first.buffer)
    assert.equal(third.byteOffset, first.byteOffset + first.length, 'behind what is on its way')
    assert.notEqual(fourth.buffer, first.buffer, 'no room: a buffer of its own')
    known.stream.writeBufferLength = 1
    socket.writableLength = 0
    assert.notEqual(seal(200_000).buffer, first.buffer, 'the stream above the socket holds some')
    known.stream.writeBufferLength = 0
    assert.ok(sameMemory(first, seal(200_000)))
    // Given back on `drain`, kept for the next, and forgotten on `close`.
    for (const listener of listeners) listener()
    assert.equal(listeners.length, 2)
  })

  it('is in force for the package that is installed', { skip: cipher === undefined }, async () => {
    // Goal: an update of the package that changes its stream is noticed, because then the stock way
    // would be taken in silence. Method: the very object that its handshake gives is taken over.
    const seen: boolean[] = []
    const spying: typeof ours = (components) => {
      const inner = noise()(components)
      const spy = async <T extends { connection: MessageStream }>(made: Promise<T>): Promise<T> => {
        const secured = await made
        const before = secured.connection
        const { encrypt, decrypt, decoder } = before as unknown as Record<string, unknown>
        seen.push(takeOver(before))
        Object.assign(before, { encrypt, decrypt, decoder })
        return secured
      }
      return {
        protocol: inner.protocol,
        secureInbound: async (connection, options) => spy(inner.secureInbound(connection, options)),
        secureOutbound: async (connection, options) =>
          spy(inner.secureOutbound(connection, options)),
      }
    }
    await withEcho({ near: spying, far: spying }, async () => {})
    assert.deepEqual(seen, [true, true])
  })

  it('leaves a stream that it does not know as it is', () => {
    const stream = { send: () => true } as unknown as MessageStream
    assert.equal(takeOver(stream), false)
    assert.deepEqual(Object.keys(stream), ['send'])
  })
})
