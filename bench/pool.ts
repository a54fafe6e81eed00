/** What the measurements share: pools of hosts, and whole stores and retrieves. */

import type { HostSpec } from '@moyai/cli/cluster'
import type { RetrieveParams, StoreParams } from '@moyai/protocol'

/** Three sites of two hosts, two providers; the first is the owner. */
export const SIX_HOSTS: readonly HostSpec[] = ['a', 'b', 'c', 'd', 'e', 'f'].map((name, i) => ({
  name,
  site: `site-${Math.floor(i / 2)}`,
  provider: i < 3 ? 'one' : 'two',
}))

/**
 * An owner and six holders, all in one building: the pool of the comparison with other programs.
 */
export const OWNER_AND_SIX_HOLDERS: readonly HostSpec[] = [
  'owner',
  'a',
  'b',
  'c',
  'd',
  'e',
  'f',
].map((name) => ({ name, site: 'one', provider: 'one' }))

/** One snapshot of the folder `source`. */
export function wholeStore(source: string): StoreParams {
  return { paths: [source], tags: [], excludes: [], dryRun: false, wait: true }
}

/** All of `snapshot` into `to`. */
export function wholeRetrieve(snapshot: string, to: string): RetrieveParams {
  return {
    snapshot,
    to,
    includes: [],
    excludes: [],
    overwrite: 'always',
    verify: false,
    dryRun: false,
  }
}
