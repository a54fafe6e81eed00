import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { inspect } from 'node:util'
import * as fc from 'fast-check'
import { AssertionError } from '../assert.ts'
import { fromHex, toHex } from '../bytes.ts'
import { encodeCbor } from '../cbor/index.ts'
import { isMoyaiError } from '../errors.ts'
import {
  decodeBundle,
  deriveVaultBundle,
  encodeBundle,
  gearSeed,
  guardSigner,
  snapshotKey,
  vaultSigner,
} from './derive.ts'
import { generatePhrase, phraseToSecret, secretToPhrase } from './phrase.ts'

type PhraseVector = { name: string; phrase: string; expect: string; secret?: string }
type KeyVector = Record<
  | 'secret'
  | 'salt'
  | 'org'
  | 'vault'
  | 'signingSeed'
  | 'chunkIdKey'
  | 'dataKey'
  | 'gearSeed'
  | 'snapshotKey'
  | 'bundle',
  string
>
type BundleVector = { name: string; bundle: string; expect: string }

const VECTORS = JSON.parse(
  readFileSync(new URL('../../../../test/vectors/keys/keys.json', import.meta.url), 'utf8'),
) as { phrases: PhraseVector[]; keys: KeyVector[]; bundles: BundleVector[] }

const secrets = fc.uint8Array({ minLength: 32, maxLength: 32 })

test('phrase vectors: BIP-39 words, however they are typed, and what is refused', () => {
  for (const vector of VECTORS.phrases) {
    if (vector.expect === 'ok') {
      assert.equal(toHex(phraseToSecret(vector.phrase)), vector.secret, vector.name)
    } else {
      assert.throws(() => phraseToSecret(vector.phrase), { code: vector.expect }, vector.name)
    }
  }
})

test('key vectors: one secret gives the same keys everywhere', () => {
  for (const vector of VECTORS.keys) {
    const secret = fromHex(vector.secret)
    const bundle = deriveVaultBundle(secret, fromHex(vector.salt))
    assert.equal(toHex(guardSigner(secret).publicKey), vector.org)
    assert.equal(toHex(bundle.org), vector.org)
    assert.equal(toHex(vaultSigner(bundle).publicKey), vector.vault)
    assert.equal(toHex(bundle.signingSeed), vector.signingSeed)
    assert.equal(toHex(bundle.chunkIdKey), vector.chunkIdKey)
    assert.equal(toHex(bundle.dataKey), vector.dataKey)
    assert.equal(toHex(gearSeed(bundle)), vector.gearSeed)
    assert.equal(toHex(snapshotKey(bundle)), vector.snapshotKey)
    assert.equal(toHex(encodeBundle(bundle)), vector.bundle)
    assert.deepEqual(decodeBundle(fromHex(vector.bundle)), bundle)
  }
  for (const vector of VECTORS.bundles) {
    assert.throws(() => decodeBundle(fromHex(vector.bundle)), { code: vector.expect }, vector.name)
  }
})

test('any secret comes back from its phrase, typed untidily', () => {
  const join = fc.constantFrom(' ', '  ', '\n', '\t', ', ', '\u3000', ' \r\n ')
  fc.assert(
    fc.property(secrets, join, fc.boolean(), fc.boolean(), (secret, space, upper, numbered) => {
      const phrase = generatePhrase({ bytes: () => secret })
      assert.equal(phrase, secretToPhrase(secret))
      const words = phrase
        .split(' ')
        .map((word, index) => (numbered ? `${index + 1}. ` : '') + word)
      const typed = ` ${words.join(space)}\n`
      assert.deepEqual(phraseToSecret(upper ? typed.toUpperCase() : typed), secret)
    }),
    { numRuns: 50 },
  )
})

test('an unknown word is named by its position, with what it may have been', () => {
  const words = secretToPhrase(new Uint8Array(32).fill(0x5a)).split(' ')
  const typed = (index: number, word: string): string =>
    words.map((known, i) => (i === index ? word : known)).join(' ')
  const hints: [string, RegExp][] = [
    ['abandno', /word 7 may be abandon/],
    ['aband', /word 7 may be abandon/],
    ['ocaen', /word 7 may be ocean/],
    ['tunel', /word 7 may be tunnel/],
  ]
  for (const [word, hint] of hints) {
    assert.throws(() => phraseToSecret(typed(6, word)), {
      code: 'BAD_PHRASE',
      message: 'word 7 of the recovery phrase is not in the word list',
      hint,
    })
  }
  assert.throws(() => phraseToSecret(typed(23, 'qqqqqqqqqqqq')), {
    code: 'BAD_PHRASE',
    hint: undefined,
  })
})

test('no error about a phrase repeats it', () => {
  fc.assert(
    fc.property(secrets, fc.nat(23), fc.nat(3), (secret, at, how) => {
      const words = secretToPhrase(secret).split(' ')
      const broken = [...words]
      if (how === 0) broken[at] = 'zzzsecretzzz'
      if (how === 1) broken.splice(at, 1)
      if (how === 2) broken.push('zzzsecretzzz')
      if (how === 3) broken[at] = broken[at] === 'zoo' ? 'zone' : 'zoo'
      try {
        phraseToSecret(broken.join(' '))
      } catch (error) {
        assert.ok(isMoyaiError(error, 'BAD_PHRASE'))
        const shown = `${error.message} ${error.hint ?? ''} ${inspect(error.cause)}`
        assert.ok(!shown.includes('zzzsecretzzz'))
        assert.ok(!shown.includes(`${words[0]} ${words[1]}`))
      }
    }),
    { numRuns: 60 },
  )
})

test('every key differs from every other, and another salt changes all vault keys', () => {
  const secret = new Uint8Array(32).fill(1)
  const seen = new Set<string>()
  for (const fill of [1, 2]) {
    const bundle = deriveVaultBundle(secret, new Uint8Array(16).fill(fill))
    const keys = [bundle.signingSeed, bundle.chunkIdKey, bundle.dataKey, gearSeed(bundle)]
    for (const key of [...keys, snapshotKey(bundle), vaultSigner(bundle).publicKey]) {
      assert.equal(key.length, 32)
      seen.add(toHex(key))
    }
  }
  seen.add(toHex(guardSigner(secret).publicKey))
  assert.equal(seen.size, 13)
})

test('a bundle decodes only from exactly its encoding', () => {
  const bundle = deriveVaultBundle(new Uint8Array(32), new Uint8Array(16))
  const encoded = encodeBundle(bundle)
  for (let length = 0; length < encoded.length; length++) {
    assert.throws(() => decodeBundle(encoded.subarray(0, length)), { code: 'MALFORMED' })
  }
  assert.throws(() => decodeBundle(encodeCbor({ v: 2 })), { code: 'UNKNOWN_VERSION' })
  assert.throws(() => decodeBundle(encodeCbor({ v: 1, ...bundle, guard: 1 })), {
    code: 'MALFORMED',
  })
  assert.throws(() => decodeBundle(new Uint8Array(513)), { code: 'TOO_LARGE' })
})

test('secrets and salts of other lengths are our bug', () => {
  assert.throws(() => guardSigner(new Uint8Array(31)), AssertionError)
  assert.throws(() => deriveVaultBundle(new Uint8Array(32), new Uint8Array(15)), AssertionError)
  assert.throws(() => generatePhrase({ bytes: () => new Uint8Array(16) }), AssertionError)
})
