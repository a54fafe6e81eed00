/** Which host a person means. */

import { isMoyaiError, MoyaiError } from '../errors.ts'
import { foldLabel } from './label.ts'
import type { PoolState } from './pool-state.ts'

/** An id is meant only from this many characters on: shorter ones are names. */
const PREFIX_LENGTH_MIN = 4
/** Says that a site is meant. */
const SITE = 'site='

/**
 * The id (hex) of the host called `text`, or whose id alone begins with it; a revoked host only
 * where no other is meant. HOST_UNKNOWN, HOST_AMBIGUOUS.
 */
export function findHost(state: PoolState, text: string): string {
  const present = [...state.hosts].map(([id, { name }]) => ({ id, name }))
  const gone = [...state.revoked].map(([id, { certificate }]) => ({ id, name: certificate?.name }))
  for (const hosts of [present, gone]) {
    const name = foldLabel(text)
    const called = hosts.filter((host) => host.name !== undefined && foldLabel(host.name) === name)
    const prefix = text.toLowerCase()
    const isPrefix = prefix.length >= PREFIX_LENGTH_MIN && /^[0-9a-f]+$/.test(prefix)
    const begun = isPrefix ? hosts.filter(({ id }) => id.startsWith(prefix)) : []
    const found = called.length > 0 ? called : begun
    const [first, ...others] = found
    if (first !== undefined && others.length === 0) return first.id
    if (first === undefined) continue
    throw new MoyaiError('HOST_AMBIGUOUS', `${found.length} hosts are meant by "${text}"`, {
      hint: `give more of the id: ${found.map(({ id }) => id.slice(0, 12)).join(', ')}`,
    })
  }
  throw new MoyaiError('HOST_UNKNOWN', `the pool has no host "${text}"`, {
    hint: 'moyai pool hosts lists them',
  })
}

/**
 * The ids (hex) of the host called `text`, or of all at the site of that name; `site=NAME` is the
 * site alone. HOST_UNKNOWN; HOST_AMBIGUOUS also when a host has the name of a site with others.
 */
export function findHosts(state: PoolState, text: string): string[] {
  const name = foldLabel(text.startsWith(SITE) ? text.slice(SITE.length) : text)
  const there = [...state.hosts].flatMap(([id, { site }]) => (foldLabel(site) === name ? id : []))
  if (there.length === 0 && text.startsWith(SITE)) {
    throw new MoyaiError('HOST_UNKNOWN', `the pool has no host at a site "${text}"`, {
      hint: 'moyai pool hosts lists them',
    })
  }
  if (there.length > 0 && text.startsWith(SITE)) return there
  let host: string
  try {
    host = findHost(state, text)
  } catch (error) {
    if (there.length > 0 && isMoyaiError(error, 'HOST_UNKNOWN')) return there
    throw error
  }
  if (there.every((id) => id === host)) return [host]
  throw new MoyaiError('HOST_AMBIGUOUS', `"${text}" is a host, and a site with others`, {
    hint: `for the site write site=${text}; for the host, its id: ${host.slice(0, 12)}`,
  })
}

/** Whether the name is another live host's; names that differ in ASCII case only are one. */
export function isNameTaken(state: PoolState, name: string, host: string): boolean {
  for (const [other, { claimedName }] of state.hosts) {
    if (other !== host && foldLabel(claimedName) === foldLabel(name)) return true
  }
  return false
}
