/** What turns one tree into another in place, touching only what differs. */

import { lstat, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { Runner } from '../processes.ts'

const APPLY_BOUND_MS = 300_000

/** Relative paths. */
export type ChangeSet = { removed: string[]; written: string[] }

/** What must be removed from, and written over, the tree `from` to make it the tree `to`. */
export async function changesBetween(from: string, to: string): Promise<ChangeSet> {
  const changes: ChangeSet = { removed: [], written: [] }
  await compare(from, to, { path: '', changes })
  return changes
}

async function compare(
  from: string,
  to: string,
  { path, changes }: { path: string; changes: ChangeSet },
): Promise<void> {
  const names = async (tree: string): Promise<Map<string, boolean>> => {
    const entries = await readdir(join(tree, path), { withFileTypes: true })
    return new Map(entries.map((entry) => [entry.name, entry.isDirectory()]))
  }
  const [before, after] = await Promise.all([names(from), names(to)])
  for (const [name, isFolder] of before) {
    if (after.get(name) !== isFolder) changes.removed.push(join(path, name))
  }
  for (const [name, isFolder] of after) {
    const inner = join(path, name)
    if (before.get(name) !== isFolder) changes.written.push(inner)
    else if (isFolder) await compare(from, to, { path: inner, changes })
    else if (await differs(join(from, inner), join(to, inner))) changes.written.push(inner)
  }
}

async function differs(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([lstat(one), lstat(other)])
  if (a.size !== b.size || a.mode !== b.mode) return true
  if (a.isSymbolicLink()) return (await readlink(one)) !== (await readlink(other))
  if (!a.isFile()) return false
  const [left, right] = await Promise.all([readFile(one), readFile(other)])
  return !left.equals(right)
}

/** Applies `changes`, taken from the tree `to`, to the tree `target`. `list` is a free file name. */
export async function applyChanges(
  runner: Runner,
  changes: ChangeSet,
  { to, target, list }: { to: string; target: string; list: string },
): Promise<void> {
  for (const path of changes.removed) {
    await rm(join(target, path), { recursive: true, force: true })
  }
  if (changes.written.length === 0) return
  await writeFile(list, `${changes.written.join('\0')}\0`)
  const script =
    'set -o pipefail; tar -C "$1" --null -T "$3" -cf - | tar -C "$2" --unlink-first -xpf -'
  const argv = ['bash', '-c', script, 'bash', to, target, list]
  await runner.must(argv, { boundMs: APPLY_BOUND_MS })
  await rm(list)
}
