/** What placement knows of a host, and what a pool wants to survive: spec/placement.md §1. */

import { MoyaiError } from '../errors.ts'
import { CODE_M_MAX } from '../limits.ts'

/** One certified host of the pool, as placement sees it. */
export type HostFacts = {
  /** Lowercase hex of its Ed25519 public key. */
  id: string
  /** Organisation: a text that is equal for hosts of one organisation. */
  org: string
  site: string
  /** `self` means run by its own people: then its site is its provider. */
  provider: string
  /** Seen lately: only online hosts get new shards. */
  online: boolean
  /** Offered and still free, bytes. */
  freeBytes: number
  /** Meant to run day and night; what is not said is not so. */
  alwaysOn?: boolean
}

/** How many of each kind of failure domain may vanish without loss; 0: not asked for. */
export type Policy = { host: number; site: number; provider: number; org: number }

/** A kind of failure domain that holds several hosts: what caps are for. */
export type GroupKind = Exclude<keyof Policy, 'host'>

/** The kinds of failure domains, in the order of texts. */
export const DOMAIN_KINDS: readonly (keyof Policy)[] = ['host', 'site', 'provider', 'org']

/** Those that hold several hosts; where not all can be survived, the first come first. */
export const GROUP_KINDS: readonly GroupKind[] = ['site', 'provider', 'org']

/** Two machines, or one office, or one provider, or one organisation. */
export const DEFAULT_POLICY: Policy = { host: 2, site: 1, provider: 1, org: 1 }

/** The failure domain of `host` of that kind. Equal texts mean: fails as one. */
export function domainOf(host: HostFacts, kind: keyof Policy): string {
  if (kind === 'host') return host.id
  // The space keeps a site apart from a company that calls itself "self:…".
  if (kind === 'provider' && host.provider === 'self') return `self: ${host.site}`
  return host[kind]
}

/** Always-on holders from which on stripes are made for being read at night (reliability §B8). */
const NIGHT_HOLDERS_MIN = 3

/** Whether restores at night are provided for where nobody said so. */
export function nightsByDefault(holders: readonly HostFacts[]): boolean {
  return holders.filter((host) => host.alwaysOn === true).length >= NIGHT_HOLDERS_MIN
}

/** `host=2 site=1 provider=1 org=1`. */
export function policyText(policy: Policy): string {
  return DOMAIN_KINDS.map((kind) => `${kind}=${policy[kind]}`).join(' ')
}

/**
 * The policy of a text such as `host=2 site=1`, kinds that are not named taken from `base`.
 * CONFIG_INVALID for an unknown kind, a kind named twice, or anything but a whole number from 0 to
 * CODE_M_MAX.
 */
export function parsePolicy(text: string, base: Policy = DEFAULT_POLICY): Policy {
  const policy = { ...base }
  const named = new Set<string>()
  for (const word of text.split(/[\s,]+/).filter((part) => part !== '')) {
    const match = /^(host|site|provider|org)=(\d{1,2})$/.exec(word)
    const kind = DOMAIN_KINDS.find((name) => name === match?.[1])
    const value = Number(match?.[2])
    if (kind === undefined || value > CODE_M_MAX || named.has(kind)) {
      throw new MoyaiError('CONFIG_INVALID', 'the policy cannot be read', {
        hint: `write it as "${policyText(DEFAULT_POLICY)}"`,
      })
    }
    named.add(kind)
    policy[kind] = value
  }
  return policy
}
