/** A source that must survive more, or less, than the pool's policy asks for. */

import { effectivePolicy, parsePolicy } from '@moyai/protocol'

import type { StorePool } from './ports.ts'

/**
 * The pool under the policy of one source: kinds that `text` does not name are the pool's, those
 * that no placement in this pool can survive are not asked for. CONFIG_INVALID.
 */
export function withPolicy(pool: StorePool, text: string): StorePool {
  const policy = parsePolicy(text, pool.policy())
  return {
    self: pool.self,
    hosts: () => pool.hosts(),
    retiring: () => pool.retiring(),
    revoked: () => pool.revoked(),
    policy: () => effectivePolicy(pool.hosts(), policy),
    nameOf: (host) => pool.nameOf(host),
  }
}
