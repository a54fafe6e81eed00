/** The command's end of the control socket (packages/protocol/src/control). */

import { connect, type Socket } from 'node:net'

import {
  type ControlMethod,
  type ControlMethods,
  type ControlReply,
  MoyaiError,
  isErrorCode,
} from '@moyai/protocol/command'

/** A reply line is at most a summary with its lists; anything longer is not our daemon. */
const LINE_BYTES_MAX = 64 * 1024 * 1024

/**
 * Calls one daemon; each call is a connection of its own, so that ending it cancels just that call.
 */
export class ControlClient {
  readonly #address: string

  constructor(address: string) {
    this.#address = address
  }

  /**
   * Calls `method`; `onEvent` gets what is told underway. Errors of the daemon come back as the
   * MoyaiError they were. DAEMON_UNREACHABLE when none listens; ABORTED when `signal` aborts (the
   * daemon cancels the work).
   */
  async call<M extends ControlMethod>(
    method: M,
    params: ControlMethods[M]['params'],
    o: { onEvent?: (event: ControlMethods[M]['event']) => void; signal?: AbortSignal } = {},
  ): Promise<ControlMethods[M]['result']> {
    const socket = await this.#connect(o.signal)
    const stop = (): void => {
      socket.destroy(new MoyaiError('ABORTED', 'interrupted'))
    }
    o.signal?.addEventListener('abort', stop, { once: true })
    try {
      socket.write(`${JSON.stringify({ id: 1, method, params })}\n`)
      for await (const line of linesOf(socket)) {
        const reply = JSON.parse(line) as ControlReply
        if ('event' in reply) o.onEvent?.(reply.event as ControlMethods[M]['event'])
        else if ('result' in reply) return reply.result as ControlMethods[M]['result']
        else throw errorOf(reply.error)
      }
      throw new MoyaiError('DAEMON_UNREACHABLE', 'the daemon went away before it answered', {
        hint: 'start it and say the same again: it goes on where it was (its log tells why it ended)',
      })
    } catch (error) {
      if (o.signal?.aborted === true)
        throw new MoyaiError('ABORTED', 'interrupted', { cause: error })
      if (error instanceof MoyaiError) throw error
      throw new MoyaiError('DAEMON_UNREACHABLE', 'the connection to the daemon broke', {
        cause: error,
        hint: 'its log is in the log folder of the state directory',
      })
    } finally {
      o.signal?.removeEventListener('abort', stop)
      socket.destroy()
    }
  }

  #connect(signal: AbortSignal | undefined): Promise<Socket> {
    if (signal?.aborted === true) throw new MoyaiError('ABORTED', 'interrupted')
    return new Promise((resolve, reject) => {
      const socket = connect(this.#address)
      socket.once('connect', () => resolve(socket))
      socket.once('error', (cause) =>
        reject(
          new MoyaiError(
            'DAEMON_UNREACHABLE',
            'no moyai daemon is running for this state directory',
            {
              cause,
              hint: 'start it with: moyai daemon (MOYAI_HOME names the state directory)',
            },
          ),
        ),
      )
    })
  }
}

function errorOf(error: Extract<ControlReply, { error: unknown }>['error']): MoyaiError {
  const code = isErrorCode(error.code) ? error.code : 'INTERNAL'
  return new MoyaiError(code, error.message, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.data === undefined ? {} : { data: error.data }),
  })
}

async function* linesOf(socket: Socket): AsyncGenerator<string> {
  let pending: Buffer[] = []
  let bytes = 0
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    let rest = chunk
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      yield Buffer.concat([...pending, rest.subarray(0, end)]).toString('utf8')
      pending = []
      bytes = 0
      rest = rest.subarray(end + 1)
    }
    bytes += rest.length
    if (bytes > LINE_BYTES_MAX) throw new MoyaiError('TOO_LARGE', 'the daemon sent an endless line')
    if (rest.length > 0) pending.push(rest)
  }
}
