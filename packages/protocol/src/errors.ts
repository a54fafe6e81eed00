/**
 * The one error type of moyai, and the closed list of its codes.
 *
 * Two kinds of wrong are kept apart: a programmer's error is an assertion (`assert.ts`) and ends
 * the process; everything that a disk, a peer, a clock or a person can cause is a `MoyaiError`.
 * Codes are API: they travel over the wire and the control socket, and each is described in
 * `docs/reference/errors.md`.
 */

/** Exit codes of the command (DESIGN §9). */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  someFilesFailed: 3,
  noVaultOrPool: 10,
  wrongPassphrase: 12,
  tooFewHosts: 20,
  belowPolicy: 21,
  unrecoverable: 22,
  retention: 23,
  noSpace: 24,
  identityMismatch: 25,
  daemonUnreachable: 26,
  clock: 27,
  anomaly: 28,
  interrupted: 130,
} as const

/** Every error code with the exit code that the command ends with when nothing handles it. */
export const ERROR_EXIT_CODES = {
  // what was decoded
  MALFORMED: 1,
  UNKNOWN_VERSION: 1,
  TOO_LARGE: 1,
  TRUNCATED: 1,
  HASH_MISMATCH: 1,
  BAD_SIGNATURE: 1,
  SEAL_MISMATCH: 1,
  // keys and membership
  BAD_PHRASE: 12,
  BAD_TOKEN: 2,
  INVITE_EXPIRED: 1,
  INVITE_USED: 1,
  INVITE_UNKNOWN: 1,
  NAME_TAKEN: 1,
  NOT_A_MEMBER: 1,
  HOST_UNKNOWN: 1,
  HOST_AMBIGUOUS: 2,
  HOST_REVOKED: 1,
  NOT_ALLOWED: 1,
  ALREADY_IN_POOL: 1,
  NO_POOL: 10,
  NO_VAULT: 10,
  ALREADY_INITIALISED: 1,
  CLOCK_DISAGREES: 27,
  IDENTITY_MISMATCH: 25,
  // the pool
  TOO_FEW_HOSTS: 20,
  BELOW_POLICY: 21,
  HOST_UNREACHABLE: 1,
  HOST_REFUSED: 1,
  NOT_ENOUGH_SHARDS: 22,
  UNRECOVERABLE: 22,
  LOG_GAP: 1,
  LOG_FORK: 25,
  LOG_KNOWN: 1,
  // a holder's store
  NOT_FOUND: 1,
  SHARD_DAMAGED: 1,
  STORE_OFFLINE: 1,
  STORE_TAINTED: 1,
  NO_SPACE: 24,
  QUOTA: 24,
  RETAINED: 23,
  // streams
  PROTOCOL_VIOLATION: 1,
  STREAM_CLOSED: 1,
  TIMED_OUT: 1,
  BUSY: 1,
  ABORTED: 130,
  // this host
  CONFIG_INVALID: 2,
  USAGE: 2,
  HOME_LOCKED: 1,
  DAEMON_UNREACHABLE: 26,
  DISK: 1,
  SOURCE_UNREADABLE: 1,
  SOME_FILES_FAILED: 3,
  SNAPSHOT_UNKNOWN: 1,
  SNAPSHOT_AMBIGUOUS: 2,
  PATH_UNKNOWN: 1,
  TARGET_UNSAFE: 1,
  TARGET_EXISTS: 1,
  INTERNAL: 1,
} as const

export type ErrorCode = keyof typeof ERROR_EXIT_CODES

/** True for a text that is one of ours: what a peer sends as a code is checked with this. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_EXIT_CODES, text)
}

/** What else an error can carry. */
export type ErrorDetails = {
  /** What the person can do about it; lower-case sentence without a final period. */
  hint?: string
  cause?: unknown
  /** Machine-readable particulars, for `--json`; never secrets. */
  data?: Record<string, string | number | boolean | string[]>
}

/**
 * An operating error: a stable code, a sentence (lower-case, no final period) and a hint.
 * Peer-supplied text may be in `message` only after it went through `printable()` of bytes.ts.
 */
export class MoyaiError extends Error {
  override readonly name = 'MoyaiError'
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly data: Record<string, string | number | boolean | string[]> | undefined

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.hint = details.hint
    this.data = details.data
  }

  get exitCode(): number {
    return ERROR_EXIT_CODES[this.code]
  }
}

/** True when `error` is a MoyaiError, of one of `codes` if any are given. */
export function isMoyaiError(error: unknown, ...codes: ErrorCode[]): error is MoyaiError {
  return error instanceof MoyaiError && (codes.length === 0 || codes.includes(error.code))
}

/** Any thrown value as a MoyaiError; what is not one already becomes `INTERNAL` (or `code`). */
export function toMoyaiError(error: unknown, code: ErrorCode = 'INTERNAL'): MoyaiError {
  if (error instanceof MoyaiError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new MoyaiError(code, message, { cause: error })
}
