/**
 * `moyai init --join`: what a new machine does before it has a daemon. It asks for its keys, when
 * the token says that there are some, and, once its home is made, joins the pool.
 */

import {
  decodeInvite,
  ed25519Signer,
  MoyaiError,
  openHostPackage,
  type HostPackage,
  type PoolState,
} from '@moyai/protocol'

import { systemClock } from './clock.ts'
import { openLevelDatabase } from './database/index.ts'
import { openHome } from './home/index.ts'
import { silentLogger } from './logger.ts'
import { Membership } from './membership/index.ts'
import { createNetwork } from './net/index.ts'
import { fetchHostPackage } from './net/join/client.ts'
import { JOIN_PROTOCOL, JOIN_REQUESTS_MAX } from './net/join/constants.ts'
import type { Membership as NetworkMembership } from './net/types.ts'
import { systemRandom } from './random.ts'

/** A host that is in no pool, and lets nobody in. */
const NOBODY: NetworkMembership = {
  pool: () => undefined,
  isMember: () => false,
  members: () => [],
  strangersWelcome: () => false,
  isVault: () => false,
}

const EFFECTS = { clock: systemClock, random: systemRandom, logger: silentLogger }

/**
 * The keys that the invite in `token` has for this machine; undefined when it has none. They are
 * given once: to the key of this call's connection. BAD_TOKEN, INVITE_EXPIRED, INVITE_USED,
 * INVITE_UNKNOWN, CLOCK_DISAGREES, HOST_UNREACHABLE, SEAL_MISMATCH and the like.
 */
export async function keysOfToken(
  token: string,
  signal: AbortSignal,
): Promise<HostPackage | undefined> {
  const invite = decodeInvite(token)
  if (!invite.sameOrg) return undefined
  const seed = systemRandom.bytes(32)
  const network = await createNetwork({ seed, listen: [] }, { ...EFFECTS, membership: NOBODY })
  // It asks, and answers nothing.
  const deny = (): Promise<never> =>
    Promise.reject(new MoyaiError('HOST_REFUSED', 'this host is in no pool yet'))
  network.registerProtocol(JOIN_PROTOCOL, deny, { requestsMax: JOIN_REQUESTS_MAX })
  try {
    await network.start()
    const host = ed25519Signer(seed).publicKey
    const sealed = await fetchHostPackage({ invite, host, signal }, { network, clock: systemClock })
    return openHostPackage(invite, sealed)
  } finally {
    await network.stop()
  }
}

/** Joins the pool of `token` with the home in folder `home`; what `Membership.join` says. */
export async function joinWithHome(
  home: string,
  token: string,
  signal: AbortSignal,
): Promise<PoolState> {
  await using opened = await openHome(home)
  const { config, identity, bundle, delegation, identitySeed, paths } = opened
  await using stack = new AsyncDisposableStack()
  const database = await openLevelDatabase(paths.database)
  stack.defer(() => database.close())
  const profile = { ...config.host, offeredBytes: config.storage.offerBytes }
  const own = { identity, bundle, delegation, profile, peersFile: paths.peers }
  const membership = await Membership.open(own, { ...EFFECTS, database })
  const { listen, announce } = config.network
  const options = { seed: identitySeed, listen, announce }
  const network = await createNetwork(options, { ...EFFECTS, membership })
  membership.attach(network)
  stack.defer(() => network.stop())
  await network.start()
  stack.defer(() => membership.stop())
  await membership.begin()
  // Awaited here: what it works with is closed when this returns.
  return await membership.join(token, signal)
}
