/**
 * Exclude patterns: the part of gitignore's language that backups use.
 *
 * `*` and `?` stop at `/`, `**` does not; `[abc]` is a set; a pattern with a `/` at its start or
 * inside is anchored at the stored folder, any other matches a name at every depth; a `/` at the
 * end means directories only; `!` takes back; the last pattern that matches decides. An absolute
 * pattern that starts with the stored path itself is understood, too. As in git, nothing below an
 * excluded directory can be taken back. Patterns are matched bytewise.
 */

import { MoyaiError, utf8 } from '@moyai/protocol'

/** A person writes dozens, a generated file thousands. */
const PATTERNS_MAX = 10_000
const PATTERN_CHARACTERS_MAX = 4096

type Rule = { exclude: boolean; directoriesOnly: boolean; expression: RegExp }

/** UTF-8 bytes as a text of one character per byte: the alphabet in which paths are matched. */
function byteText(text: string): string {
  return Buffer.from(utf8(text)).toString('latin1')
}

/**
 * The expression of a set like `[a-z]` or `[!x]` at `start`, and where it ends; undefined when it
 * is not closed.
 */
function translateSet(glob: string, start: number): { source: string; end: number } | undefined {
  const negated = glob[start + 1] === '!' || glob[start + 1] === '^'
  const first = start + (negated ? 2 : 1)
  const end = glob.indexOf(']', first + 1)
  if (end < 0) return undefined
  const members = glob.slice(first, end).replaceAll(/[\\\]^[]/g, '\\$&')
  return { source: `(?!/)[${negated ? '^' : ''}${members}]`, end: end + 1 }
}

function translate(glob: string): string {
  let source = ''
  for (let at = 0; at < glob.length;) {
    const character = glob[at] as string
    if (glob.startsWith('**/', at) && (at === 0 || glob[at - 1] === '/')) {
      source += '(?:[^/]+/)*'
      at += 3
    } else if (glob.startsWith('/**', at) && at + 3 === glob.length) {
      source += '/.+'
      at += 3
    } else if (character === '*') {
      source += '[^/]*'
      while (glob[at] === '*') at++
    } else if (character === '?') {
      source += '[^/]'
      at++
    } else if (character === '[') {
      const set = translateSet(glob, at)
      source += set?.source ?? '\\['
      at = set?.end ?? at + 1
    } else {
      const escaped = character === '\\' && at + 1 < glob.length
      const literal = escaped ? (glob[at + 1] as string) : character
      source += literal.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&')
      at += escaped ? 2 : 1
    }
  }
  return source
}

function parseRule(line: string, root: string): Rule | undefined {
  let glob = line.replace(/(?<!\\)\s+$/, '')
  if (glob === '' || glob.startsWith('#')) return undefined
  if (glob.length > PATTERN_CHARACTERS_MAX) {
    throw new MoyaiError('USAGE', 'an exclude pattern is longer than 4096 characters')
  }
  const exclude = !glob.startsWith('!')
  if (!exclude) glob = glob.slice(1)
  const directoriesOnly = glob.endsWith('/')
  if (directoriesOnly) glob = glob.slice(0, -1)
  glob = byteText(glob)
  const below = root === '/' ? '/' : `${root}/`
  if (root !== '' && glob.startsWith(below)) glob = glob.slice(below.length - 1)
  const anchored = glob.includes('/')
  if (glob.startsWith('/')) glob = glob.slice(1)
  const prefix = anchored ? '' : '(?:.*/)?'
  try {
    const expression = new RegExp(`^${prefix}${translate(glob)}$`, 's')
    return { exclude, directoriesOnly, expression }
  } catch (cause) {
    throw new MoyaiError('USAGE', 'an exclude pattern is not valid', { cause })
  }
}

/** The patterns of one store. USAGE for a pattern that makes no sense. */
export class Excludes {
  readonly #rules: Rule[]

  /** `root`: absolute path of the stored folder, one character per byte; '' when there is none. */
  constructor(patterns: readonly string[], root = '') {
    if (patterns.length > PATTERNS_MAX) {
      throw new MoyaiError('USAGE', `more than ${PATTERNS_MAX} exclude patterns`)
    }
    this.#rules = patterns
      .map((line) => parseRule(line, root))
      .filter((rule): rule is Rule => rule !== undefined)
  }

  /** True when nothing stays out. */
  get isEmpty(): boolean {
    return this.#rules.length === 0
  }

  /** Whether `path` (relative to the root, `/` between names, one character per byte) stays out. */
  excluded(path: string, isDirectory: boolean): boolean {
    for (let i = this.#rules.length - 1; i >= 0; i--) {
      const rule = this.#rules[i] as Rule
      if (rule.directoriesOnly && !isDirectory) continue
      if (rule.expression.test(path)) return rule.exclude
    }
    return false
  }
}
