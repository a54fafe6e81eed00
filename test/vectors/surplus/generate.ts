/** Writes surplus.json beside this file: `node test/vectors/surplus/generate.ts`. */

import { concatBytes, decodeSurplusMarker, encodeCbor, signReceipt, toHex } from '@moyai/protocol'
import { HOST, STRIPE, write } from '../holder.ts'

const receipt = signReceipt(
  {
    pool: new Uint8Array(32).fill(4),
    vault: STRIPE.vault,
    pack: STRIPE.pack,
    index: 3,
    shardHash: STRIPE.shardHashes[3] ?? new Uint8Array(),
    host: HOST.publicKey,
    storedAt: 1_795_408_001_234,
    protectedUntil: STRIPE.protectedUntil,
  },
  HOST,
)
const at = 1_795_408_001_500
// Not by encodeSurplusMarker: what it writes is compared with these.
const good = encodeCbor({ v: 1, at, receipt })

const cases: [name: string, marker: Uint8Array, expect: string][] = [
  ['a marker', good, 'ok'],
  ['empty', new Uint8Array(), 'MALFORMED'],
  ['cut off', good.subarray(0, -1), 'MALFORMED'],
  ['a byte too many', concatBytes(good, Uint8Array.of(0)), 'MALFORMED'],
  ['longer than any marker', new Uint8Array(577), 'TOO_LARGE'],
  ['a later version', encodeCbor({ v: 2, at, receipt }), 'UNKNOWN_VERSION'],
  ['an unknown field', encodeCbor({ v: 1, at, receipt, x: 1 }), 'MALFORMED'],
  ['no receipt', encodeCbor({ v: 1, at }), 'MALFORMED'],
  ['a time before 1970', encodeCbor({ v: 1, at: -1, receipt }), 'MALFORMED'],
  ['a receipt too long', encodeCbor({ v: 1, at, receipt: new Uint8Array(513) }), 'MALFORMED'],
]

write(new URL('surplus.json', import.meta.url), {
  comment:
    'marker: hex. On ok it gives at and receipt (an envelope, hex); otherwise it fails with expect.' +
    ' See spec/surplus.md §2.',
  cases: cases.map(([name, marker, expect]) => {
    const { receipt: envelope, ...rest } =
      expect === 'ok' ? decodeSurplusMarker(marker) : { receipt: undefined }
    const opened = envelope === undefined ? {} : { ...rest, receipt: toHex(envelope) }
    return { name, marker: toHex(marker), ...opened, expect }
  }),
})
