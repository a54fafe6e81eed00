/** Amounts as people write them: `500GB`, `24h`, `1.5 TiB`. */

import { MoyaiError } from '@moyai/protocol'

const BYTE_UNITS: Record<string, number> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
}

const SECOND_UNITS: Record<string, number> = {
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 7 * 86_400,
}

function amount(text: string, units: Record<string, number>): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?) ?([A-Za-z]{0,3})$/.exec(text.trim())
  const unit = units[(match?.[2] ?? '').toLowerCase()]
  if (match === null || unit === undefined) return undefined
  const value = Math.round(Number(match[1]) * unit)
  return Number.isSafeInteger(value) ? value : undefined
}

/**
 * Bytes of a text such as `500GB` (1000-based) or `500GiB` (1024-based); a bare number is bytes.
 * USAGE otherwise.
 */
export function parseBytes(text: string): number {
  const value = amount(text, BYTE_UNITS)
  if (value !== undefined) return value
  throw new MoyaiError('USAGE', `'${text.slice(0, 40)}' is not a size`, {
    hint: 'write sizes like 500GB or 1.5TiB',
  })
}

/** Seconds of a text such as `90s`, `30m`, `24h`, `7d`, `2w`. USAGE otherwise. */
export function parseDuration(text: string): number {
  const value = amount(text, SECOND_UNITS)
  if (value !== undefined && value > 0) return value
  throw new MoyaiError('USAGE', `'${text.slice(0, 40)}' is not a length of time`, {
    hint: 'write times like 30m, 24h or 7d',
  })
}
