/** The shard files of a host, found and hurt from outside, as a bad disk would. */

import { existsSync, readdirSync } from 'node:fs'
import { open, rename, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'

export type ShardFile = { path: string; pack: string; index: number }

/** Every shard file under a host's state directory, sorted. */
export function shardFiles(home: string): ShardFile[] {
  const root = join(home, 'shards')
  if (!existsSync(root)) return []
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .flatMap((name) => {
      const match = /([0-9a-f]{64})\.(\d+)\.shard$/.exec(name)
      if (match === null) return []
      return [{ path: join(root, name), pack: match[1] ?? '', index: Number(match[2]) }]
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** Flips one bit in the middle of the payload. */
export async function flipBit(path: string): Promise<void> {
  const { size } = await stat(path)
  const handle = await open(path, 'r+')
  try {
    const byte = Buffer.alloc(1)
    const position = size - 20_000
    await handle.read(byte, 0, 1, position)
    byte[0] = (byte[0] ?? 0) ^ 0x10
    await handle.write(byte, 0, 1, position)
  } finally {
    await handle.close()
  }
}

export async function cutInHalf(path: string): Promise<void> {
  const { size } = await stat(path)
  await truncate(path, Math.floor(size / 2))
}

export async function swap(a: string, b: string): Promise<void> {
  await rename(a, `${a}.swap`)
  await rename(b, a)
  await rename(`${a}.swap`, b)
}

/** Removes every shard file, as a clean-up command of an operator would. */
export async function emptyShards(home: string): Promise<void> {
  for (const { path } of shardFiles(home)) await rm(path)
}
