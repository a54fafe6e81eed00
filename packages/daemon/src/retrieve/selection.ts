/** `--include` and `--exclude` of a retrieve: which entries of the tree are wanted. */

import { Excludes } from '../store/exclude.ts'

/**
 * See the head of this file. Patterns are those of `store --exclude`, relative to what is
 * retrieved.
 */
export class Selection {
  readonly #includes: Excludes | undefined
  readonly #excludes: Excludes
  readonly #isEverything: boolean

  /** USAGE for a pattern that makes no sense. */
  constructor(includes: readonly string[], excludes: readonly string[]) {
    this.#includes = includes.length === 0 ? undefined : new Excludes(includes)
    this.#excludes = new Excludes(excludes)
    this.#isEverything = includes.length === 0 && excludes.length === 0
  }

  /** True when nothing is chosen: all is wanted that is not excluded. */
  get isAll(): boolean {
    return this.#includes === undefined
  }

  /**
   * `out`: neither this nor anything below it · `in`: wanted, with all below it that is not
   * excluded · `maybe`: not itself, but something below may be. `isAboveIn`: a directory above was
   * `in`.
   */
  decide(
    path: readonly Uint8Array[],
    isDirectory: boolean,
    isAboveIn: boolean,
  ): 'in' | 'out' | 'maybe' {
    if (this.#isEverything) return 'in'
    const text = path.map((name) => Buffer.from(name).toString('latin1')).join('/')
    if (this.#excludes.excluded(text, isDirectory)) return 'out'
    if (isAboveIn || this.#includes === undefined) return 'in'
    if (this.#includes.excluded(text, isDirectory)) return 'in'
    return isDirectory ? 'maybe' : 'out'
  }
}
