import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../bytes.ts'
import { ed25519Signer } from '../envelope/index.ts'
import { isMoyaiError } from '../errors.ts'
import { SHARD_LENGTHS, STRIPE_ENVELOPE_BYTES_MAX, TIME_MAX } from '../limits.ts'
import { openStripe, signStripe } from './index.ts'
import type { StripeDescriptor } from './index.ts'

const vault = ed25519Signer(new Uint8Array(32).fill(1))
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })

const descriptors: fc.Arbitrary<StripeDescriptor> = fc
  .record({ k: fc.integer({ min: 1, max: 32 }), m: fc.integer({ min: 0, max: 16 }) })
  .chain(({ k, m }) =>
    fc.record(
      {
        vault: fc.constant(vault.publicKey),
        vaultSalt: fc.uint8Array({ minLength: 16, maxLength: 16 }),
        pack: hash,
        k: fc.constant(k),
        m: fc.constant(m),
        shardLength: fc.constantFrom(...SHARD_LENGTHS),
        shardHashes: fc.array(hash, { minLength: k + m, maxLength: k + m }),
        class: fc.constantFrom('data', 'meta', 'critical'),
        protectedUntil: fc.integer({ min: 0, max: TIME_MAX }),
        created: fc.integer({ min: 0, max: TIME_MAX }),
      },
      { noNullPrototype: true },
    ),
  )

describe('stripe', () => {
  it('agrees with the vectors, failures included', () => {
    // Goal: another implementation of spec/stripe.md can be checked with the same files.
    const url = new URL('../../../../test/vectors/stripe/stripe.json', import.meta.url)
    const { cases } = JSON.parse(readFileSync(url, 'utf8')) as {
      cases: {
        name: string
        envelope: string
        descriptor?: Record<string, unknown>
        expect: string
      }[]
    }
    for (const { name, envelope, descriptor, expect } of cases) {
      if (expect === 'ok') {
        const opened = openStripe(fromHex(envelope))
        const plain = JSON.parse(
          JSON.stringify(opened, (_, value: unknown) =>
            value instanceof Uint8Array ? toHex(value) : value,
          ),
        ) as unknown
        assert.deepEqual(plain, descriptor, name)
        assert.equal(toHex(signStripe(opened, vault)), envelope, name)
      } else {
        assert.throws(
          () => openStripe(fromHex(envelope)),
          (error) => isMoyaiError(error) && error.code === expect,
          name,
        )
      }
    }
  })

  it('comes back as it was signed, within its limit', () => {
    // Goal: decode ∘ encode is the identity. Method: random descriptors of all codes.
    fc.assert(
      fc.property(descriptors, (descriptor) => {
        const envelope = signStripe(descriptor, vault)
        assert.ok(envelope.length <= STRIPE_ENVELOPE_BYTES_MAX)
        assert.deepEqual(openStripe(envelope), descriptor)
      }),
      { numRuns: 100 },
    )
  })

  it('refuses every truncation, every flipped bit and any junk', () => {
    // Goal: total decoding. Method: all prefixes and all bits of one envelope; random bytes.
    const [descriptor] = fc.sample(descriptors, { numRuns: 1, seed: 7 })
    assert.ok(descriptor)
    const envelope = signStripe(
      { ...descriptor, k: 1, m: 1, shardHashes: [descriptor.pack, descriptor.pack] },
      vault,
    )
    for (let length = 0; length < envelope.length; length++) {
      assert.throws(() => openStripe(envelope.subarray(0, length)), isMoyaiError)
    }
    for (let bit = 0; bit < 8 * envelope.length; bit += 3) {
      const bad = envelope.slice()
      bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      assert.throws(() => openStripe(bad), isMoyaiError, `bit ${bit}`)
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2100 }), (junk) => {
        assert.throws(() => openStripe(junk), isMoyaiError)
      }),
    )
  })

  it('is signed by its own vault only', () => {
    // Goal: a wrong signer is a bug of ours, found before the bytes leave.
    const [descriptor] = fc.sample(descriptors, { numRuns: 1, seed: 8 })
    assert.ok(descriptor)
    const other = ed25519Signer(new Uint8Array(32).fill(9))
    assert.throws(() => signStripe(descriptor, other), { name: 'AssertionError' })
    assert.throws(() => signStripe({ ...descriptor, shardLength: 100 }, vault), {
      name: 'AssertionError',
    })
  })
})
