/** Writes keys.json: `node test/vectors/keys/generate.ts`. */

import {
  cborBytes,
  cborInt,
  cborMap,
  cat,
  ed25519,
  hex,
  hkdf,
  named,
  writeVectors,
  type Bytes,
} from '../pack/independent.ts'

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

function bundleOf(
  o: Record<'org' | 'salt' | 'seed' | 'chunkIdKey' | 'dataKey', Uint8Array>,
): Bytes {
  return cborMap([
    ['v', cborInt(1)],
    ['org', cborBytes(o.org)],
    ['salt', cborBytes(o.salt)],
    ['dataKey', cborBytes(o.dataKey)],
    ['chunkIdKey', cborBytes(o.chunkIdKey)],
    ['signingSeed', cborBytes(o.seed)],
  ])
}

function keysOf(secret: Uint8Array, salt: Uint8Array): Record<string, string> {
  const org = ed25519(hkdf({ key: secret, label: 'guard' })).publicKey
  const seed = hkdf({ key: secret, salt, label: 'vault-signing' })
  const chunkIdKey = hkdf({ key: secret, salt, label: 'vault-chunk-id' })
  const dataKey = hkdf({ key: secret, salt, label: 'vault-data' })
  return {
    secret: text(secret),
    salt: text(salt),
    org: text(org),
    vault: text(ed25519(seed).publicKey),
    signingSeed: text(seed),
    chunkIdKey: text(chunkIdKey),
    dataKey: text(dataKey),
    gearSeed: text(hkdf({ key: dataKey, label: 'gear' })),
    snapshotKey: text(hkdf({ key: dataKey, label: 'snapshot' })),
    bundle: text(bundleOf({ org, salt, seed, chunkIdKey, dataKey })),
  }
}

const ART = `${'abandon '.repeat(23)}art`
const TITLE = `${'legal winner thank year wave sausage worth useful '.repeat(2)}legal winner thank year wave sausage worth title`
const VOTE = `${'zoo '.repeat(23)}vote`
const BLESS = `${'letter advice cage absurd amount doctor acoustic avoid '.repeat(2)}letter advice cage absurd amount doctor acoustic bless`

const good: [string, string, string][] = [
  ['BIP-39: zeros', ART, '00'.repeat(32)],
  ['BIP-39: 7f', TITLE, '7f'.repeat(32)],
  ['BIP-39: 80', BLESS, '80'.repeat(32)],
  ['BIP-39: ones', VOTE, 'ff'.repeat(32)],
  ['upper case', ART.toUpperCase(), '00'.repeat(32)],
  ['lines', VOTE.replaceAll(' ', '\r\n'), 'ff'.repeat(32)],
  ['wide spaces', VOTE.replaceAll(' ', '\u3000'), 'ff'.repeat(32)],
  ['commas', ART.replaceAll(' ', ', '), '00'.repeat(32)],
  [
    'numbered',
    VOTE.split(' ')
      .map((word, index) => `${index + 1}. ${word}`)
      .join('\n'),
    'ff'.repeat(32),
  ],
  ['full-width letters', VOTE.replace('zoo', '\uFF5A\uFF4F\uFF4F'), 'ff'.repeat(32)],
]
const bad: [string, string][] = [
  ['nothing', ''],
  ['twelve words', `${'abandon '.repeat(11)}about`],
  ['twenty-three words', 'abandon '.repeat(23)],
  ['twenty-five words', `${ART} art`],
  ['wrong checksum', 'abandon '.repeat(24)],
  ['unknown word', ART.replace('art', 'artt')],
  ['word abbreviated', ART.replace('abandon', 'aban')],
  ['word of another list', ART.replace('abandon', 'abeja')],
  ['words swapped', TITLE.replace('legal winner', 'winner legal')],
  ['very long', `${ART}${' '.repeat(2048)}`],
]

const KEYS = [
  keysOf(hex('00'.repeat(32)), hex('00'.repeat(16))),
  keysOf(named('secret'), named('salt').subarray(0, 16)),
]
const BUNDLE = hex(KEYS[1]?.['bundle'] ?? '')

writeVectors(import.meta, 'keys.json', {
  format: 'keys',
  spec: 'spec/keys.md',
  phrases: [
    ...good.map(([name, phrase, secret]) => ({ name, phrase, secret, expect: 'ok' })),
    ...bad.map(([name, phrase]) => ({ name, phrase, expect: 'BAD_PHRASE' })),
  ],
  keys: KEYS,
  bundles: [
    { name: 'nothing', bundle: '', expect: 'MALFORMED' },
    { name: 'cut', bundle: text(BUNDLE.subarray(0, -1)), expect: 'MALFORMED' },
    { name: 'trailing byte', bundle: text(cat(BUNDLE, hex('00'))), expect: 'MALFORMED' },
    { name: 'version 2', bundle: text(cborMap([['v', cborInt(2)]])), expect: 'UNKNOWN_VERSION' },
    { name: 'fields missing', bundle: text(cborMap([['v', cborInt(1)]])), expect: 'MALFORMED' },
    {
      name: 'short key',
      bundle: text(
        bundleOf({
          org: named('o'),
          salt: named('s').subarray(0, 16),
          seed: named('k'),
          chunkIdKey: named('c'),
          dataKey: named('d').subarray(1),
        }),
      ),
      expect: 'MALFORMED',
    },
    { name: 'too large', bundle: '00'.repeat(513), expect: 'TOO_LARGE' },
  ],
})
