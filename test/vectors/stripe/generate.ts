/** Writes stripe.json beside this file: `node test/vectors/stripe/generate.ts`. */

import { concatBytes, openStripe, signStripe, toHex } from '@moyai/protocol'
import { HOST, STRIPE, VAULT, changed, flipped, plain, write } from '../holder.ts'

const good = signStripe(STRIPE, VAULT)
const change = (changes: Parameters<typeof changed>[3]): Uint8Array =>
  changed('stripe', good, VAULT, changes)
const [first = new Uint8Array()] = STRIPE.shardHashes
const single = signStripe({ ...STRIPE, k: 1, m: 0, shardHashes: [first] }, VAULT)
const hashes = concatBytes(...STRIPE.shardHashes)
const largest = {
  ...STRIPE,
  k: 32,
  m: 16,
  shardLength: 4 * 1024 * 1024,
  class: 'critical' as const,
  shardHashes: Array.from({ length: 48 }, (_, i) => new Uint8Array(32).fill(i)),
}

const cases: [name: string, envelope: Uint8Array, expect: string][] = [
  ['a stripe of 2+3', good, 'ok'],
  ['a stripe of 1+0', single, 'ok'],
  ['the largest code', signStripe(largest, VAULT), 'ok'],
  ['empty', new Uint8Array(), 'TRUNCATED'],
  ['shorter than a signature', good.subarray(0, 63), 'TRUNCATED'],
  ['payload cut off', good.subarray(0, -1), 'MALFORMED'],
  ['a byte too many', concatBytes(good, Uint8Array.of(0)), 'MALFORMED'],
  ['longer than any descriptor', new Uint8Array(2049), 'TOO_LARGE'],
  ['a bit of the signature flipped', flipped(good, 5), 'BAD_SIGNATURE'],
  ['a bit of the last field flipped', flipped(good, -1), 'BAD_SIGNATURE'],
  ['signed by another key', changed('stripe', good, HOST, {}), 'BAD_SIGNATURE'],
  ['signed for another purpose', changed('receipt', good, VAULT, {}), 'BAD_SIGNATURE'],
  ['a later version', change({ v: 2 }), 'UNKNOWN_VERSION'],
  ['no version', change({ v: undefined }), 'MALFORMED'],
  ['an unknown field', change({ note: 'x' }), 'MALFORMED'],
  ['no pack', change({ pack: undefined }), 'MALFORMED'],
  ['a short pack id', change({ pack: new Uint8Array(31) }), 'MALFORMED'],
  ['k of zero', change({ k: 0 }), 'MALFORMED'],
  ['k beyond the limit', change({ k: 33 }), 'MALFORMED'],
  ['m beyond the limit', change({ m: 17 }), 'MALFORMED'],
  ['one hash too few', change({ shards: hashes.subarray(32) }), 'MALFORMED'],
  ['half a hash too many', change({ shards: concatBytes(hashes, new Uint8Array(16)) }), 'MALFORMED'],
  ['a shard length that is no class', change({ length: 65_537 }), 'MALFORMED'],
  ['a shard length of zero', change({ length: 0 }), 'MALFORMED'],
  ['an unknown class', change({ class: 'junk' }), 'MALFORMED'],
  ['a negative time', change({ until: -1 }), 'MALFORMED'],
  ['a time after the year 9999', change({ until: 253_402_300_800_000 }), 'MALFORMED'],
]

write(new URL('stripe.json', import.meta.url), {
  comment:
    'envelope: hex. On ok, opening gives descriptor (bytes as hex); otherwise it fails with expect.' +
    ' The vault seed is 32 bytes 01. See spec/stripe.md.',
  cases: cases.map(([name, envelope, expect]) => ({
    name,
    envelope: toHex(envelope),
    ...(expect === 'ok' ? { descriptor: plain(openStripe(envelope)) } : {}),
    expect,
  })),
})
