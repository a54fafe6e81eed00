/** Sizes of folders, and folders brought into the page cache. */

import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'

import type { Runner } from './processes.ts'

/** Longer than any corpus takes from a slow disk. */
const WARM_BOUND_MS = 300_000

export type FolderSize = { files: number; bytes: number }

/** Regular files below `folder` and the sum of their lengths; zero when it is not there. */
export async function folderSize(folder: string): Promise<FolderSize> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  const size = { files: 0, bytes: 0 }
  for (const entry of entries) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) {
      const inner = await folderSize(path)
      size.files += inner.files
      size.bytes += inner.bytes
    } else if (entry.isFile()) {
      size.files++
      size.bytes += (await lstat(path)).size
    }
  }
  return size
}

/** Writes out what is dirty and reads every byte below `folders` once. */
export async function settleAndWarm(runner: Runner, folders: readonly string[]): Promise<void> {
  const script = 'sync; tar -cf - -- "$@" 2> /dev/null | cat > /dev/null'
  await runner.measure(['bash', '-c', script, 'bash', ...folders], { boundMs: WARM_BOUND_MS })
}
