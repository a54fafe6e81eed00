/**
 * Registers: things of which one value counts although several may be set at once (spec/pool-log.md
 * §6). Which one follows from the set of statements alone, not from their order or any clock.
 */

import { compareBytes, toHex } from '../bytes.ts'
import { assert } from '../assert.ts'
import { REGISTER_AFTER_MAX, REGISTER_SEQ_MAX } from '../limits.ts'
import type { RegisterPlace } from './statement.ts'

/** A value that was set: by the statement `id`, at its place. */
type Setting<V> = RegisterPlace & { id: Uint8Array; value: V }

/** What a new statement about the same thing has to know. */
export type RegisterState = {
  /** Ids of the statements that no other replaces; the first is the one that counts. */
  heads: Uint8Array[]
  /** Highest `seq` of all. */
  seq: number
}

/** One register while its statements are gathered. */
export class Register<V> {
  readonly #settings: Setting<V>[] = []
  readonly #replaced = new Set<string>()

  /** Takes a valid statement. */
  add(setting: Setting<V>): void {
    this.#settings.push(setting)
    for (const id of setting.after) this.#replaced.add(toHex(id))
  }

  /** What none replaces, the one that counts first: the highest `seq`, then the highest id. */
  #heads(): Setting<V>[] {
    return this.#settings
      .filter(({ id }) => !this.#replaced.has(toHex(id)))
      .sort((a, b) => b.seq - a.seq || compareBytes(b.id, a.id))
  }

  /** The value that counts. A hash cannot be named before it exists, so there always is a head. */
  value(): V {
    const [first] = this.#heads()
    assert(first !== undefined, 'a register without a head')
    return first.value
  }

  state(): RegisterState {
    let seq = 0
    for (const one of this.#settings) seq = Math.max(seq, one.seq)
    return { heads: this.#heads().map(({ id }) => id), seq }
  }
}

/** The place of a statement that replaces all there is in `registers` (undefined: nothing yet). */
export function nextRegisterPlace(
  registers: readonly (RegisterState | undefined)[],
): RegisterPlace {
  const heads = new Map<string, Uint8Array>()
  let seq = 0
  for (const register of registers) {
    seq = Math.max(seq, register?.seq ?? 0)
    for (const id of register?.heads ?? []) heads.set(toHex(id), id)
  }
  const after = [...heads.values()].slice(0, REGISTER_AFTER_MAX)
  return { seq: Math.min(seq + 1, REGISTER_SEQ_MAX), after }
}
