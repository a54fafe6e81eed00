/**
 * The relay's side of circuit relay v2.
 *
 * Whoever is certified and directly connected can be reached through this host: a connection is the
 * reservation, so there is none to lose when a relay restarts. Members only, on both sides, and
 * only while they are members.
 */

import type { Connection, Stream } from '@libp2p/interface'
import { MoyaiError, toMoyaiError, type Clock } from '@moyai/protocol'
import { hexOfPeerId } from '../identity.ts'
import { StreamReader, StreamWriter } from '../stream-io.ts'
import type { Node } from '../transport.ts'
import { Circuit, type CircuitEnd } from './circuit.ts'
import {
  CIRCUIT_BUFFER_BYTES,
  CIRCUITS_MAX,
  CIRCUITS_PER_HOST_MAX,
  HOP_PROTOCOL,
  HOP_STREAMS_MAX,
  RELAY_HANDSHAKE_MS,
  RELAY_MESSAGE_BYTES_MAX,
  STOP_PROTOCOL,
  STOP_STREAMS_MAX,
} from './constants.ts'
import {
  decodeHop,
  decodeStop,
  encodeHopStatus,
  encodeStopConnect,
  HOP,
  STATUS,
} from './messages.ts'

export type RelayOptions = {
  isMember: (host: string) => boolean
  /** A direct connection to a host (hex) that is open. */
  connectionTo: (host: string) => Connection | undefined
}

function endOf(host: string, stream: Stream): CircuitEnd {
  const reader = new StreamReader(stream, { highBytes: CIRCUIT_BUFFER_BYTES })
  return { host, stream, reader, writer: new StreamWriter(stream) }
}

/** One message with its length before it. MALFORMED, TOO_LARGE, STREAM_CLOSED. */
async function readMessage({ reader }: CircuitEnd): Promise<Uint8Array> {
  let length = 0
  for (let shift = 0; ; shift += 7) {
    const byte = (await reader.read(1))?.get(0)
    if (byte === undefined) throw new MoyaiError('STREAM_CLOSED', 'the stream ended at once')
    length |= (byte & 0x7f) << shift
    if (byte < 0x80) break
    if (shift >= 14) throw new MoyaiError('MALFORMED', 'a length of too many bytes')
  }
  if (length === 0) throw new MoyaiError('MALFORMED', 'an empty message')
  if (length > RELAY_MESSAGE_BYTES_MAX) throw new MoyaiError('TOO_LARGE', 'a long message')
  const message = await reader.read(length)
  if (message === undefined) throw new MoyaiError('TRUNCATED', 'the message is missing')
  return message.subarray()
}

export class Relay {
  readonly #o: RelayOptions
  readonly #clock: Clock
  readonly #circuits = new Set<Circuit>()
  /** Handshakes under way, by dialing host: they count like circuits. */
  readonly #asked = new Map<string, number>()

  constructor(o: RelayOptions, components: { clock: Clock }) {
    this.#o = o
    this.#clock = components.clock
  }

  /** Circuits that this host carries now. */
  get circuits(): number {
    return this.#circuits.size
  }

  /** Cuts circuits of hosts that are no members any more, and those that stand still. */
  tick(): void {
    for (const circuit of this.#circuits) {
      const ends = [circuit.from.host, circuit.to.host]
      if (!ends.every((host) => this.#o.isMember(host))) circuit.cut('the host is no member')
      else if (circuit.isIdle) circuit.cut('the circuit stands still')
    }
  }

  /** Serves HOP streams of this node's connections. */
  async register(node: Node): Promise<void> {
    const serve = async (stream: Stream, connection: Connection): Promise<void> => {
      const host = hexOfPeerId(connection.remotePeer)
      if (host !== undefined && this.#o.isMember(host)) await this.#serve(host, stream, connection)
      else stream.abort(new Error('for members only'))
    }
    await node.handle(HOP_PROTOCOL, serve, { maxInboundStreams: HOP_STREAMS_MAX })
  }

  /** Resolves when the circuit, if there is one, has ended. */
  async #serve(host: string, stream: Stream, connection: Connection): Promise<void> {
    const from = endOf(host, stream)
    const overdue = AbortSignal.timeout(RELAY_HANDSHAKE_MS)
    const giveUp = (): void => stream.abort(new Error('the handshake took too long'))
    overdue.addEventListener('abort', giveUp, { once: true })
    const asked = this.#asked.get(host) ?? 0
    this.#asked.set(host, asked + 1)
    let circuit: Circuit | undefined
    try {
      circuit = await this.#connect(from, connection, overdue)
    } catch (error) {
      stream.abort(toMoyaiError(error))
    } finally {
      overdue.removeEventListener('abort', giveUp)
      const left = (this.#asked.get(host) ?? 1) - 1
      if (left === 0) this.#asked.delete(host)
      else this.#asked.set(host, left)
    }
    if (circuit === undefined) return
    this.#circuits.add(circuit)
    await circuit.ended
    this.#circuits.delete(circuit)
  }

  async #connect(
    from: CircuitEnd,
    connection: Connection,
    signal: AbortSignal,
  ): Promise<Circuit | undefined> {
    const request = decodeHop(await readMessage(from))
    const target = request.host
    const status = this.#judge(from.host, request, connection)
    const onward = target === undefined ? undefined : this.#o.connectionTo(target)
    if (status !== STATUS.ok || target === undefined || onward === undefined) {
      await this.#refuse(from, status === STATUS.ok ? STATUS.notHere : status, signal)
      return undefined
    }
    const to = await this.#call(onward, { from: from.host, to: target }, signal)
    if (to === undefined) {
      await this.#refuse(from, STATUS.failed, signal)
      return undefined
    }
    await from.writer.write(encodeHopStatus(STATUS.ok))
    return new Circuit({ from, to }, { clock: this.#clock })
  }

  #judge(host: string, request: { type: number; host?: string }, connection: Connection): number {
    if (request.type === HOP.reserve) return STATUS.refused
    if (request.type !== HOP.connect) return STATUS.unexpected
    if (request.host === undefined || request.host === host) return STATUS.malformed
    // A circuit within a circuit would hide who pays for it.
    if (!connection.direct) return STATUS.denied
    if (!this.#o.isMember(host) || !this.#o.isMember(request.host)) return STATUS.denied
    const own = [...this.#circuits].filter((circuit) => circuit.from.host === host).length
    const pending = [...this.#asked.values()].reduce((sum, count) => sum + count, 0)
    if (own + (this.#asked.get(host) ?? 0) > CIRCUITS_PER_HOST_MAX) return STATUS.tooMany
    if (this.#circuits.size + pending > CIRCUITS_MAX) return STATUS.tooMany
    return STATUS.ok
  }

  async #refuse(from: CircuitEnd, status: number, signal: AbortSignal): Promise<void> {
    await from.writer.write(encodeHopStatus(status))
    await from.stream.close({ signal })
  }

  /** Asks the host that is dialed whether it takes the circuit; undefined when it does not. */
  async #call(
    connection: Connection,
    hosts: { from: string; to: string },
    signal: AbortSignal,
  ): Promise<CircuitEnd | undefined> {
    let stream: Stream | undefined
    try {
      const options = { signal, maxOutboundStreams: STOP_STREAMS_MAX }
      stream = await connection.newStream(STOP_PROTOCOL, options)
      const abort = (): void => stream?.abort(new Error('the handshake took too long'))
      signal.addEventListener('abort', abort, { once: true })
      const to = endOf(hosts.to, stream)
      await to.writer.write(encodeStopConnect(hosts.from))
      const answer = decodeStop(await readMessage(to))
      signal.removeEventListener('abort', abort)
      if (answer.status === STATUS.ok) return to
      stream.abort(new Error('the host refused the circuit'))
    } catch (error) {
      // The dialer is told that it failed; why is the business of the two others.
      stream?.abort(toMoyaiError(error))
    }
    return undefined
  }
}
