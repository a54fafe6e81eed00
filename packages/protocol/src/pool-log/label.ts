/**
 * Names and labels in the pool log: rules that every version and every Unicode table judges alike.
 */

import { s, type Schema } from '../cbor/index.ts'
import { NAME_LENGTH_MAX } from '../limits.ts'

/**
 * Separators of ours (`#` marks doubled names, `:` snapshots' paths, `/` paths) and what a shell or
 * a terminal takes for something else. Spaces and letters of any script are welcome inside.
 */
const FORBIDDEN = new Set('#:/\\"\'`<>|*?')

function isInvisible(code: number): boolean {
  if (code < 0x20 || (code >= 0x7f && code < 0xa1) || code === 0xad) return true
  // Zero-width, direction and format characters, line separators; byte order mark.
  return (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e)
    ? true
    : (code >= 0x2060 && code <= 0x206f) || code === 0xfeff || code >= 0xe0000
}

/**
 * True for 1 to NAME_LENGTH_MAX visible characters without separators, and no space at either end.
 */
export function isLabel(text: string): boolean {
  if (text.length === 0 || text.length > NAME_LENGTH_MAX || !text.isWellFormed()) return false
  if (text.startsWith(' ') || text.endsWith(' ') || text.startsWith('-')) return false
  for (const character of text) {
    if (FORBIDDEN.has(character) || isInvisible(character.codePointAt(0) as number)) return false
  }
  return true
}

/** ASCII letters in lower case: names that differ in no more are the same name. */
export function foldLabel(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}

export const labelSchema: Schema<string> = s.where(
  s.text({ min: 1, max: NAME_LENGTH_MAX }),
  isLabel,
  'a name of visible characters',
)
