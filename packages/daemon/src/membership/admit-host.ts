/** Letting a host into the pool that brought an invite. */

import { signOrganisation, toHex, type Clock, type PoolState, type Signer } from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import type { Admission } from '../net/join/handler.ts'
import type { AddressBook } from './address-book.ts'
import * as events from './events.ts'
import type { Invites } from './invites.ts'
import { essentialStatements } from './own-place.ts'
import type { PoolStore } from './pool-store.ts'

export type AdmitComponents = {
  identity: Signer
  /** The organisation's delegation to this host, an envelope. */
  delegation: Uint8Array
  clock: Clock
  logger: Logger
  /** The pool that this host is in. */
  state: () => PoolState
  store: PoolStore
  invites: Invites
  addresses: AddressBook
}

/**
 * Its organisation, its certificate and the used invite in one batch; then what to answer with.
 * HOST_REFUSED when its certificate does not count; DISK.
 */
export async function admitHost(
  admission: Admission,
  o: AdmitComponents,
): Promise<{ statements: Uint8Array[]; addresses: Uint8Array[] }> {
  const { invite, host, claim } = admission
  const { id: pool, organisations } = o.state()
  const statements = [admission.statement]
  if (!organisations.has(toHex(claim.org))) {
    const at = o.clock.now()
    const content = { pool, org: claim.org, invite: invite.id, delegation: o.delegation, at }
    statements.unshift(signOrganisation(content, o.identity))
  }
  const again = invite.usedBy.some((one) => toHex(one) === toHex(host))
  const use = again ? undefined : o.invites.using(invite, host)
  await o.store.addAll(statements, use === undefined ? [] : [use.operation])
  if (use !== undefined) o.invites.keep(use.record)
  await o.addresses.add([admission.address])
  events.joined(o.logger, toHex(host), claim.name)
  return {
    statements: essentialStatements(o.state(), o.store, [host, o.identity.publicKey]),
    addresses: o.addresses.list().map(({ envelope }) => envelope),
  }
}
