/** Where a host's control socket is, computed alike by the command and the daemon. */

import { createHash } from 'node:crypto'

/** `sun_path` holds 108 bytes on Linux and 104 on macOS, the final zero included. */
const SOCKET_PATH_BYTES_MAX = 100

/**
 * The socket of the state directory `home` (absolute path). A directory whose path is too long for
 * a socket name gets one under `temporary`, named by the hash of `home`; on Windows it is a named
 * pipe.
 */
export function controlAddress(o: { home: string; platform: string; temporary: string }): string {
  const tag = createHash('sha256').update(o.home).digest('hex').slice(0, 24)
  if (o.platform === 'win32') return `\\\\.\\pipe\\moyai-${tag}`
  const path = `${o.home}/control.sock`
  if (new TextEncoder().encode(path).length <= SOCKET_PATH_BYTES_MAX) return path
  return `${o.temporary}/moyai-${tag}/control.sock`
}
