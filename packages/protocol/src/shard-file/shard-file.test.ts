import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { groupHashes } from '../bao/index.ts'
import { blake3 } from '../blake3/index.ts'
import { fromHex, toHex } from '../bytes.ts'
import { ed25519Signer } from '../envelope/index.ts'
import { isMoyaiError } from '../errors.ts'
import { SHARD_HEADER_BYTES_MAX, SHARD_LENGTHS } from '../limits.ts'
import { signStripe } from '../stripe/index.ts'
import type { StripeDescriptor } from '../stripe/index.ts'
import { decodeShardHeader, encodeShardHeader, shardPayloadOffset } from './index.ts'

const vault = ed25519Signer(new Uint8Array(32).fill(1))

function stripeOf(shards: Uint8Array[], k: number): StripeDescriptor {
  return {
    vault: vault.publicKey,
    vaultSalt: new Uint8Array(16),
    pack: new Uint8Array(32).fill(7),
    k,
    m: shards.length - k,
    shardLength: shards[0]?.length ?? 0,
    shardHashes: shards.map((shard) => blake3(shard)),
    class: 'data',
    protectedUntil: 1,
    created: 2,
  }
}

describe('shard file', () => {
  it('agrees with the vectors, failures included', () => {
    // Goal: another implementation of spec/shard-file.md can be checked with the same files.
    const url = new URL('../../../../test/vectors/shard-file/shard-file.json', import.meta.url)
    const { cases } = JSON.parse(readFileSync(url, 'utf8')) as {
      cases: { name: string; header: string; zeros: number; fields?: unknown; expect: string }[]
    }
    for (const { name, header, zeros, fields, expect } of cases) {
      const bytes = fromHex(header + '00'.repeat(zeros))
      if (expect === 'ok') {
        const read = decodeShardHeader(bytes)
        const plain = JSON.stringify(read, (_, value: unknown) =>
          value instanceof Uint8Array ? toHex(value) : value,
        )
        assert.deepEqual(JSON.parse(plain), fields, name)
        const { envelope, index, groups, payloadOffset } = read
        const again = encodeShardHeader({ descriptor: envelope, index, groups })
        assert.deepEqual(again, bytes.slice(0, payloadOffset), name)
      } else {
        assert.throws(
          () => decodeShardHeader(bytes),
          (error) => isMoyaiError(error) && error.code === expect,
          name,
        )
      }
    }
  })

  it('holds every class of shards, and says beforehand where the payload begins', () => {
    // Goal: a writer reserves the room before it has the hashes. Method: all classes, smallest and
    // largest code.
    for (const length of SHARD_LENGTHS) {
      for (const [k, m] of [
        [1, 0],
        [32, 16],
      ] as const) {
        const shard = new Uint8Array(length).fill(k)
        const envelope = signStripe(
          stripeOf(
            Array.from({ length: k + m }, () => shard),
            k,
          ),
          vault,
        )
        const groups = groupHashes(shard)
        const header = encodeShardHeader({ descriptor: envelope, index: k + m - 1, groups })
        const offset = shardPayloadOffset({ envelopeLength: envelope.length, shardLength: length })
        assert.equal(header.length, offset)
        assert.equal(offset % 4096, 0)
        assert.ok(offset <= SHARD_HEADER_BYTES_MAX)
        const read = decodeShardHeader(header)
        assert.equal(read.payloadOffset, offset)
        assert.equal(read.fileLength, offset + length)
        assert.equal(read.index, k + m - 1)
        assert.deepEqual(read.groups, groups)
      }
    }
  })

  it('refuses every truncation, every flipped bit and any junk', () => {
    // Goal: total decoding. Method: all prefixes and a bit of every byte of a header; random bytes
    // behind the magic.
    const shard = new Uint8Array(65_536).fill(5)
    const envelope = signStripe(stripeOf([shard, shard], 1), vault)
    const header = encodeShardHeader({ descriptor: envelope, index: 0, groups: groupHashes(shard) })
    for (let length = 0; length < header.length; length += 7) {
      assert.throws(() => decodeShardHeader(header.subarray(0, length)), isMoyaiError)
    }
    for (let at = 0; at < header.length; at++) {
      const bad = header.slice()
      bad[at] = (bad[at] ?? 0) ^ (1 << (at & 7))
      assert.throws(() => decodeShardHeader(bad), isMoyaiError, `byte ${at}`)
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (junk) => {
        assert.throws(() => decodeShardHeader(junk), isMoyaiError)
        junk.set(header.subarray(0, Math.min(8, junk.length)))
        assert.throws(() => decodeShardHeader(junk), isMoyaiError)
      }),
    )
  })
})
