/** Small questions that a restore asks of entries, and how it looks at their content. */

import { defined } from '@moyai/protocol'
import type { Entry } from '@moyai/protocol'

import type { ChunkReader } from './chunk-reader.ts'
import { isSameBlob } from './restore-window.ts'
import type { Destination, RestoreFile } from './restore-window.ts'
import type { Begun } from './target/types.ts'
import { splitIds } from './tree-reader.ts'

/** Chunks located, or compared on the disk, together. */
export const PARTS_MAX = 256
/**
 * Chunks of a batch that are located before their files' turn: one by one that is most of the time.
 */
const LOCATED_MAX = 4096

/** Where chunks are, in their order. */
export type Locations = Awaited<ReturnType<ChunkReader['locate']>>
/** The same of chunks that the index knows. */
export type Known = readonly NonNullable<Locations[number]>[]

/** Finds the chunks of many small files at once, by file; larger ones are left out. */
export async function locateTogether(
  chunks: Pick<ChunkReader, 'locate'>,
  files: readonly RestoreFile[],
): Promise<Map<number, Locations>> {
  const ranges: { number: number; from: number; to: number }[] = []
  const ids: Uint8Array[] = []
  for (const { number, entry } of files) {
    if (entry.chunks === undefined) continue
    const some = splitIds(entry.chunks)
    if (some.length > PARTS_MAX || ids.length + some.length > LOCATED_MAX) continue
    ranges.push({ number, from: ids.length, to: ids.length + some.length })
    ids.push(...some)
  }
  if (ids.length === 0) return new Map()
  const locations = await chunks.locate(ids)
  return new Map(ranges.map(({ number, from, to }) => [number, locations.slice(from, to)]))
}

/** True for files that need nothing but content, owner, mode and times. */
export function isSimple({ chunks, list, holes, xattrs, links }: Entry): boolean {
  const hasChunks = chunks !== undefined && list === undefined
  return hasChunks && holes === undefined && xattrs === undefined && (links ?? 1) < 2
}

/** The places of all content when it is in one blob and of the right length. */
export function inOneBlob({ size }: Entry, locations: Locations): Known | undefined {
  const [first] = locations
  if (first === undefined) return undefined
  let bytes = 0
  const known = locations.filter((one) => one !== undefined && isSameBlob(one, first))
  for (const one of known) bytes += one?.length ?? 0
  const isAll = known.length === locations.length && BigInt(size) === BigInt(bytes)
  return isAll ? (known as Known) : undefined
}

/** True when an entry has content that was not stored. */
export function lacksContent(entry: Entry): boolean {
  const holes = (entry.holes ?? []).reduce((total, { length }) => total + length, 0)
  const isStored = entry.chunks !== undefined || entry.list !== undefined
  return !isStored && BigInt(entry.size) > BigInt(holes)
}

/** Chunk ids stay here: the writer needs none, and they are most of an entry. */
export function withoutContent<T extends Entry | undefined>(entry: T): T {
  if (entry === undefined) return entry
  const { chunks: _chunks, list: _list, ...rest } = entry
  return rest as T
}

/** Where the content of a file goes that is to be written. */
export function destinationOf(
  file: RestoreFile,
  directory: number,
  { temporary, identity }: Begun,
): Destination {
  return {
    file: file.number,
    directory,
    temporary: defined(temporary, 'a file that is written'),
    identity: defined(identity, 'a file that is written'),
  }
}
