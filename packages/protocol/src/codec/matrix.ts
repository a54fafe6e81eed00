/**
 * GF(2^8) and the generator matrix of the code: spec/code.md §2 and §3.
 *
 * Small and slow on purpose: it is the oracle that faster kernels are compared with.
 */

import { assert, defined } from '../assert.ts'

/** x^8 + x^4 + x^3 + x^2 + 1, in which 2 generates all 255 non-zero elements. */
const POLYNOMIAL = 0x11d

const EXPONENTIAL = new Uint8Array(510)
const LOGARITHM = new Uint8Array(256)

{
  let element = 1
  for (let log = 0; log < 255; log++) {
    EXPONENTIAL[log] = element
    EXPONENTIAL[log + 255] = element
    LOGARITHM[element] = log
    element <<= 1
    if (element > 0xff) element ^= POLYNOMIAL
  }
}

function at(table: Uint8Array, index: number): number {
  return defined(table[index], 'index within the table')
}

/** Product in GF(2^8). */
export function multiply(a: number, b: number): number {
  if (a === 0 || b === 0) return 0
  return at(EXPONENTIAL, at(LOGARITHM, a) + at(LOGARITHM, b))
}

/** Multiplicative inverse of a non-zero element. */
export function invert(a: number): number {
  assert(a !== 0, 'zero has no inverse')
  return at(EXPONENTIAL, 255 - at(LOGARITHM, a))
}

/** `base` to the `exponent`; 0 to the 0 is 1, as the Vandermonde matrix of the family has it. */
export function power(base: number, exponent: number): number {
  if (exponent === 0) return 1
  if (base === 0) return 0
  return at(EXPONENTIAL, (at(LOGARITHM, base) * exponent) % 255)
}

/** All 256 products of `factor`. */
export function productsOf(factor: number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, value) => multiply(factor, value))
}

/** A matrix is an array of rows. */
export type Matrix = readonly Uint8Array[]

/** Product of an r×s and an s×t matrix. */
export function multiplyMatrices(a: Matrix, b: Matrix): Matrix {
  const width = defined(b[0], 'a row').length
  return a.map((row) => {
    assert(row.length === b.length, 'inner dimensions agree')
    const product = new Uint8Array(width)
    for (const [i, factor] of row.entries()) addScaled(product, defined(b[i], 'a row'), factor)
    return product
  })
}

/** target += factor × source, element by element. */
function addScaled(target: Uint8Array, source: Uint8Array, factor: number): void {
  for (let i = 0; i < target.length; i++) {
    target[i] = at(target, i) ^ multiply(factor, at(source, i))
  }
}

/** Inverse of a square matrix by Gauss–Jordan elimination. Asserts that there is one. */
export function invertMatrix(matrix: Matrix): Matrix {
  const size = matrix.length
  const work = matrix.map((row, i) => {
    assert(row.length === size, 'a square matrix')
    const wide = new Uint8Array(2 * size)
    wide.set(row)
    wide[size + i] = 1
    return wide
  })
  for (let column = 0; column < size; column++) {
    const pivot = work.findIndex((row, i) => i >= column && row[column] !== 0)
    assert(pivot >= 0, 'a regular matrix')
    const row = defined(work[pivot], 'the pivot row')
    work[pivot] = defined(work[column], 'a row')
    const scale = invert(at(row, column))
    work[column] = row.map((value) => multiply(value, scale))
    const unit = defined(work[column], 'a row')
    for (const [i, other] of work.entries()) {
      if (i !== column) addScaled(other, unit, at(other, column))
    }
  }
  return work.map((row) => row.slice(size))
}

/**
 * The (k+m) × k generator matrix: the Vandermonde matrix of `row ^ column`, times the inverse of
 * its own top square, so that the first k rows are the identity (spec/code.md §3).
 */
export function generatorMatrix(k: number, m: number): Matrix {
  const vandermonde = Array.from({ length: k + m }, (_row, row) =>
    Uint8Array.from({ length: k }, (_column, column) => power(row, column)),
  )
  return multiplyMatrices(vandermonde, invertMatrix(vandermonde.slice(0, k)))
}
