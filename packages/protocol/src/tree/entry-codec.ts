/**
 * One entry as a canonical DAG-CBOR map with keys of one letter, written and read in one pass
 * (spec/tree.md §2).
 *
 * Keys of one length sort by their byte, so capitals come first. The order below is that of the
 * format.
 */

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
  TREE_ENTRY_BYTES_MAX,
  XATTR_NAME_BYTES_MAX,
  XATTR_VALUE_BYTES_MAX,
  XATTRS_MAX,
} from '../limits.ts'
import { ENTRY_TYPES, type Entry, type Hole, type Stream, type Xattr } from './entry.ts'
import { checkEntry, checkName } from './entry-check.ts'
import { RawCborReader, RawCborWriter } from './raw-cbor.ts'

const UINT32_MAX = 0xffff_ffff
const SAFE_MAX = Number.MAX_SAFE_INTEGER
const FIELDS_MAX = 40
const NONE = new Uint8Array(0)

/** Codes of the keys; ascending, as they are in the format. */
const KEY = {
  atime: 0x41, // A
  btime: 0x42, // B
  ctime: 0x43, // C
  securityDescriptor: 0x44, // D
  error: 0x45, // E
  flags: 0x46, // F
  group: 0x47, // G
  list: 0x4c, // L
  mtime: 0x4d, // M
  objectId: 0x4f, // O
  project: 0x50, // P
  reparse: 0x52, // R
  streams: 0x53, // S
  type: 0x54, // T
  user: 0x55, // U
  windowsAttributes: 0x57, // W
  acl: 0x61, // a
  bsdFlags: 0x62, // b
  chunks: 0x63, // c
  device: 0x64, // d
  gid: 0x67, // g
  holes: 0x68, // h
  inode: 0x69, // i
  shortName: 0x6b, // k
  links: 0x6c, // l
  mode: 0x6d, // m
  name: 0x6e, // n
  rdev: 0x72, // r
  size: 0x73, // s
  target: 0x74, // t
  uid: 0x75, // u
  caseSensitive: 0x76, // v
  xattrs: 0x78, // x
} as const

/** Bits of the fields that every entry has. */
const REQUIRED = { mtime: 1, type: 2, gid: 4, mode: 8, name: 16, size: 32, uid: 64 } as const
const REQUIRED_ALL = 127

/** Writes fields and counts them. */
class FieldWriter {
  readonly to: RawCborWriter
  count = 0

  constructor(to: RawCborWriter) {
    this.to = to
  }

  uint(key: number, value: number | undefined): void {
    if (value === undefined) return
    this.to.key(key)
    this.to.uint(value)
    this.count++
  }

  int64(key: number, value: bigint | undefined): void {
    if (value === undefined) return
    this.to.key(key)
    this.to.int64(value)
    this.count++
  }

  uint64(key: number, value: bigint | undefined): void {
    if (value === undefined) return
    this.to.key(key)
    this.to.uint64(value)
    this.count++
  }

  bytes(key: number, value: Uint8Array | undefined): void {
    if (value === undefined) return
    this.to.key(key)
    this.to.bytes(value)
    this.count++
  }

  text(key: number, value: string | undefined): void {
    if (value === undefined) return
    this.to.key(key)
    this.to.text(value)
    this.count++
  }

  bool(key: number, value: boolean | undefined): void {
    if (value === undefined) return
    this.to.key(key)
    this.to.bool(value)
    this.count++
  }

  items<T>(
    key: number,
    values: readonly T[] | undefined,
    write: (to: RawCborWriter, value: T) => void,
  ): void {
    if (values === undefined) return
    this.to.key(key)
    this.to.array(values.length)
    for (const value of values) write(this.to, value)
    this.count++
  }
}

function writeStream(to: RawCborWriter, stream: Stream): void {
  to.array(4)
  to.bytes(stream.name)
  to.uint(stream.size)
  to.bytes(stream.chunks ?? NONE)
  to.bytes(stream.list ?? NONE)
}

function writeHole(to: RawCborWriter, hole: Hole): void {
  to.array(2)
  to.uint(hole.offset)
  to.uint(hole.length)
}

function writeXattr(to: RawCborWriter, xattr: Xattr): void {
  to.array(2)
  to.bytes(xattr.name)
  to.bytes(xattr.value)
}

function writeFields(fields: FieldWriter, entry: Entry): void {
  fields.int64(KEY.atime, entry.atime)
  fields.int64(KEY.btime, entry.btime)
  fields.int64(KEY.ctime, entry.ctime)
  fields.bytes(KEY.securityDescriptor, entry.securityDescriptor)
  fields.text(KEY.error, entry.error)
  fields.uint(KEY.flags, entry.flags)
  fields.text(KEY.group, entry.group)
  fields.bytes(KEY.list, entry.list)
  fields.int64(KEY.mtime, entry.mtime)
  fields.bytes(KEY.objectId, entry.objectId)
  fields.uint(KEY.project, entry.project)
  fields.bytes(KEY.reparse, entry.reparse)
  fields.items(KEY.streams, entry.streams, writeStream)
  fields.uint(KEY.type, ENTRY_TYPES.indexOf(entry.type))
  fields.text(KEY.user, entry.user)
  fields.uint(KEY.windowsAttributes, entry.windowsAttributes)
  fields.bytes(KEY.acl, entry.acl)
  fields.uint(KEY.bsdFlags, entry.bsdFlags)
  fields.bytes(KEY.chunks, entry.chunks)
  fields.uint64(KEY.device, entry.device)
  fields.uint(KEY.gid, entry.gid)
  fields.items(KEY.holes, entry.holes, writeHole)
  fields.uint64(KEY.inode, entry.inode)
  fields.text(KEY.shortName, entry.shortName)
  fields.uint(KEY.links, entry.links)
  fields.uint(KEY.mode, entry.mode)
  fields.bytes(KEY.name, entry.name)
  fields.uint64(KEY.rdev, entry.rdev)
  if (typeof entry.size === 'bigint') fields.uint64(KEY.size, entry.size)
  else fields.uint(KEY.size, entry.size)
  fields.bytes(KEY.target, entry.target)
  fields.uint(KEY.uid, entry.uid)
  fields.bool(KEY.caseSensitive, entry.caseSensitive)
  fields.items(KEY.xattrs, entry.xattrs, writeXattr)
}

/**
 * Appends `entry` to `to`. MALFORMED when it breaks a rule of the format, TOO_LARGE when a field or
 * the whole (TREE_ENTRY_BYTES_MAX) is beyond its limit; `to` is unchanged then except for bytes
 * after its old length.
 */
export function writeEntry(to: RawCborWriter, entry: Entry): void {
  checkEntry(entry)
  const start = to.openMap()
  const fields = new FieldWriter(to)
  writeFields(fields, entry)
  to.closeMap(start, fields.count)
  if (to.length - start > TREE_ENTRY_BYTES_MAX) {
    to.truncate(start)
    throw new MoyaiError('TOO_LARGE', `tree entry: beyond ${TREE_ENTRY_BYTES_MAX} bytes`)
  }
}

function readStream(from: RawCborReader): Stream {
  from.arrayOf(4)
  const name = from.bytes(NAME_BYTES_MAX)
  const size = from.uint(SAFE_MAX)
  const chunks = from.bytes(ENTRY_CHUNKS_MAX * HASH_BYTES)
  const list = from.bytes(ENTRY_LIST_PAGES_MAX * HASH_BYTES)
  const stream: Stream = { name, size }
  if (chunks.length > 0) stream.chunks = chunks
  if (list.length > 0) stream.list = list
  return stream
}

function readHole(from: RawCborReader): Hole {
  from.arrayOf(2)
  return { offset: from.uint(SAFE_MAX), length: from.uint(SAFE_MAX) }
}

function readXattr(from: RawCborReader): Xattr {
  from.arrayOf(2)
  return { name: from.bytes(XATTR_NAME_BYTES_MAX), value: from.bytes(XATTR_VALUE_BYTES_MAX) }
}

function readItems<T>(from: RawCborReader, max: number, read: (from: RawCborReader) => T): T[] {
  const count = from.array(max)
  const values: T[] = []
  for (let i = 0; i < count; i++) values.push(read(from))
  return values
}

/** Reads the value of a rare field into `entry`; false when `key` is none of them. */
function readRareField(from: RawCborReader, key: number, entry: Entry): boolean {
  switch (key) {
    case KEY.securityDescriptor:
      entry.securityDescriptor = from.bytes(SECURITY_DESCRIPTOR_BYTES_MAX)
      return true
    case KEY.error:
      entry.error = from.text(ENTRY_ERROR_BYTES_MAX)
      return true
    case KEY.flags:
      entry.flags = from.uint(UINT32_MAX)
      return true
    case KEY.list:
      entry.list = from.bytes(ENTRY_LIST_PAGES_MAX * HASH_BYTES)
      return true
    case KEY.objectId:
      entry.objectId = from.bytes(64)
      return true
    case KEY.project:
      entry.project = from.uint(UINT32_MAX)
      return true
    case KEY.reparse:
      entry.reparse = from.bytes(REPARSE_BYTES_MAX)
      return true
    case KEY.streams:
      entry.streams = readItems(from, STREAMS_MAX, readStream)
      return true
    case KEY.windowsAttributes:
      entry.windowsAttributes = from.uint(UINT32_MAX)
      return true
    case KEY.acl:
      entry.acl = from.bytes(ACL_BYTES_MAX)
      return true
    case KEY.bsdFlags:
      entry.bsdFlags = from.uint(UINT32_MAX)
      return true
    case KEY.holes:
      entry.holes = readItems(from, HOLES_MAX, readHole)
      return true
    case KEY.shortName:
      entry.shortName = from.text(NAME_BYTES_MAX)
      return true
    case KEY.rdev:
      entry.rdev = from.uint64()
      return true
    case KEY.caseSensitive:
      entry.caseSensitive = from.bool()
      return true
    case KEY.xattrs:
      entry.xattrs = readItems(from, XATTRS_MAX, readXattr)
      return true
    default:
      return false
  }
}

/** Reads the value of a field that most entries have, and returns its bit of REQUIRED, or 0. */
function readField(from: RawCborReader, key: number, entry: Entry): number {
  switch (key) {
    case KEY.atime:
      entry.atime = from.int64()
      return 0
    case KEY.btime:
      entry.btime = from.int64()
      return 0
    case KEY.ctime:
      entry.ctime = from.int64()
      return 0
    case KEY.group:
      entry.group = from.text(OWNER_NAME_BYTES_MAX)
      return 0
    case KEY.mtime:
      entry.mtime = from.int64()
      return REQUIRED.mtime
    case KEY.type:
      entry.type = ENTRY_TYPES[from.uint(ENTRY_TYPES.length - 1)] ?? 'file'
      return REQUIRED.type
    case KEY.user:
      entry.user = from.text(OWNER_NAME_BYTES_MAX)
      return 0
    case KEY.chunks:
      entry.chunks = from.bytes(ENTRY_CHUNKS_MAX * HASH_BYTES)
      return 0
    case KEY.device:
      entry.device = from.uint64()
      return 0
    case KEY.gid:
      entry.gid = from.uint(UINT32_MAX)
      return REQUIRED.gid
    case KEY.inode:
      entry.inode = from.uint64()
      return 0
    case KEY.links:
      entry.links = from.uint(SAFE_MAX)
      return 0
    case KEY.mode:
      entry.mode = from.uint(0o7777)
      return REQUIRED.mode
    case KEY.name:
      entry.name = from.bytes(NAME_BYTES_MAX)
      return REQUIRED.name
    case KEY.size:
      entry.size = from.uintOrWide()
      return REQUIRED.size
    case KEY.target:
      entry.target = from.bytes(SYMLINK_TARGET_BYTES_MAX)
      return 0
    case KEY.uid:
      entry.uid = from.uint(UINT32_MAX)
      return REQUIRED.uid
    default:
      if (!readRareField(from, key, entry)) from.malformed('unknown field')
      return 0
  }
}

/**
 * Reads one entry, checked by all rules but that of its name; byte fields are views of the input.
 */
export function readEntry(from: RawCborReader): Entry {
  const entry = readUncheckedEntry(from)
  checkEntry(entry)
  return entry
}

/** Reads one entry whose fields may not fit one another: its content may still be missing. */
export function readUncheckedEntry(from: RawCborReader): Entry {
  const start = from.offset
  const count = from.map(FIELDS_MAX)
  const entry: Entry = {
    name: NONE,
    type: 'file',
    mode: 0,
    uid: 0,
    gid: 0,
    mtime: 0n,
    size: 0,
  }
  let previous = 0
  let seen = 0
  for (let i = 0; i < count; i++) {
    const key = from.key()
    if (key <= previous) from.malformed('fields out of order')
    previous = key
    seen |= readField(from, key, entry)
  }
  if (seen !== REQUIRED_ALL) from.malformed('entry without a field that all have')
  if (from.offset - start > TREE_ENTRY_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `tree entry: beyond ${TREE_ENTRY_BYTES_MAX} bytes`)
  }
  return entry
}

/**
 * One entry by itself, as snapshots hold their root; the root's name is empty. Errors as in
 * `writeEntry`.
 */
export function encodeRootEntry(entry: Entry): Uint8Array {
  if (entry.name.length !== 0) throw new MoyaiError('MALFORMED', 'tree entry: root with a name')
  const to = new RawCborWriter(512)
  writeEntry(to, entry)
  return to.copy()
}

/** The entry that `encodeRootEntry` wrote. */
export function decodeRootEntry(bytes: Uint8Array): Entry {
  if (bytes.length > TREE_ENTRY_BYTES_MAX) {
    throw new MoyaiError('TOO_LARGE', `tree entry: beyond ${TREE_ENTRY_BYTES_MAX} bytes`)
  }
  const from = new RawCborReader(bytes, 'tree root')
  const entry = readEntry(from)
  from.end()
  if (entry.name.length !== 0) from.malformed('root with a name')
  return entry
}

/** `writeEntry` of an entry that is in a directory and therefore has a name. */
export function writeNamedEntry(to: RawCborWriter, entry: Entry): void {
  checkName(entry.name)
  writeEntry(to, entry)
}

/** `readEntry` of an entry that is in a directory and therefore has a name. */
export function readNamedEntry(from: RawCborReader): Entry {
  const entry = readEntry(from)
  checkName(entry.name)
  return entry
}
