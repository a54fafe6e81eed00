/** How far this host is with auditing the holders of one vault, kept over restarts. */

import {
  CODE_K_MAX,
  CODE_M_MAX,
  decodeAs,
  encodeCbor,
  fields,
  fromHex,
  HASH_BYTES,
  type Infer,
  POOL_HOSTS_MAX,
  s,
  TALLY_DAYS,
} from '@moyai/protocol'
import type { Table } from '../../database/index.ts'

/** Name of a failed shard: `<pack, hex>.<index>`. */
const SHARD_NAME_MAX = 2 * HASH_BYTES + 4

const HOLDER = s.map({
  host: s.text({ min: 64, max: 64 }),
  /** The last pack asked for in this round, hex; empty at its start. */
  cursor: s.text({ max: 2 * HASH_BYTES }),
  /** Shards of the vault there, as of the last pass. */
  shards: s.int(),
  /** When it was last tried, and when it last answered: ms. */
  triedAt: s.int(),
  answeredAt: s.optional(s.int()),
  /** When this round over its shards began. */
  roundSince: s.int(),
  /** Some shards of this round were passed over: it did not answer for them, twice. */
  skipped: s.bool(),
  /** The last thing asked for was not answered. */
  wasLate: s.bool(),
  /** Since then every shard there was asked for: the beginning of the last whole round. */
  coveredSince: s.optional(s.int()),
  days: s.array(
    s.map({
      day: s.int(),
      asked: s.int(),
      proved: s.int(),
      late: s.int(),
      proxied: s.int(),
      failed: s.array(s.text({ max: SHARD_NAME_MAX }), { max: 64 }),
    }),
    { max: TALLY_DAYS + 1 },
  ),
})
const VAULT = s.map({
  /** When this host first heard of the vault: its owner has time from then on. */
  knownSince: s.int(),
  holders: s.array(HOLDER, { max: POOL_HOSTS_MAX }),
})

export type HolderState = Infer<typeof HOLDER>
export type VaultAudit = { knownSince: number; holders: Map<string, HolderState> }

const STATE_BYTES_MAX = 16 * 1024 * 1024 - 1

export function newHolder(host: string, now: number): HolderState {
  const times = { triedAt: 0, roundSince: now }
  return { host, cursor: '', shards: 0, ...times, skipped: false, wasLate: false, days: [] }
}

/** The state of a vault (hex); a new one when none is kept, or another version wrote it. */
export async function readVaultAudit(
  table: Table,
  vault: string,
  now: number,
): Promise<VaultAudit> {
  const value = await table.get(fromHex(vault))
  if (value !== undefined) {
    try {
      const limits = { bytesMax: STATE_BYTES_MAX, itemsMax: 4_000_000, what: 'audit state' }
      const { knownSince, holders } = decodeAs(VAULT, value, limits)
      return { knownSince, holders: new Map(holders.map((holder) => [holder.host, holder])) }
    } catch {
      // The round begins anew; nothing else is lost.
    }
  }
  return { knownSince: now, holders: new Map() }
}

export async function writeVaultAudit(
  table: Table,
  vault: string,
  state: VaultAudit,
): Promise<void> {
  const holders = [...state.holders.values()].map((holder) => fields(holder))
  await table.put(fromHex(vault), encodeCbor({ knownSince: state.knownSince, holders }))
}

/** `<pack, hex>.<index>` and back. */
export function shardName(pack: string, index: number): string {
  return `${pack}.${index}`
}

export function namedShard(name: string): { pack: Uint8Array; index: number } | undefined {
  const match = /^([0-9a-f]{64})\.(\d{1,2})$/.exec(name)
  const index = Number(match?.[2])
  if (match?.[1] === undefined || index >= CODE_K_MAX + CODE_M_MAX) return undefined
  return { pack: fromHex(match[1]), index }
}
