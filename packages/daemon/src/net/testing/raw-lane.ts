/** A peer that speaks frames by hand: for tests of what a lane does with wrong ones. */

import type { Stream } from '@libp2p/interface'
import { concatBytes } from '@moyai/protocol'
import {
  decodeFrameHeader,
  encodeFrameHeader,
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  type FrameHeader,
  type FrameType,
} from '../frame.ts'
import { encodeHello, ownHello } from '../lane-messages.ts'
import { StreamReader } from '../stream-io.ts'

const LIMITS = { requestBytesMax: 262_144, responseBytesMax: 262_144 }

/** The bytes of a frame, right or wrong. `claim` replaces the length in the header. */
export function frameBytes(
  type: FrameType,
  o: { request?: number; more?: boolean; body?: Uint8Array; claim?: number } = {},
): Uint8Array {
  const body = o.body ?? new Uint8Array(0)
  const header = { type, more: o.more ?? false, request: o.request ?? 0, length: 0 }
  const head = encodeFrameHeader(header)
  new DataView(head.buffer).setUint32(8, o.claim ?? body.length)
  return concatBytes(head, body)
}

export function helloBytes(): Uint8Array {
  return frameBytes('hello', { body: encodeHello(ownHello(8)) })
}

/** Header bytes with every field free. */
export function rawHeader(o: {
  type: number
  flags?: number
  request?: number
  length?: number
}): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, o.type)
  view.setUint8(1, o.flags ?? 0)
  view.setUint32(4, o.request ?? 0)
  view.setUint32(8, o.length ?? 0)
  return bytes
}

export class RawPeer {
  readonly stream: Stream
  readonly #reader: StreamReader

  constructor(stream: Stream) {
    this.stream = stream
    this.#reader = new StreamReader(stream)
  }

  /** Sends without waiting: hostile peers do not mind flow control. */
  send(...frames: Uint8Array[]): void {
    for (const frame of frames) this.stream.send(frame)
  }

  /** The next frame, or undefined when the stream ended. */
  async next(): Promise<(FrameHeader & { body: Uint8Array }) | undefined> {
    const head = await this.#reader.read(FRAME_HEADER_BYTES)
    if (head === undefined) return undefined
    const header = decodeFrameHeader(head.slice(), LIMITS)
    const body = header.length === 0 ? undefined : await this.#reader.read(header.length)
    return { ...header, body: body?.slice() ?? new Uint8Array(0) }
  }

  /** Reads on until a frame of this type came. */
  async until(type: keyof typeof FRAME_TYPES): Promise<FrameHeader & { body: Uint8Array }> {
    for (;;) {
      const frame = await this.next()
      if (frame === undefined) throw new Error(`the stream ended before ${type}`)
      if (frame.type === type) return frame
    }
  }
}
