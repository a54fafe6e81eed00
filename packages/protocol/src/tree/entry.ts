/**
 * What one name in a directory is: type, metadata of all platforms, and where its content is
 * (spec/tree.md §2).
 *
 * The format has every field that Linux, macOS and Windows keep, whether or not today's capture
 * fills it in, so that snapshots of different versions stay comparable. Absent means "not
 * captured", never "empty".
 */

/** Types in the order of their numbers in the format. */
export const ENTRY_TYPES = [
  'file',
  'directory',
  'symlink',
  'fifo',
  'socket',
  'block',
  'char',
] as const

export type EntryType = (typeof ENTRY_TYPES)[number]

/** One extended attribute; `value` of XATTR_VALUE_BYTES_MAX at most, larger ones are streams. */
export type Xattr = { name: Uint8Array; value: Uint8Array }

/** A range of a file without data: not stored, and made again as a hole. */
export type Hole = { offset: number; length: number }

/**
 * Named further content: an NTFS alternate data stream, or an extended attribute too large for the
 * entry.
 */
export type Stream = {
  name: Uint8Array
  size: number
  chunks?: Uint8Array
  list?: Uint8Array
}

/** A directory entry. Byte fields of a decoded entry are views of the page it came from. */
export type Entry = {
  /**
   * Raw bytes on Linux and macOS, WTF-8 of the UTF-16 name on Windows; empty only for a snapshot's
   * root.
   */
  name: Uint8Array
  type: EntryType
  /** Permission bits and setuid, setgid, sticky: `st_mode & 0o7777`. */
  mode: number
  uid: number
  gid: number
  user?: string
  group?: string
  /** Nanoseconds since the Unix epoch, like the other three times. */
  mtime: bigint
  ctime?: bigint
  atime?: bigint
  btime?: bigint
  /** Bytes of a file's content, holes included; 0 for everything that is not a file. */
  size: bigint | number
  inode?: bigint
  device?: bigint
  links?: number
  /** Where a symlink points, raw bytes; there exactly for symlinks. */
  target?: Uint8Array
  /** The device that a block or char entry stands for. */
  rdev?: bigint
  /** Strictly ascending by name. */
  xattrs?: Xattr[]
  /** Ascending, neither overlapping nor touching, within `size`. */
  holes?: Hole[]
  /**
   * Ids (32 B each) of the chunks that follow one another in the content with its holes left out;
   * for a directory those of its pages. ENTRY_CHUNKS_MAX at most: beyond that `list` has the ids of
   * the list pages instead.
   */
  chunks?: Uint8Array
  list?: Uint8Array
  /** Linux inode flags (FS_IOC_GETFLAGS). */
  flags?: number
  /** Linux project id (FS_IOC_FSGETXATTR). */
  project?: number
  /** macOS and BSD `st_flags`. */
  bsdFlags?: number
  /**
   * macOS access control list in its external form (acl_copy_ext); POSIX ACLs of Linux are xattrs.
   */
  acl?: Uint8Array
  /** FILE_ATTRIBUTE_* bits. */
  windowsAttributes?: number
  /** Self-relative security descriptor. */
  securityDescriptor?: Uint8Array
  /** The 8.3 name of NTFS. */
  shortName?: string
  /** NTFS per-directory case sensitivity. */
  caseSensitive?: boolean
  /** NTFS object id: 16 bytes, or 64 with birth ids. */
  objectId?: Uint8Array
  /** REPARSE_DATA_BUFFER, tag first. */
  reparse?: Uint8Array
  /** Strictly ascending by name. */
  streams?: Stream[]
  /** Why content or metadata of this entry is incomplete; for people. */
  error?: string
}
