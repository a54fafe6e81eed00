import assert from 'node:assert/strict'
import { it } from 'node:test'
import { plainCodec } from '@moyai/protocol'
import { loadCodec } from './codec.ts'

it('loads a codec that equals the plain one', () => {
  // Goal: the module file is found and is the right code. Method: one stripe of 2+3, encoded by
  // both.
  const code = { k: 2, m: 3 }
  const data = Uint8Array.from({ length: 2 * 70_000 }, (_, i) => (i * 7919) >>> 3)
  const [one, two] = [loadCodec(), plainCodec()].map((codec) => {
    const shards = codec.allocate(5 * 70_000)
    shards.set(data)
    codec.encode(code, 70_000, shards)
    return shards
  })
  assert.deepEqual(one, two)
  assert.ok(one?.subarray(2 * 70_000).some((byte) => byte !== 0))
})
