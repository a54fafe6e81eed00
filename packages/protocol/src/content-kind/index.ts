/** What kind of content some bytes are, found out for less than it costs to treat them wrong. */

export { isZero } from './zero.ts'
export { looksIncompressible } from './entropy.ts'
