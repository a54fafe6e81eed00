/**
 * The recovery phrase: 24 BIP-39 words that are the 32-byte secret of an organisation (spec/keys.md
 * §2).
 *
 * People type it from paper, so case, spacing, commas and the numbers in front of words do not
 * matter, and an error says which word is wrong. No error ever holds what was typed.
 */

import { entropyToMnemonic, mnemonicToEntropy } from '@scure/bip39'
import { wordlist } from '@scure/bip39/wordlists/english.js'
import { assert } from '../assert.ts'
import { MoyaiError } from '../errors.ts'
import type { Random } from '../ports.ts'

const SECRET_BYTES = 32
const WORDS = 24

/** 24 words of at most 8 letters, with generous numbering and spacing. */
const TYPED_LENGTH_MAX = 2048
/** Further away than this a suggestion would be a guess. */
const SUGGESTION_DISTANCE_MAX = 2
const SUGGESTIONS_MAX = 3

const KNOWN: ReadonlySet<string> = new Set(wordlist)

/** A fresh recovery phrase: 24 lowercase words with single spaces. */
export function generatePhrase(random: Random): string {
  const secret = random.bytes(SECRET_BYTES)
  assert(secret.length === SECRET_BYTES, 'the random source gave another length')
  return entropyToMnemonic(secret, wordlist)
}

/** The phrase of a secret of 32 bytes. */
export function secretToPhrase(secret: Uint8Array): string {
  assert(secret.length === SECRET_BYTES, 'an organisation secret has 32 bytes')
  return entropyToMnemonic(secret, wordlist)
}

/** The 32-byte secret of a typed phrase; BAD_PHRASE with what to look at. */
export function phraseToSecret(words: string): Uint8Array {
  const typed = splitWords(words)
  if (typed.length !== WORDS) {
    throw new MoyaiError('BAD_PHRASE', `a recovery phrase has ${WORDS} words, not ${typed.length}`)
  }
  const unknown: number[] = []
  for (const [index, word] of typed.entries()) if (!KNOWN.has(word)) unknown.push(index)
  if (unknown.length > 0) throw unknownWords(typed, unknown)
  try {
    return new Uint8Array(mnemonicToEntropy(typed.join(' '), wordlist))
  } catch {
    // The library's error may quote what was typed, so it is no cause of ours.
    throw new MoyaiError('BAD_PHRASE', 'the words are known, but together they are no phrase', {
      hint: 'a word may be another of the list, or two may be swapped; compare with the sheet',
    })
  }
}

function splitWords(words: string): string[] {
  if (words.length > TYPED_LENGTH_MAX) {
    throw new MoyaiError('BAD_PHRASE', `this is too long for a recovery phrase of ${WORDS} words`)
  }
  const typed: string[] = []
  for (const part of words
    .normalize('NFKC')
    .toLowerCase()
    .split(/[\s,;]+/u)) {
    const word = part.replace(/^\d+[.):]*/u, '')
    if (word !== '') typed.push(word)
  }
  return typed
}

function unknownWords(typed: readonly string[], unknown: readonly number[]): MoyaiError {
  const positions = unknown.map((index) => index + 1)
  const message =
    positions.length === 1
      ? `word ${positions[0]} of the recovery phrase is not in the word list`
      : `words ${positions.join(', ')} of the recovery phrase are not in the word list`
  const hints: string[] = []
  for (const index of unknown) {
    const near = nearestWords(typed[index] as string)
    if (near.length > 0) hints.push(`word ${index + 1} may be ${near.join(' or ')}`)
  }
  return new MoyaiError('BAD_PHRASE', message, hints.length > 0 ? { hint: hints.join('; ') } : {})
}

/**
 * Words of the list nearest to `typed`: those it abbreviates (four letters tell all apart), else by
 * distance.
 */
function nearestWords(typed: string): string[] {
  if (typed.length >= 3) {
    const begun = wordlist.filter((word) => word.startsWith(typed))
    if (begun.length > 0) return begun.slice(0, SUGGESTIONS_MAX)
  }
  let least = SUGGESTION_DISTANCE_MAX
  let nearest: string[] = []
  for (const word of wordlist) {
    if (Math.abs(word.length - typed.length) > least) continue
    const distance = editDistance(typed, word)
    if (distance > least) continue
    if (distance < least) nearest = []
    least = distance
    nearest.push(word)
  }
  return nearest.slice(0, SUGGESTIONS_MAX)
}

/**
 * Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
 */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let last: number[] = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row: number[] = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = (last[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      let best = Math.min(replace, (last[j] as number) + 1, (row[j - 1] as number) + 1)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, (before[j - 2] as number) + 1)
      }
      row.push(best)
    }
    before = last
    last = row
  }
  return last[b.length] as number
}
