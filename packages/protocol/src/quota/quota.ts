/**
 * What an organisation may keep at a host of another: its share of what that host offers, measured
 * by what its own hosts offer to the pool (spec/quota.md).
 */

import { assert } from '../assert.ts'
import { QUOTA_BYTES_MIN, QUOTA_SLACK } from '../limits.ts'

/** One certified host, as far as give and take go. */
export type Offer = {
  /** Lowercase hex. */
  id: string
  /** Organisation: a text that is equal for hosts of one organisation. */
  org: string
  /** Bytes that it keeps for others. */
  offered: number
}

/**
 * Bytes of shards that the vaults of `org` together may take at `holder`; undefined where there is
 * no such bound, at the hosts of their own organisation. What the organisation gives is spread over
 * the other organisations' hosts in proportion to what those offer; since no placement is that even,
 * each allows QUOTA_SLACK times it, and QUOTA_BYTES_MIN in any case.
 */
export function quotaBytes(o: {
  hosts: readonly Offer[]
  holder: string
  org: string
}): number | undefined {
  const holder = o.hosts.find(({ id }) => id === o.holder)
  assert(holder !== undefined, 'the holder is one of the hosts')
  if (holder.org === o.org) return undefined
  let given = 0
  let others = 0
  for (const { org, offered } of o.hosts) {
    if (org === o.org) given += offered
    else others += offered
  }
  const share = others === 0 ? 0 : (QUOTA_SLACK * given * holder.offered) / others
  return Math.max(QUOTA_BYTES_MIN, Math.floor(share))
}
