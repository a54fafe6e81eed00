/**
 * The one error type of moyai, and the closed list of its codes.
 *
 * Two kinds of wrong are kept apart: a programmer's error is an assertion (`assert.ts`) and ends the process;
 * everything that a disk, a peer, a clock or a person can cause is a `MoyaiError`. Codes are API: they travel
 * over the wire and the control socket, and each is described in `docs/reference/errors.md`.
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
  MALFORMED: EXIT.failed,
  UNKNOWN_VERSION: EXIT.failed,
  TOO_LARGE: EXIT.failed,
  TRUNCATED: EXIT.failed,
  HASH_MISMATCH: EXIT.failed,
  BAD_SIGNATURE: EXIT.failed,
  SEAL_MISMATCH: EXIT.failed,
  // keys and membership
  BAD_PHRASE: EXIT.wrongPassphrase,
  BAD_TOKEN: EXIT.usage,
  INVITE_EXPIRED: EXIT.failed,
  INVITE_USED: EXIT.failed,
  INVITE_UNKNOWN: EXIT.failed,
  NAME_TAKEN: EXIT.failed,
  NOT_A_MEMBER: EXIT.failed,
  ALREADY_IN_POOL: EXIT.failed,
  NO_POOL: EXIT.noVaultOrPool,
  NO_VAULT: EXIT.noVaultOrPool,
  ALREADY_INITIALISED: EXIT.failed,
  CLOCK_DISAGREES: EXIT.clock,
  IDENTITY_MISMATCH: EXIT.identityMismatch,
  // the pool
  TOO_FEW_HOSTS: EXIT.tooFewHosts,
  BELOW_POLICY: EXIT.belowPolicy,
  HOST_UNREACHABLE: EXIT.failed,
  HOST_REFUSED: EXIT.failed,
  NOT_ENOUGH_SHARDS: EXIT.unrecoverable,
  UNRECOVERABLE: EXIT.unrecoverable,
  LOG_GAP: EXIT.failed,
  LOG_FORK: EXIT.identityMismatch,
  LOG_KNOWN: EXIT.failed,
  // a holder's store
  NOT_FOUND: EXIT.failed,
  SHARD_DAMAGED: EXIT.failed,
  STORE_OFFLINE: EXIT.failed,
  STORE_TAINTED: EXIT.failed,
  NO_SPACE: EXIT.noSpace,
  QUOTA: EXIT.noSpace,
  // streams
  PROTOCOL_VIOLATION: EXIT.failed,
  STREAM_CLOSED: EXIT.failed,
  TIMED_OUT: EXIT.failed,
  BUSY: EXIT.failed,
  ABORTED: EXIT.interrupted,
  // this host
  CONFIG_INVALID: EXIT.usage,
  USAGE: EXIT.usage,
  HOME_LOCKED: EXIT.failed,
  DAEMON_UNREACHABLE: EXIT.daemonUnreachable,
  DISK: EXIT.failed,
  SOURCE_UNREADABLE: EXIT.failed,
  SOME_FILES_FAILED: EXIT.someFilesFailed,
  SNAPSHOT_UNKNOWN: EXIT.failed,
  SNAPSHOT_AMBIGUOUS: EXIT.usage,
  PATH_UNKNOWN: EXIT.failed,
  TARGET_UNSAFE: EXIT.failed,
  TARGET_EXISTS: EXIT.failed,
  INTERNAL: EXIT.failed,
} as const satisfies Record<string, number>

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
