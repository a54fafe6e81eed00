/** Errors of the system as ours. */

import { MoyaiError } from '@moyai/protocol'

/** The `code` of a system error (`ENOENT` …), or an empty text. */
export function systemErrorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return ''
  return typeof error.code === 'string' ? error.code : ''
}

/**
 * A system error as ours, naming the file: NOT_FOUND, TARGET_EXISTS, NO_SPACE or DISK, with the
 * system's error as `cause`.
 */
export function fileError(error: unknown, doing: string, path: string): MoyaiError {
  if (error instanceof MoyaiError) return error
  const code = systemErrorCode(error)
  const cause = { cause: error }
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new MoyaiError('NOT_FOUND', `${path} is not there`, cause)
    case 'EEXIST':
      return new MoyaiError('TARGET_EXISTS', `${path} is already there`, cause)
    case 'ENOSPC':
    case 'EDQUOT':
      return new MoyaiError('NO_SPACE', `the disk is full (${doing} ${path})`, cause)
    case 'EROFS':
      return new MoyaiError('DISK', `the file system is read-only (${doing} ${path})`, {
        ...cause,
        hint: 'its disk may be failing: the log of the system says why it was mounted so',
      })
    case 'EACCES':
    case 'EPERM':
      return new MoyaiError('DISK', `no permission for ${doing} ${path}`, {
        ...cause,
        hint: 'check who owns the folder',
      })
    default: {
      const text = error instanceof Error ? error.message : String(error)
      return new MoyaiError('DISK', `${doing} ${path} failed: ${text}`, cause)
    }
  }
}
