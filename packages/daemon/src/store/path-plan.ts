/**
 * Which paths one snapshot holds. One folder is the snapshot's root by itself; several paths, or a
 * single file, appear under their absolute paths: the folders on the way are entered only for what
 * was asked.
 */

import { lstatSync, realpathSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

import { assert, MoyaiError } from '@moyai/protocol'

import { bytePath, bytePathOfText, displayPath, fsPath, joinPath } from './byte-path.ts'

/**
 * A folder (or file) to walk: wholly, or only the `children` listed. Paths have one character per
 * byte.
 */
export type PathPlan = { path: string; children?: Map<string, PathPlan> }

/** PATH_UNKNOWN when there is nothing at `path`. */
function exists(path: string): void {
  try {
    lstatSync(fsPath(path))
  } catch (cause) {
    throw new MoyaiError('PATH_UNKNOWN', `there is nothing at ${displayPath(path)}`, {
      hint: 'check the spelling; paths are those of the machine the daemon runs on',
      cause,
    })
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(fsPath(path)).isDirectory()
  } catch {
    return false // a dangling link is not a folder
  }
}

/**
 * The plan for absolute `paths` as people typed them. PATH_UNKNOWN, or USAGE for no path or a
 * relative one.
 */
export function planPaths(paths: readonly string[]): PathPlan {
  const [first] = paths
  if (first === undefined) throw new MoyaiError('USAGE', 'no path to store')
  const plain = [...new Set(paths.map((path) => bytePathOfText(path).replace(/(?<=.)\/+$/, '')))]
  for (const path of plain) {
    if (!path.startsWith('/')) throw new MoyaiError('USAGE', 'paths to store are absolute')
    exists(path)
  }
  if (plain.length === 1) {
    const only = plain[0] as string
    if (isDirectory(only)) return { path: bytePath(realpathSync(fsPath(only), 'buffer')) }
    // a single file: its folder with nothing but it
    const folder = bytePathOfText(dirname(Buffer.from(only, 'latin1').toString('utf8')))
    const name = only.slice(only.lastIndexOf('/') + 1)
    return { path: folder, children: new Map([[name, { path: only }]]) }
  }
  const root: PathPlan = { path: '/', children: new Map() }
  for (const path of plain) addPath(root, path)
  return root
}

function addPath(root: PathPlan, path: string): void {
  let node = root
  const names = path.split('/').filter((name) => name !== '')
  if (names.length === 0) delete root.children
  for (const [i, name] of names.entries()) {
    // a path below one that is stored wholly is in it already
    if (node.children === undefined) return
    const known = node.children.get(name)
    const isLast = i === names.length - 1
    if (known === undefined || isLast) {
      const next: PathPlan = { path: joinPath(node.path, name) }
      if (!isLast) next.children = new Map()
      node.children.set(name, next)
    }
    const next = node.children.get(name)
    assert(next !== undefined, 'it was set')
    node = next
  }
}
