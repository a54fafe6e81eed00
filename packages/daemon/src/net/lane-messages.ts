/** Bodies of the frames that belong to the lane itself: HELLO and ERROR (spec/wire.md §3). */

import {
  decodeAs,
  encodeCbor,
  fields,
  FRAME_BYTES_MAX,
  isErrorCode,
  MoyaiError,
  printable,
  s,
  type Infer,
} from '@moyai/protocol'
import {
  ERROR_BYTES_MAX,
  ERROR_TEXT_MAX,
  HELLO_BYTES_MAX,
  LANE_CREDIT_BYTES_MAX,
  LANE_REQUESTS_MAX,
} from './limits.ts'

/** Lane versions that this program speaks, best first. */
export const LANE_VERSIONS: readonly number[] = [1]

// The shape of HELLO is the same in all versions for ever, or versions could not be negotiated.
const HELLO_SCHEMA = s.map({
  versions: s.array(s.int({ min: 1, max: 65_535 }), { min: 1, max: 16 }),
  features: s.array(s.text({ min: 1, max: 32 }), { max: 16 }),
  requests: s.int({ min: 1, max: 256 }),
  credit: s.int({ min: 1, max: 2 ** 31 }),
  frame: s.int({ min: 1024, max: 2 ** 24 }),
})

/**
 * The first frame in each direction. `versions`: lane versions spoken; `features`: optional
 * abilities by name; `requests`: requests accepted at once; `credit`: bytes that will be granted at
 * once at most; `frame`: longest DATA body accepted.
 */
export type Hello = Infer<typeof HELLO_SCHEMA>

/** What this program says. */
export function ownHello(requests: number): Hello {
  return {
    versions: [...LANE_VERSIONS],
    features: [],
    requests: Math.min(requests, LANE_REQUESTS_MAX),
    credit: LANE_CREDIT_BYTES_MAX,
    frame: FRAME_BYTES_MAX,
  }
}

export function encodeHello(hello: Hello): Uint8Array {
  return encodeCbor(hello)
}

/** A peer's HELLO; MALFORMED, or UNKNOWN_VERSION when no version is common. */
export function decodeHello(body: Uint8Array): Hello {
  const hello = decodeAs(HELLO_SCHEMA, body, { bytesMax: HELLO_BYTES_MAX, what: 'hello' })
  if (!LANE_VERSIONS.some((version) => hello.versions.includes(version))) {
    throw new MoyaiError('UNKNOWN_VERSION', 'the other host speaks no version known here', {
      hint: 'update moyai on both hosts',
    })
  }
  return hello
}

const ERROR_SCHEMA = s.map({
  code: s.text({ min: 1, max: 40 }),
  text: s.text({ max: 2 * ERROR_TEXT_MAX }),
  hint: s.optional(s.text({ max: 2 * ERROR_TEXT_MAX })),
})

/** Texts come from anywhere: what cannot be encoded or printed is replaced, then it is cut. */
function wireText(text: string): string {
  return printable(text.toWellFormed().replaceAll('\uFEFF', ''), ERROR_TEXT_MAX)
}

/** Body of an ERROR frame. What went wrong inside this program is not told in detail. */
export function encodeError(error: MoyaiError): Uint8Array {
  const internal = error.code === 'INTERNAL'
  const body = encodeCbor(
    fields({
      code: error.code,
      text: internal ? 'internal error' : wireText(error.message),
      hint: error.hint === undefined || internal ? undefined : wireText(error.hint),
    }),
  )
  if (body.length <= ERROR_BYTES_MAX) return body
  return encodeCbor({ code: error.code, text: 'the description is too long' })
}

/** The error in an ERROR frame, printable; a code unknown here becomes HOST_REFUSED. */
export function decodeError(body: Uint8Array): MoyaiError {
  const error = decodeAs(ERROR_SCHEMA, body, { bytesMax: ERROR_BYTES_MAX, what: 'error' })
  const hint = error.hint === undefined ? {} : { hint: printable(error.hint, ERROR_TEXT_MAX) }
  const details = { ...hint, data: { remote: true } }
  const text = printable(error.text, ERROR_TEXT_MAX)
  return new MoyaiError(isErrorCode(error.code) ? error.code : 'HOST_REFUSED', text, details)
}
