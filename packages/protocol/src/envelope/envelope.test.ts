import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { AssertionError } from '../assert.ts'
import { fromHex, toHex } from '../bytes.ts'
import { isMoyaiError } from '../errors.ts'
import { ed25519Signer, verifyEd25519 } from './ed25519.ts'
import { envelopePayload, openEnvelope, signEnvelope, type SignatureTag } from './envelope.ts'

type EnvelopeVector = {
  name: string
  tag: SignatureTag
  seed?: string
  publicKey: string
  envelope: string
  payload?: string
  expect: string
}
type SignatureVector = {
  name: string
  seed?: string
  publicKey: string
  message: string
  signature: string
  expect: string
}

const VECTORS = JSON.parse(
  readFileSync(new URL('../../../../test/vectors/envelope/envelope.json', import.meta.url), 'utf8'),
) as { signatures: SignatureVector[]; envelopes: EnvelopeVector[] }

const SIGNER = ed25519Signer(new Uint8Array(32).fill(7))

test('signature vectors: RFC 8032, and keys that prove nothing', () => {
  for (const vector of VECTORS.signatures) {
    const message = fromHex(vector.message)
    const good = verifyEd25519(fromHex(vector.publicKey), message, fromHex(vector.signature))
    assert.equal(good ? 'ok' : 'BAD_SIGNATURE', vector.expect, vector.name)
    if (vector.seed !== undefined) {
      const signer = ed25519Signer(fromHex(vector.seed))
      assert.equal(toHex(signer.publicKey), vector.publicKey, vector.name)
      assert.equal(toHex(signer.sign(message)), vector.signature, vector.name)
    }
  }
})

test('envelope vectors: each opens to its payload, or fails with its code', () => {
  for (const vector of VECTORS.envelopes) {
    const open = (): Uint8Array =>
      openEnvelope(vector.tag, fromHex(vector.envelope), fromHex(vector.publicKey))
    if (vector.expect === 'ok') {
      assert.equal(toHex(open()), vector.payload, vector.name)
      if (vector.seed !== undefined) {
        const signer = ed25519Signer(fromHex(vector.seed))
        const again = signEnvelope(vector.tag, fromHex(vector.payload ?? ''), signer)
        assert.equal(toHex(again), vector.envelope, vector.name)
      }
    } else {
      assert.throws(open, { code: vector.expect }, vector.name)
    }
  }
})

test('any payload comes back, and only for its tag, key and bytes', () => {
  const other = ed25519Signer(new Uint8Array(32).fill(8)).publicKey
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), (payload, at) => {
      const envelope = signEnvelope('stripe', payload, SIGNER)
      assert.deepEqual(openEnvelope('stripe', envelope, SIGNER.publicKey), payload)
      assert.deepEqual(envelopePayload(envelope), payload)
      const bit = at % (envelope.length * 8)
      const index = bit >> 3
      envelope[index] = (envelope[index] as number) ^ (1 << (bit & 7))
      const bad = { code: 'BAD_SIGNATURE' }
      assert.throws(() => openEnvelope('stripe', envelope, SIGNER.publicKey), bad)
      envelope[index] ^= 1 << (bit & 7)
      assert.throws(() => openEnvelope('receipt', envelope, SIGNER.publicKey), bad)
      assert.throws(() => openEnvelope('stripe', envelope, other), bad)
    }),
    { numRuns: 40 },
  )
})

test('every truncation of an envelope is refused', () => {
  const envelope = signEnvelope('receipt', new Uint8Array(20), SIGNER)
  for (let length = 0; length < envelope.length; length++) {
    assert.throws(
      () => openEnvelope('receipt', envelope.subarray(0, length), SIGNER.publicKey),
      (error: unknown) => isMoyaiError(error, length < 64 ? 'TRUNCATED' : 'BAD_SIGNATURE'),
    )
  }
})

test('keys and signatures of other lengths verify nothing; seeds of other lengths are our bug', () => {
  const message = new Uint8Array(3)
  const signature = SIGNER.sign(message)
  assert.ok(verifyEd25519(SIGNER.publicKey, message, signature))
  assert.ok(!verifyEd25519(SIGNER.publicKey.subarray(1), message, signature))
  assert.ok(!verifyEd25519(new Uint8Array(33), message, signature))
  assert.ok(!verifyEd25519(SIGNER.publicKey, message, signature.subarray(1)))
  assert.throws(() => ed25519Signer(new Uint8Array(31)), AssertionError)
})
