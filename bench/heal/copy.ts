/** What the bare connection takes for the same bytes: the yardstick of a repair. */

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const PROGRAM = fileURLToPath(
  new URL('../../packages/daemon/src/net/testing/throughput.ts', import.meta.url),
)

type Row = { row: string; moyai: number; peers: Record<string, number> }

/**
 * CPU seconds per GiB of sender and receiver together: of libp2p with Noise and yamux that copies
 * from memory to memory, and of this program's put, which also hashes, writes and syncs.
 */
export async function copyRow(): Promise<{ bare: number; put: number }> {
  const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, '512', '--json'])
  const rows = JSON.parse(stdout) as Row[]
  const put = rows.find(({ row }) => row === 'moyai PUT, both')
  const bare = put?.peers['libp2p noise+yamux']
  if (put === undefined || bare === undefined) throw new Error('the wire was not measured')
  return { bare, put: put.moyai }
}
