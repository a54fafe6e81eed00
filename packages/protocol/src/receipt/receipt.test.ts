import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../bytes.ts'
import { ed25519Signer } from '../envelope/index.ts'
import { isMoyaiError } from '../errors.ts'
import { TIME_MAX } from '../limits.ts'
import { openLogReceipt, openReceipt, signLogReceipt, signReceipt } from './index.ts'

const host = ed25519Signer(new Uint8Array(32).fill(2))
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })
const time = fc.integer({ min: 0, max: TIME_MAX })
const plainRecords = { noNullPrototype: true }

const receipts = fc.record(
  {
    pool: hash,
    vault: hash,
    pack: hash,
    index: fc.integer({ min: 0, max: 47 }),
    shardHash: hash,
    host: fc.constant(host.publicKey),
    storedAt: time,
    protectedUntil: time,
  },
  plainRecords,
)
const logReceipts = fc.record(
  {
    pool: hash,
    vault: hash,
    seq: fc.maxSafeNat(),
    entry: hash,
    host: fc.constant(host.publicKey),
    at: time,
  },
  plainRecords,
)

describe('receipt', () => {
  it('agrees with the vectors, failures included', () => {
    // Goal: another implementation of spec/receipt.md can be checked with the same files.
    const url = new URL('../../../../test/vectors/receipt/receipt.json', import.meta.url)
    const { cases } = JSON.parse(readFileSync(url, 'utf8')) as {
      cases: { tag: string; name: string; envelope: string; receipt?: unknown; expect: string }[]
    }
    for (const { tag, name, envelope, receipt, expect } of cases) {
      const open = tag === 'receipt' ? openReceipt : openLogReceipt
      if (expect === 'ok') {
        const plain = JSON.stringify(open(fromHex(envelope)), (_, value: unknown) =>
          value instanceof Uint8Array ? toHex(value) : value,
        )
        assert.deepEqual(JSON.parse(plain), receipt, name)
      } else {
        assert.throws(
          () => open(fromHex(envelope)),
          (error) => isMoyaiError(error) && error.code === expect,
          name,
        )
      }
    }
  })

  it('comes back as it was signed', () => {
    // Goal: decode ∘ encode is the identity. Method: random receipts of both kinds; neither opens
    // as the other.
    fc.assert(
      fc.property(receipts, logReceipts, (receipt, logReceipt) => {
        const one = signReceipt(receipt, host)
        const other = signLogReceipt(logReceipt, host)
        assert.deepEqual(openReceipt(one), receipt)
        assert.deepEqual(openLogReceipt(other), logReceipt)
        assert.throws(() => openReceipt(other), isMoyaiError)
        assert.throws(() => openLogReceipt(one), isMoyaiError)
      }),
      { numRuns: 50 },
    )
  })

  it('refuses every truncation and any junk', () => {
    // Goal: total decoding. Method: all prefixes of one envelope; random bytes.
    const [receipt] = fc.sample(receipts, { numRuns: 1, seed: 3 })
    assert.ok(receipt)
    const envelope = signReceipt(receipt, host)
    for (let length = 0; length < envelope.length; length++) {
      assert.throws(() => openReceipt(envelope.subarray(0, length)), isMoyaiError)
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (junk) => {
        assert.throws(() => openReceipt(junk), isMoyaiError)
        assert.throws(() => openLogReceipt(junk), isMoyaiError)
      }),
    )
  })

  it('is signed by its own host only', () => {
    // Goal: a wrong signer is a bug of ours, found before the bytes leave.
    const [receipt] = fc.sample(receipts, { numRuns: 1, seed: 4 })
    assert.ok(receipt)
    const other = ed25519Signer(new Uint8Array(32).fill(9))
    assert.throws(() => signReceipt(receipt, other), { name: 'AssertionError' })
  })
})
