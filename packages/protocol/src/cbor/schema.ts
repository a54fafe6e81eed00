/**
 * Schemas: from a decoded CBOR value to a typed object, or MALFORMED naming the field.
 *
 * A schema is read-only and total: every key is known, every size has a bound. A format lists its
 * version first (`v: s.version(1)`), so that a later version is reported as UNKNOWN_VERSION and not
 * as a strange field.
 */

import { MoyaiError } from '../errors.ts'
import { decodeCbor, type CborMap, type CborValue, type DecodeLimits } from './cbor.ts'

/** Reads one value; `path` names it in errors. */
export type Schema<T> = { readonly read: (value: CborValue, path: string) => T }

/** A map field that may be absent. */
export type OptionalSchema<T> = { readonly optional: true; readonly inner: Schema<T> }

export type SchemaFields = { readonly [key: string]: Schema<unknown> | OptionalSchema<unknown> }

/** The type that a schema reads. */
export type Infer<S> = S extends { readonly read: (value: CborValue, path: string) => infer T }
  ? T
  : never

type OptionalKeys<F> = { [K in keyof F]: F[K] extends OptionalSchema<unknown> ? K : never }[keyof F]

/** The object type of a map's fields. */
export type InferFields<F> = { [K in Exclude<keyof F, OptionalKeys<F>>]: Infer<F[K]> } & {
  [K in OptionalKeys<F>]?: F[K] extends OptionalSchema<infer T> ? T : never
}

function malformed(path: string, what: string): never {
  throw new MoyaiError('MALFORMED', `${path}: expected ${what}`)
}

function isMap(value: CborValue): value is CborMap {
  return typeof value === 'object' && !Array.isArray(value) && !(value instanceof Uint8Array)
}

function bytes(o: { length?: number; max?: number; min?: number }): Schema<Uint8Array> {
  const min = o.length ?? o.min ?? 0
  const max = o.length ?? o.max ?? 0
  const what = o.length === undefined ? `${min} to ${max} bytes` : `${o.length} bytes`
  return {
    read: (value, path) =>
      value instanceof Uint8Array && value.length >= min && value.length <= max
        ? value
        : malformed(path, what),
  }
}

/** `max` counts UTF-16 units. */
function text(o: { max: number; min?: number }): Schema<string> {
  const min = o.min ?? 0
  return {
    read: (value, path) =>
      typeof value === 'string' && value.length >= min && value.length <= o.max
        ? value
        : malformed(path, `a text of ${min} to ${o.max} characters`),
  }
}

function int(o: { min?: number; max?: number } = {}): Schema<number> {
  const min = o.min ?? 0
  const max = o.max ?? Number.MAX_SAFE_INTEGER
  return {
    read: (value, path) =>
      typeof value === 'number' && value >= min && value <= max
        ? value
        : malformed(path, `an integer from ${min} to ${max}`),
  }
}

function wide(min: bigint, max: bigint): Schema<bigint> {
  return {
    read: (value, path) => {
      if (typeof value !== 'number' && typeof value !== 'bigint') {
        malformed(path, `an integer from ${min} to ${max}`)
      }
      const integer = BigInt(value)
      return integer >= min && integer <= max
        ? integer
        : malformed(path, `an integer from ${min} to ${max}`)
    },
  }
}

function bool(): Schema<boolean> {
  return {
    read: (value, path) => (typeof value === 'boolean' ? value : malformed(path, 'a boolean')),
  }
}

function oneOf<const L extends readonly (string | number)[]>(...literals: L): Schema<L[number]> {
  return {
    read: (value, path) => {
      const found = literals.find((candidate) => candidate === value)
      return found === undefined ? malformed(path, `one of ${literals.join(', ')}`) : found
    },
  }
}

function literal<const L extends string | number | boolean>(expected: L): Schema<L> {
  return {
    read: (value, path) => (value === expected ? expected : malformed(path, String(expected))),
  }
}

/** A version number: another integer is UNKNOWN_VERSION. */
function version<const L extends number>(expected: L): Schema<L> {
  return {
    read: (value, path) => {
      if (value === expected) return expected
      if (typeof value !== 'number') malformed(path, 'a version number')
      throw new MoyaiError('UNKNOWN_VERSION', `${path}: version ${value} is not known here`, {
        hint: 'a newer moyai wrote this; update this host',
      })
    },
  }
}

function array<T>(item: Schema<T>, o: { max: number; min?: number }): Schema<T[]> {
  const min = o.min ?? 0
  return {
    read: (value, path) =>
      Array.isArray(value) && value.length >= min && value.length <= o.max
        ? value.map((element, index) => item.read(element, `${path}[${index}]`))
        : malformed(path, `a list of ${min} to ${o.max} items`),
  }
}

/** Fields are read in the order they are listed; keys beyond them are refused afterwards. */
function map<F extends SchemaFields>(shape: F): Schema<InferFields<F>> {
  const entries = Object.entries(shape)
  return {
    read: (value, path) => {
      if (!isMap(value)) malformed(path, 'a map')
      const out: Record<string, unknown> = {}
      for (const [key, field] of entries) {
        const present = Object.hasOwn(value, key) ? value[key] : undefined
        if (present !== undefined) {
          const schema = 'optional' in field ? field.inner : field
          out[key] = schema.read(present, `${path}.${key}`)
        } else if (!('optional' in field)) malformed(`${path}.${key}`, 'a value')
      }
      for (const key of Object.keys(value)) {
        if (!Object.hasOwn(shape, key)) malformed(path, 'no unknown keys')
      }
      return out as InferFields<F>
    },
  }
}

function optional<T>(inner: Schema<T>): OptionalSchema<T> {
  return { optional: true, inner }
}

/** A value that the predicate must accept, too; `what` completes "expected …". */
function where<T>(schema: Schema<T>, accepts: (value: T) => boolean, what: string): Schema<T> {
  return {
    read: (value, path) => {
      const out = schema.read(value, path)
      return accepts(out) ? out : malformed(path, what)
    },
  }
}

/** A map of one of several shapes, told apart by the text under `key`. */
function variant<V extends { readonly [name: string]: Schema<unknown> }>(
  key: string,
  shapes: V,
): Schema<Infer<V[keyof V]>> {
  return {
    read: (value, path) => {
      if (!isMap(value)) malformed(path, 'a map')
      const name = Object.hasOwn(value, key) ? value[key] : undefined
      const shape =
        typeof name === 'string' && Object.hasOwn(shapes, name) ? shapes[name] : undefined
      if (shape === undefined) {
        malformed(`${path}.${key}`, `one of ${Object.keys(shapes).join(', ')}`)
      }
      return shape.read(value, path) as Infer<V[keyof V]>
    },
  }
}

/** Any value: for parts that are decoded later. */
function any(): Schema<CborValue> {
  return { read: (value) => value }
}

/** The schema kit. `int` gives numbers, `int64` and `uint64` give bigints. */
export const s: {
  bytes: typeof bytes
  text: typeof text
  int: typeof int
  int64: () => Schema<bigint>
  uint64: () => Schema<bigint>
  bool: typeof bool
  oneOf: typeof oneOf
  literal: typeof literal
  version: typeof version
  array: typeof array
  map: typeof map
  optional: typeof optional
  where: typeof where
  variant: typeof variant
  any: typeof any
} = {
  bytes,
  text,
  int,
  int64: () => wide(-(2n ** 63n), 2n ** 63n - 1n),
  uint64: () => wide(0n, 2n ** 64n - 1n),
  bool,
  oneOf,
  literal,
  version,
  array,
  map,
  optional,
  where,
  variant,
  any,
}

/**
 * `value` as `schema` reads it; MALFORMED or UNKNOWN_VERSION with `what` as the name of the whole.
 */
export function parse<T>(schema: Schema<T>, value: CborValue, what: string): T {
  return schema.read(value, what)
}

/** `decodeCbor` and `parse` in one step. */
export function decodeAs<T>(
  schema: Schema<T>,
  encoded: Uint8Array,
  limits: DecodeLimits & { what: string },
): T {
  return schema.read(decodeCbor(encoded, limits), limits.what)
}
