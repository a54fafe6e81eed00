/** Text from the kernel's source, to make files of. */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A pool of `bytes` of text: the tree's C sources, in the order of their names. */
export async function textPool(tree: string, bytes: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let length = 0
  for await (const path of filesBelow(tree)) {
    if (!/\.(?:c|h|rst|txt)$/.test(path)) continue
    const part = await readFile(path)
    parts.push(part)
    length += part.length
    if (length >= bytes) break
  }
  if (length === 0) throw new Error('the tree has no text')
  return Buffer.concat(parts).subarray(0, bytes)
}

/** Regular files below `folder`, in the order of their names. */
export async function* filesBelow(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true })
  entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  for (const entry of entries) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* filesBelow(path)
    else if (entry.isFile()) yield path
  }
}
