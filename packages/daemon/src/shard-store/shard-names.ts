/** Names of shard files (spec/shard-file.md §2), and cursors made of them. */

import { CODE_K_MAX, CODE_M_MAX, MoyaiError, fromHex, toHex } from '@moyai/protocol'
import type { ShardId } from './shard-store.ts'

/**
 * Hex digits of the vault in the name of its folder: enough that two vaults never share one by
 * chance.
 */
const VAULT_DIGITS = 16
const VAULT_BYTES = VAULT_DIGITS / 2
const PACK_BYTES = 32
/** Vault folder, pack, index. */
const CURSOR_BYTES = VAULT_BYTES + PACK_BYTES + 1
const FILE_NAME = /^([0-9a-f]{64})\.(0|[1-9][0-9]?)\.shard$/

export const VAULT_FOLDER: RegExp = /^[0-9a-f]{16}$/
export const PACK_FOLDER: RegExp = /^[0-9a-f]{2}$/

/** The folder of a vault, below the store's. */
export function vaultFolder(vault: Uint8Array): string {
  return toHex(vault).slice(0, VAULT_DIGITS)
}

/** The folder of a pack, below that of its vault. */
export function packFolder(pack: Uint8Array): string {
  return toHex(pack.subarray(0, 1))
}

export function fileName(id: { pack: Uint8Array; index: number }): string {
  return `${toHex(id.pack)}.${id.index}.shard`
}

/** The path of the marker that says a shard is surplus: beside it, and no shard by its name. */
export function markerPath(id: ShardId): string {
  return `${vaultFolder(id.vault)}/${packFolder(id.pack)}/${toHex(id.pack)}.${id.index}.surplus`
}

/** The path of a shard, below the store's folder. */
export function shardPath(id: ShardId): string {
  return `${vaultFolder(id.vault)}/${packFolder(id.pack)}/${fileName(id)}`
}

/** Pack and index of a file name; undefined when it is not a shard's. */
export function parseFileName(name: string): { pack: string; index: number } | undefined {
  const match = FILE_NAME.exec(name)
  const [, pack, index] = match ?? []
  if (pack === undefined || Number(index) >= CODE_K_MAX + CODE_M_MAX) return undefined
  return { pack, index: Number(index) }
}

/** A place in the sorted list of all shards: before the first shard that is not below it. */
export type Place = { vault: string; pack: string; index: number }

export function encodeCursor({ vault, pack, index }: Place): Uint8Array {
  return fromHex(`${vault}${pack}${index.toString(16).padStart(2, '0')}`)
}

/** MALFORMED when a peer sends anything but a cursor. */
export function decodeCursor(cursor: Uint8Array): Place {
  if (cursor.length !== CURSOR_BYTES) {
    throw new MoyaiError('MALFORMED', `a cursor of ${cursor.length} bytes`)
  }
  const text = toHex(cursor)
  return {
    vault: text.slice(0, VAULT_DIGITS),
    pack: text.slice(VAULT_DIGITS, -2),
    index: cursor[CURSOR_BYTES - 1] ?? 0,
  }
}

export function comparePlaces(a: Place, b: Place): number {
  if (a.vault !== b.vault) return a.vault < b.vault ? -1 : 1
  if (a.pack !== b.pack) return a.pack < b.pack ? -1 : 1
  return a.index - b.index
}
