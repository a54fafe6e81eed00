/** What `moyai init` needs, without loading the whole daemon. */

import type { HostPackage, PoolState } from '@moyai/protocol'

export { systemClock } from './clock.ts'
export { initHome } from './home/init-home.ts'
export { systemRandom } from './random.ts'

/** `keysOfToken` of join-home.ts; loads the network. */
export async function keysOfToken(
  token: string,
  signal: AbortSignal,
): Promise<HostPackage | undefined> {
  return (await import('./join-home.ts')).keysOfToken(token, signal)
}

/** `joinWithHome` of join-home.ts; loads the network. */
export async function joinWithHome(
  home: string,
  token: string,
  signal: AbortSignal,
): Promise<PoolState> {
  return (await import('./join-home.ts')).joinWithHome(home, token, signal)
}
