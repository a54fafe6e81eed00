/**
 * The rules that an entry obeys, checked alike before it is written and after it was read
 * (spec/tree.md §3).
 */

import { compareBytes } from '../bytes.ts'
import { MoyaiError } from '../errors.ts'
import {
  ACL_BYTES_MAX,
  ENTRY_CHUNKS_MAX,
  ENTRY_ERROR_BYTES_MAX,
  ENTRY_LIST_PAGES_MAX,
  HASH_BYTES,
  HOLES_MAX,
  NAME_BYTES_MAX,
  OWNER_NAME_BYTES_MAX,
  REPARSE_BYTES_MAX,
  SECURITY_DESCRIPTOR_BYTES_MAX,
  STREAMS_MAX,
  SYMLINK_TARGET_BYTES_MAX,
  XATTR_NAME_BYTES_MAX,
  XATTR_VALUE_BYTES_MAX,
  XATTRS_MAX,
} from '../limits.ts'
import type { Entry } from './entry.ts'

const UINT32_MAX = 0xffff_ffff
const INT64_MAX = 2n ** 63n - 1n
const INT64_MIN = -(2n ** 63n)
const UINT64_MAX = 2n ** 64n - 1n
const SLASH = 0x2f
const DOT = 0x2e

function malformed(what: string): never {
  throw new MoyaiError('MALFORMED', `tree entry: ${what}`)
}

function limited(count: number, max: number, what: string): void {
  if (count > max) throw new MoyaiError('TOO_LARGE', `tree entry: ${what} beyond ${max}`)
}

/**
 * Throws MALFORMED unless `name` can be the name of a directory entry: not empty, not `.` or `..`,
 * without `/` and NUL; TOO_LARGE beyond NAME_BYTES_MAX. Rules of one platform (`CON`, `a:b`) are
 * those of whoever writes there.
 */
export function checkName(name: Uint8Array): void {
  const length = name.length
  if (length === 0) malformed('empty name')
  limited(length, NAME_BYTES_MAX, 'name')
  if (name[0] === DOT && (length === 1 || (length === 2 && name[1] === DOT))) {
    malformed('name is . or ..')
  }
  for (let i = 0; i < length; i++) {
    const byte = name[i]
    if (byte === SLASH || byte === 0) malformed('name with / or NUL')
  }
}

function uint(value: number | undefined, max: number, what: string): void {
  if (value === undefined) return
  if (!Number.isInteger(value) || value < 0 || value > max) malformed(`${what} out of range`)
}

function int64(value: bigint | undefined, what: string): void {
  if (value === undefined) return
  if (value < INT64_MIN || value > INT64_MAX) malformed(`${what} out of range`)
}

function uint64(value: bigint | undefined, what: string): void {
  if (value === undefined) return
  if (value < 0n || value > UINT64_MAX) malformed(`${what} out of range`)
}

function text(value: string | undefined, max: number, what: string): void {
  if (value === undefined) return
  // A UTF-16 unit is at most 3 bytes of UTF-8: most texts need no encoding to be measured.
  if (3 * value.length > max) limited(new TextEncoder().encode(value).length, max, what)
  if (!value.isWellFormed()) malformed(`${what} with half a surrogate pair`)
}

function ids(value: Uint8Array | undefined, max: number, what: string): void {
  if (value === undefined) return
  if (value.length === 0 || value.length % HASH_BYTES !== 0) malformed(`${what} not whole ids`)
  limited(value.length / HASH_BYTES, max, what)
}

function checkContentIds(of: { chunks?: Uint8Array; list?: Uint8Array }, what: string): void {
  ids(of.chunks, ENTRY_CHUNKS_MAX, `${what} chunks`)
  ids(of.list, ENTRY_LIST_PAGES_MAX, `${what} list`)
  if (of.chunks !== undefined && of.list !== undefined) malformed(`${what} both chunks and list`)
}

/** The bytes of holes, after checking that they lie in order within `size`. */
function checkHoles(entry: Entry): bigint {
  const holes = entry.holes
  if (holes === undefined) return 0n
  if (entry.type !== 'file') malformed('holes in what is no file')
  if (holes.length === 0) malformed('empty list of holes')
  limited(holes.length, HOLES_MAX, 'holes')
  let end = -1
  let total = 0n
  for (const { offset, length } of holes) {
    uint(offset, Number.MAX_SAFE_INTEGER, 'hole')
    uint(length, Number.MAX_SAFE_INTEGER, 'hole')
    if (length === 0 || offset <= end) malformed('holes empty or out of order')
    end = offset + length
    uint(end, Number.MAX_SAFE_INTEGER, 'hole')
    total += BigInt(length)
  }
  if (BigInt(end) > BigInt(entry.size)) malformed('hole beyond the end')
  return total
}

function checkContent(entry: Entry): void {
  const { type, size } = entry
  if (typeof size === 'bigint' ? size < 0n || size > INT64_MAX : !Number.isSafeInteger(size)) {
    malformed('size out of range')
  }
  if (size < 0) malformed('size out of range')
  checkContentIds(entry, 'content')
  const hasContent = entry.chunks !== undefined || entry.list !== undefined
  if (type === 'file') {
    const hasData = entry.holes === undefined ? size > 0 : BigInt(size) > checkHoles(entry)
    if (hasContent && !hasData) malformed('chunks of an empty file')
    if (hasData && !hasContent && entry.error === undefined) malformed('file without its chunks')
    return
  }
  if (size > 0) malformed('size of what is no file')
  if (entry.holes !== undefined) malformed('holes in what is no file')
  if (hasContent && type !== 'directory') malformed('chunks of what has no content')
}

function checkXattrs(entry: Entry): void {
  const xattrs = entry.xattrs
  if (xattrs === undefined) return
  if (xattrs.length === 0) malformed('empty list of xattrs')
  limited(xattrs.length, XATTRS_MAX, 'xattrs')
  let previous: Uint8Array | undefined
  for (const { name, value } of xattrs) {
    if (name.length === 0 || name.includes(0)) malformed('xattr name')
    limited(name.length, XATTR_NAME_BYTES_MAX, 'xattr name')
    limited(value.length, XATTR_VALUE_BYTES_MAX, 'xattr value')
    if (previous !== undefined && compareBytes(previous, name) >= 0) malformed('xattr order')
    previous = name
  }
}

function checkStreams(entry: Entry): void {
  const streams = entry.streams
  if (streams === undefined) return
  if (streams.length === 0) malformed('empty list of streams')
  limited(streams.length, STREAMS_MAX, 'streams')
  let previous: Uint8Array | undefined
  for (const stream of streams) {
    checkName(stream.name)
    uint(stream.size, Number.MAX_SAFE_INTEGER, 'stream size')
    checkContentIds(stream, 'stream')
    const hasContent = stream.chunks !== undefined || stream.list !== undefined
    if (hasContent !== stream.size > 0) malformed('stream chunks against its size')
    if (previous !== undefined && compareBytes(previous, stream.name) >= 0) {
      malformed('stream order')
    }
    previous = stream.name
  }
}

function checkRare(entry: Entry): void {
  limited(entry.acl?.length ?? 0, ACL_BYTES_MAX, 'acl')
  limited(entry.securityDescriptor?.length ?? 0, SECURITY_DESCRIPTOR_BYTES_MAX, 'descriptor')
  limited(entry.reparse?.length ?? 0, REPARSE_BYTES_MAX, 'reparse')
  uint(entry.flags, UINT32_MAX, 'flags')
  uint(entry.project, UINT32_MAX, 'project')
  uint(entry.bsdFlags, UINT32_MAX, 'bsdFlags')
  uint(entry.windowsAttributes, UINT32_MAX, 'windowsAttributes')
  const objectId = entry.objectId
  if (objectId !== undefined && objectId.length !== 16 && objectId.length !== 64) {
    malformed('objectId is neither 16 nor 64 bytes')
  }
  text(entry.shortName, NAME_BYTES_MAX, 'shortName')
  text(entry.error, ENTRY_ERROR_BYTES_MAX, 'error')
}

/**
 * Throws MALFORMED or TOO_LARGE when `entry` breaks a rule of spec/tree.md §3; the name is checked
 * apart, because a root has none.
 */
export function checkEntry(entry: Entry): void {
  uint(entry.mode, 0o7777, 'mode')
  uint(entry.uid, UINT32_MAX, 'uid')
  uint(entry.gid, UINT32_MAX, 'gid')
  uint(entry.links, Number.MAX_SAFE_INTEGER, 'links')
  text(entry.user, OWNER_NAME_BYTES_MAX, 'user')
  text(entry.group, OWNER_NAME_BYTES_MAX, 'group')
  int64(entry.mtime, 'mtime')
  int64(entry.ctime, 'ctime')
  int64(entry.atime, 'atime')
  int64(entry.btime, 'btime')
  uint64(entry.inode, 'inode')
  uint64(entry.device, 'device')
  uint64(entry.rdev, 'rdev')
  const { type, target } = entry
  if ((target !== undefined) !== (type === 'symlink')) malformed('target against type')
  if (target !== undefined) {
    limited(target.length, SYMLINK_TARGET_BYTES_MAX, 'target')
    if (target.includes(0)) malformed('target with NUL')
  }
  if ((entry.rdev !== undefined) !== (type === 'block' || type === 'char')) {
    malformed('rdev against type')
  }
  checkContent(entry)
  checkXattrs(entry)
  checkStreams(entry)
  checkRare(entry)
}
