/** The protocols that membership serves. */

import type { Clock, PoolState } from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import { JOIN_PROTOCOL, JOIN_REQUESTS_MAX } from '../net/join/constants.ts'
import { createJoinHandler, type Admission } from '../net/join/handler.ts'
import { memberTransport, SyncClient } from '../net/sync/client.ts'
import { SYNC_BYTES_MAX, SYNC_PROTOCOL, SYNC_REQUESTS_MAX } from '../net/sync/constants.ts'
import { createSyncHandler } from '../net/sync/handler.ts'
import type { SyncState } from '../net/sync/state.ts'
import type { Network } from '../net/types.ts'
import type { AntiEntropy } from './anti-entropy.ts'
import * as events from './events.ts'
import type { InviteRecord } from './invites.ts'
import { Serial } from './serial.ts'

export type ProtocolComponents = {
  /** This host's identity key. */
  self: Uint8Array
  clock: Clock
  logger: Logger
  state: SyncState
  sync: AntiEntropy
  pool: () => PoolState | undefined
  findInvite: (id: Uint8Array) => InviteRecord | undefined
  admit: (admission: Admission) => Promise<{ statements: Uint8Array[]; addresses: Uint8Array[] }>
  claim: (invite: InviteRecord, host: Uint8Array) => Promise<void>
}

/** Registers sync, for members, and join, for those who bring an invite. */
export function registerProtocols(
  network: Pick<Network, 'registerProtocol' | 'request'>,
  o: ProtocolComponents,
): void {
  const handleSync = createSyncHandler({
    state: o.state,
    clock: o.clock,
    ask: (host, signal) => new SyncClient(memberTransport(network, host), signal),
    onChanged: (host) => void o.sync.pull(host),
  })
  network.registerProtocol(SYNC_PROTOCOL, handleSync, {
    requestBytesMax: SYNC_BYTES_MAX,
    responseBytesMax: SYNC_BYTES_MAX,
    requestsMax: SYNC_REQUESTS_MAX,
  })
  const handleJoin = createJoinHandler({
    self: o.self,
    clock: o.clock,
    state: o.pool,
    findInvite: o.findInvite,
    admit: o.admit,
    claim: o.claim,
    onRefused: (host, error) => events.joinRefused(o.logger, host, error),
  })
  // One after the other: two hosts must not use up the last place of an invite at once.
  const serial = new Serial()
  network.registerProtocol(JOIN_PROTOCOL, (request) => serial.run(() => handleJoin(request)), {
    strangers: true,
    requestsMax: JOIN_REQUESTS_MAX,
  })
}
