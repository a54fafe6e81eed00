/**
 * Is this the store's own folder? A disk that is not mounted looks like an empty folder, and
 * "empty" would be answered with "I do not have that shard", upon which others would repair what is
 * not lost.
 *
 * A random id lies in the store's folder, and the same one beside the folder. Only where neither is
 * there, a store is new.
 */

import { dirname } from 'node:path'

import { MoyaiError, equalBytes, fromHex, fromUtf8, toHex, utf8 } from '@moyai/protocol'
import type { Random } from '@moyai/protocol'
import { isMoyaiError } from '@moyai/protocol'
import { replaceFile, SECRET_MODE } from '../file-system/index.ts'
import type { Disk } from '../file-system/index.ts'

const ID_BYTES = 32
const TEXT = /^moyai shard store 1 ([0-9a-f]{64})\n$/

/** Inside the store's folder. */
export const IDENTITY_FILE = 'store.id'

/** Beside the store's folder: on the disk that is there even when the store's is not. */
export function markerPath(root: string): string {
  return `${root}.id`
}

/**
 * The id of the store in folder `root`: read, or made when the store is new. Throws only what the
 * disk does: a store that is not the expected one shows at `checkIdentity`.
 */
export async function adoptIdentity(o: {
  disk: Disk
  root: string
  random: Random
}): Promise<Uint8Array> {
  const { disk, root } = o
  const marker = await readId(disk, markerPath(root))
  if (marker !== undefined) return marker
  await disk.makeDirectory(root)
  await disk.syncDirectory(dirname(root))
  let id = await readId(disk, `${root}/${IDENTITY_FILE}`)
  if (id === undefined) {
    id = o.random.bytes(ID_BYTES)
    await writeId(disk, { path: `${root}/${IDENTITY_FILE}`, id })
  }
  // Last: once it is there, the store must be there, too.
  await writeId(disk, { path: markerPath(root), id })
  return id
}

/** STORE_OFFLINE unless the folder is there and is the store with that id. */
export async function checkIdentity(disk: Disk, root: string, id: Uint8Array): Promise<void> {
  let found: Uint8Array | undefined
  let cause: unknown
  try {
    found = await readId(disk, `${root}/${IDENTITY_FILE}`)
  } catch (error) {
    cause = error
  }
  if (found !== undefined && equalBytes(found, id)) return
  const what = found === undefined ? 'is not there' : 'is another store'
  throw new MoyaiError('STORE_OFFLINE', `the folder of the shards, ${root}, ${what}`, {
    cause,
    hint: `mount its disk; if its shards are lost for good, remove ${markerPath(root)} and restart`,
  })
}

/** Undefined when there is no such file, or when it was being written when the power went. */
async function readId(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  try {
    const file = await disk.open(path, 'read')
    try {
      const bytes = new Uint8Array(256)
      const length = await file.read(bytes, 0)
      const text = TEXT.exec(fromUtf8(bytes.subarray(0, length)))
      return text?.[1] === undefined ? undefined : fromHex(text[1])
    } finally {
      await file.close()
    }
  } catch (error) {
    if (isMoyaiError(error, 'NOT_FOUND', 'MALFORMED')) return undefined
    throw error
  }
}

async function writeId(disk: Disk, o: { path: string; id: Uint8Array }): Promise<void> {
  const bytes = utf8(`moyai shard store 1 ${toHex(o.id)}\n`)
  await replaceFile(disk, { path: o.path, bytes, mode: SECRET_MODE })
}
