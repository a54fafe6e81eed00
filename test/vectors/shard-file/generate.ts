/** Writes shard-file.json beside this file: `node test/vectors/shard-file/generate.ts`. */

import {
  blake3,
  concatBytes,
  decodeShardHeader,
  encodeShardHeader,
  signStripe,
  toHex,
} from '@moyai/protocol'
import { STRIPE, VAULT, flipped, groupsOf, plain, write } from '../holder.ts'

const envelope = signStripe(STRIPE, VAULT)
const good = encodeShardHeader({ descriptor: envelope, index: 3, groups: groupsOf(3) })

/** A header with anything in it, its hash and padding right. */
function made(o: {
  magic?: string
  index?: number
  groups?: Uint8Array
  envelope?: Uint8Array
  headerLength?: number
  reserved?: number
}): Uint8Array {
  const signed = o.envelope ?? envelope
  const groups = o.groups ?? groupsOf(3)
  const headerLength = 16 + signed.length + groups.length + 32
  const bytes = new Uint8Array(Math.ceil(headerLength / 4096) * 4096)
  const view = new DataView(bytes.buffer)
  bytes.set(new TextEncoder().encode(o.magic ?? 'MOYAISH1'))
  view.setUint32(8, o.headerLength ?? headerLength, true)
  view.setUint16(12, signed.length, true)
  view.setUint8(14, o.index ?? 3)
  view.setUint8(15, o.reserved ?? 0)
  bytes.set(signed, 16)
  bytes.set(groups, 16 + signed.length)
  bytes.set(blake3(bytes.subarray(0, headerLength - 32)), headerLength - 32)
  return bytes
}

const headerLength = 16 + envelope.length + 4 * 32 + 32
const cases: [name: string, header: Uint8Array, expect: string][] = [
  ['shard 3 of 2+3', good, 'ok'],
  ['with the beginning of the payload', concatBytes(good, new Uint8Array(100)), 'ok'],
  ['empty', new Uint8Array(), 'TRUNCATED'],
  ['fifteen bytes', good.subarray(0, 15), 'TRUNCATED'],
  ['cut off in the descriptor', good.subarray(0, 100), 'TRUNCATED'],
  ['cut off in the padding', good.subarray(0, -1), 'TRUNCATED'],
  ['another kind of file', made({ magic: 'MOYAISX1' }), 'MALFORMED'],
  ['a later version', made({ magic: 'MOYAISH2' }), 'UNKNOWN_VERSION'],
  ['a reserved byte that is not zero', made({ reserved: 1 }), 'MALFORMED'],
  ['a header length of zero', made({ headerLength: 0 }), 'MALFORMED'],
  ['a header length beyond the limit', made({ headerLength: 2 ** 31 }), 'TOO_LARGE'],
  ['a bit of the descriptor flipped', flipped(good, 30), 'HASH_MISMATCH'],
  ['a bit of a group hash flipped', flipped(good, 16 + envelope.length), 'HASH_MISMATCH'],
  ['a bit of the header hash flipped', flipped(good, headerLength - 1), 'HASH_MISMATCH'],
  ['a bit of the padding flipped', flipped(good, headerLength), 'MALFORMED'],
  ['a bit of the signature flipped', made({ envelope: flipped(envelope, 0) }), 'BAD_SIGNATURE'],
  ['no descriptor', made({ envelope: new Uint8Array() }), 'TRUNCATED'],
  ['an index beyond the code', made({ index: 5 }), 'MALFORMED'],
  ['group hashes of another shard', made({ groups: groupsOf(2) }), 'HASH_MISMATCH'],
  ['a group hash too few', made({ groups: groupsOf(3).subarray(32) }), 'MALFORMED'],
  ['no group hashes', made({ groups: new Uint8Array() }), 'MALFORMED'],
]

write(new URL('shard-file.json', import.meta.url), {
  comment:
    'header: hex of the first bytes of a shard file, trailing zero bytes left out and their number in zeros. On ok it' +
    ' reads as fields; otherwise it fails with expect. See spec/shard-file.md.',
  cases: cases.map(([name, header, expect]) => {
    let end = header.length
    while (end > 0 && header[end - 1] === 0) end--
    return {
      name,
      header: toHex(header.subarray(0, end)),
      zeros: header.length - end,
      ...(expect === 'ok' ? { fields: plain(decodeShardHeader(header)) } : {}),
      expect,
    }
  }),
})
