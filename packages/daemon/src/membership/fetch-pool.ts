/** Everything that one host knows of its pool, for a host that knows nothing: not judged here. */

import type { SyncClient } from '../net/sync/client.ts'

const STATEMENTS_PER_REQUEST = 1024

/** Pool id, statements and address records as the host has them. */
export async function fetchPool(
  client: SyncClient,
): Promise<{ pool: Uint8Array; statements: Uint8Array[]; addresses: Uint8Array[] }> {
  const summary = await client.ask({ kind: 'summary' })
  const { ids } = await client.ask({ kind: 'statement-ids' })
  const statements: Uint8Array[] = []
  while (statements.length < ids.length) {
    const rest = ids.slice(statements.length, statements.length + STATEMENTS_PER_REQUEST)
    const { envelopes } = await client.ask({ kind: 'statements', ids: rest })
    if (envelopes.length === 0 || envelopes.length > rest.length) break
    statements.push(...envelopes)
  }
  const hosts = summary.addresses.map(({ host }) => host)
  const { envelopes: addresses } = await client.ask({ kind: 'addresses', hosts })
  return { pool: summary.pool, statements, addresses }
}
