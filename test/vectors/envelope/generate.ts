/** Writes envelope.json: `node test/vectors/envelope/generate.ts`. */

import {
  ascii,
  cat,
  ed25519,
  flip,
  hex,
  named,
  writeVectors,
  type Bytes,
} from '../pack/independent.ts'

const SEED = named('envelope seed')
const SIGNER = ed25519(SEED)
const PAYLOAD = ascii('what was signed')

function envelope(tag: string, payload: Uint8Array, prefix = 'moyai/v1/'): Bytes {
  return cat(SIGNER.sign(cat(ascii(`${prefix}${tag}`), hex('00'), payload)), payload)
}

const TAGS = [
  'stripe',
  'receipt',
  'log-receipt',
  'vault-log',
  'pool-log',
  'delegation',
  'join',
  'address',
  'guard',
]
const GOOD = envelope('stripe', PAYLOAD)
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const base = { tag: 'stripe', publicKey: text(SIGNER.publicKey) }

const envelopes = [
  ...TAGS.map((tag) => ({
    name: `signed as ${tag}`,
    tag,
    seed: text(SEED),
    publicKey: text(SIGNER.publicKey),
    payload: text(PAYLOAD),
    envelope: text(envelope(tag, PAYLOAD)),
    expect: 'ok',
  })),
  {
    ...base,
    name: 'empty payload',
    payload: '',
    envelope: text(envelope('stripe', hex(''))),
    expect: 'ok',
  },
  {
    ...base,
    name: 'signed for another purpose',
    envelope: text(envelope('receipt', PAYLOAD)),
    expect: 'BAD_SIGNATURE',
  },
  {
    ...base,
    name: 'signed without domain',
    envelope: text(cat(SIGNER.sign(PAYLOAD), PAYLOAD)),
    expect: 'BAD_SIGNATURE',
  },
  {
    ...base,
    name: 'signed for another version',
    envelope: text(envelope('stripe', PAYLOAD, 'moyai/v2/')),
    expect: 'BAD_SIGNATURE',
  },
  {
    ...base,
    name: 'tag running into the payload',
    envelope: text(cat(SIGNER.sign(ascii('moyai/v1/stripewhat was signed')), PAYLOAD)),
    expect: 'BAD_SIGNATURE',
  },
  {
    ...base,
    name: 'another key',
    publicKey: text(ed25519(named('other')).publicKey),
    envelope: text(GOOD),
    expect: 'BAD_SIGNATURE',
  },
  { ...base, name: 'R changed', envelope: text(flip(GOOD, 0)), expect: 'BAD_SIGNATURE' },
  { ...base, name: 'S changed', envelope: text(flip(GOOD, 32)), expect: 'BAD_SIGNATURE' },
  { ...base, name: 'payload changed', envelope: text(flip(GOOD, 64)), expect: 'BAD_SIGNATURE' },
  {
    ...base,
    name: 'payload longer',
    envelope: text(cat(GOOD, hex('00'))),
    expect: 'BAD_SIGNATURE',
  },
  {
    ...base,
    name: 'payload shorter',
    envelope: text(GOOD.subarray(0, -1)),
    expect: 'BAD_SIGNATURE',
  },
  {
    ...base,
    name: 'shorter than a signature',
    envelope: text(GOOD.subarray(0, 63)),
    expect: 'TRUNCATED',
  },
  { ...base, name: 'nothing', envelope: '', expect: 'TRUNCATED' },
]

/** S + L, little-endian: the same point equation, another encoding. */
function malleable(signature: Uint8Array): Bytes {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n
  let scalar = order
  for (let i = 0; i < 32; i++) scalar += BigInt(signature[32 + i] ?? 0) << BigInt(8 * i)
  const out = Buffer.from(signature)
  for (let i = 0; i < 32; i++) out[32 + i] = Number((scalar >> BigInt(8 * i)) & 0xffn)
  return out
}

const SIGNED = SIGNER.sign(PAYLOAD)
const identity = `01${'00'.repeat(31)}`
const trivial = `${identity}${'00'.repeat(32)}`
const weak = [
  ['identity', identity],
  ['identity, sign bit set', `01${'00'.repeat(30)}80`],
  ['order two', `ec${'ff'.repeat(30)}7f`],
  ['order four', '00'.repeat(32)],
  ['order four, other sign', `${'00'.repeat(31)}80`],
  ['order eight', '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05'],
  ['order eight, other sign', '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85'],
  ['order eight, inverse', 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'],
  [
    'order eight, inverse, other sign',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
  ],
  ['identity, y not reduced', `ee${'ff'.repeat(30)}7f`],
  ['order four, y not reduced', `ed${'ff'.repeat(30)}7f`],
]

const signatures = [
  {
    name: 'RFC 8032 test 1',
    seed: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    publicKey: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    message: '',
    signature:
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
    expect: 'ok',
  },
  {
    name: 'RFC 8032 test 2',
    seed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    publicKey: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    message: '72',
    signature:
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
    expect: 'ok',
  },
  {
    name: 'S beyond the group order',
    publicKey: text(SIGNER.publicKey),
    message: text(PAYLOAD),
    signature: text(malleable(SIGNED)),
    expect: 'BAD_SIGNATURE',
  },
  {
    name: 'no point on the curve',
    publicKey: `02${'00'.repeat(31)}`,
    message: text(PAYLOAD),
    signature: text(SIGNED),
    expect: 'BAD_SIGNATURE',
  },
  ...weak.map(([name, publicKey]) => ({
    name: `weak key: ${name}`,
    publicKey,
    message: text(PAYLOAD),
    signature: trivial,
    expect: 'BAD_SIGNATURE',
  })),
]

writeVectors(import.meta, 'envelope.json', {
  format: 'envelope',
  spec: 'spec/encoding.md',
  signatures,
  envelopes,
})
