/** What a walk counts. */

/** What the walk met. Bytes are those of regular files. */
export type WalkCounts = {
  filesNew: number
  filesChanged: number
  filesUnmodified: number
  dirsNew: number
  dirsChanged: number
  dirsUnmodified: number
  others: number
  files: number
  dirs: number
  bytes: number
  /** Bytes of files whose content is dealt with. */
  bytesDone: number
  filesDone: number
  bytesToRead: number
  errors: number
  excluded: number
}

/** All zero. */
export function newCounts(): WalkCounts {
  return {
    filesNew: 0,
    filesChanged: 0,
    filesUnmodified: 0,
    dirsNew: 0,
    dirsChanged: 0,
    dirsUnmodified: 0,
    others: 0,
    files: 0,
    dirs: 0,
    bytes: 0,
    bytesDone: 0,
    filesDone: 0,
    bytesToRead: 0,
    errors: 0,
    excluded: 0,
  }
}
