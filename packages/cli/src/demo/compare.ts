/**
 * Compares two folders: every byte, and every metadata field that a restore can set and Node can
 * read.
 */

import { type BigIntStats, createReadStream } from 'node:fs'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'

export type Difference = { path: string; what: string }

export type Comparison = {
  files: number
  directories: number
  others: number
  bytes: number
  differences: Difference[]
}

const DIFFERENCES_MAX = 1000
const SLASH = Buffer.from('/')

/**
 * Compares the folder `original` with `copy`, names as raw bytes. `skip` gets the relative path of
 * each entry of `original` and says which are left out of the comparison. Times are compared to the
 * nanosecond.
 */
export async function compareFolders(
  original: string,
  copy: string,
  skip: (relativePath: string) => boolean = () => false,
): Promise<Comparison> {
  const comparison: Comparison = { files: 0, directories: 0, others: 0, bytes: 0, differences: [] }
  const links = new Map<string, string>()
  const note = (path: string, what: string): void => {
    if (comparison.differences.length < DIFFERENCES_MAX) comparison.differences.push({ path, what })
  }
  const visit = async (a: Buffer, b: Buffer, path: string): Promise<void> => {
    const [one, two] = await Promise.all([statOf(a), statOf(b)])
    if (one === undefined || two === undefined) {
      note(path, one === undefined ? 'is only in the copy' : 'is missing in the copy')
      return
    }
    compareStats(one, two, (what) => note(path, what))
    if (one.isDirectory() && two.isDirectory()) {
      comparison.directories++
      await compareListings(a, b, path, { visit, isLeftOut: skip })
    } else if (one.isFile() && two.isFile()) {
      comparison.files++
      comparison.bytes += Number(one.size)
      compareLinks(one, two, links, (what) => note(path, what))
      if (one.size === two.size && !(await sameContent(a, b, one.size)))
        note(path, 'has other bytes')
    } else {
      comparison.others++
      if (one.isSymbolicLink() && two.isSymbolicLink()) {
        const [left, right] = await Promise.all([
          readlink(a, { encoding: 'buffer' }),
          readlink(b, { encoding: 'buffer' }),
        ])
        if (!left.equals(right)) note(path, 'points elsewhere')
      }
    }
  }
  await visit(Buffer.from(original), Buffer.from(copy), '')
  return comparison
}

async function compareListings(
  a: Buffer,
  b: Buffer,
  path: string,
  o: {
    visit: (a: Buffer, b: Buffer, path: string) => Promise<void>
    isLeftOut: (relativePath: string) => boolean
  },
): Promise<void> {
  const [left, right] = await Promise.all([
    readdir(a, { encoding: 'buffer' }),
    readdir(b, { encoding: 'buffer' }),
  ])
  const names = new Map([...left, ...right].map((name) => [name.toString('latin1'), name]))
  for (const name of names.values()) {
    const text = name.toString()
    const inner = path === '' ? text : `${path}/${text}`
    if (o.isLeftOut(inner)) continue
    await o.visit(Buffer.concat([a, SLASH, name]), Buffer.concat([b, SLASH, name]), inner)
  }
}

async function statOf(path: Buffer): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

function compareStats(a: BigIntStats, b: BigIntStats, note: (what: string) => void): void {
  if (a.mode !== b.mode) note(`has mode ${b.mode.toString(8)}, not ${a.mode.toString(8)}`)
  if (a.uid !== b.uid || a.gid !== b.gid)
    note(`belongs to ${b.uid}:${b.gid}, not ${a.uid}:${a.gid}`)
  if (a.mtimeNs !== b.mtimeNs) note(`was modified at ${b.mtimeNs} ns, not ${a.mtimeNs} ns`)
  if (!a.isDirectory() && a.size !== b.size) note(`has ${b.size} bytes, not ${a.size}`)
  if (a.rdev !== b.rdev && (a.isBlockDevice() || a.isCharacterDevice())) note('is another device')
}

/** Files that were one file under several names must be so again. */
function compareLinks(
  a: BigIntStats,
  b: BigIntStats,
  links: Map<string, string>,
  note: (what: string) => void,
): void {
  if (a.nlink < 2n) return
  const key = `${a.dev}:${a.ino}`
  const other = `${b.dev}:${b.ino}`
  const before = links.get(key)
  if (before === undefined) links.set(key, other)
  else if (before !== other) note('is no longer the same file as its other name')
}

/** Files up to this are read whole: two streams cost a small file twenty times its reading. */
const WHOLE_BYTES_MAX = 4 * 1024 * 1024

async function sameContent(a: Buffer, b: Buffer, size: bigint): Promise<boolean> {
  if (size <= WHOLE_BYTES_MAX) {
    const [left, right] = await Promise.all([readFile(a), readFile(b)])
    return left.equals(right)
  }
  const options = { highWaterMark: 1024 * 1024 }
  const left = createReadStream(a, options)
  const right = createReadStream(b, options)
  const others = right[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  let rest: Buffer = Buffer.alloc(0)
  try {
    for await (const chunk of left as AsyncIterable<Buffer>) {
      let offset = 0
      while (offset < chunk.length) {
        if (rest.length === 0) {
          const next = await others.next()
          if (next.done === true) return false
          rest = next.value
        }
        const length = Math.min(rest.length, chunk.length - offset)
        if (chunk.compare(rest, 0, length, offset, offset + length) !== 0) return false
        offset += length
        rest = rest.subarray(length)
      }
    }
    return rest.length === 0 && (await others.next()).done === true
  } finally {
    left.destroy()
    right.destroy()
  }
}
