/**
 * The control server: the command's door into the daemon (spec/control.md).
 *
 * A Unix socket that only its owner can open, or a named pipe. Each request runs until it is
 * answered or until the client goes away, which aborts its signal. Everything a client can grow is
 * bounded: connections, requests of a connection, the length of a line, and what is buffered for a
 * client that reads slowly — its handler waits.
 */

import { chmod, lstat, mkdir, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'

import {
  isMoyaiError,
  MoyaiError,
  toMoyaiError,
  type ControlError,
  type ControlMethod,
  type ControlMethods,
  type ControlReply,
} from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import { SECRET_DIRECTORY_MODE, SECRET_MODE } from '../file-system/index.ts'
import { logConnectionRefused, logInternalError, logListening, logRequestFailed } from './events.ts'
import { LineSplitter } from './lines.ts'
import { checkParams, isControlMethod } from './params.ts'

/** A request line holds paths and patterns: 1 MiB is thousands of them. */
const LINE_BYTES_MAX: number = 1024 * 1024
/** Each command is one connection; a hundred at once is a script gone wrong. */
const CONNECTIONS_MAX = 64
const REQUESTS_PER_CONNECTION_MAX = 8
/** What a stopping daemon waits for a client to take its last reply. */
const LAST_REPLY_MS = 1000

/** What a handler gets besides its parameters. */
export type ControlContext = {
  /** Aborts when the client goes away or the daemon stops. */
  signal: AbortSignal
}

/** A method: yields events, returns the result; throws MoyaiError. */
export type ControlHandler<M extends ControlMethod> = (
  params: ControlMethods[M]['params'],
  context: ControlContext,
) => AsyncGenerator<ControlMethods[M]['event'], ControlMethods[M]['result'], void>

export type ControlHandlers = { [M in ControlMethod]?: ControlHandler<M> }

type AnyHandler = (params: unknown, context: ControlContext) => AsyncGenerator<unknown, unknown>

function controlError(error: MoyaiError): ControlError {
  const { code, message, hint, data } = error
  return {
    code,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(data === undefined ? {} : { data }),
  }
}

/** One client. */
class Connection {
  readonly #socket: Socket
  readonly #handlers: ControlHandlers
  readonly #logger: Logger
  readonly #lines = new LineSplitter(LINE_BYTES_MAX)
  readonly #gone = new AbortController()
  readonly #running = new Set<Promise<void>>()

  constructor(o: { socket: Socket; handlers: ControlHandlers; logger: Logger }) {
    this.#socket = o.socket
    this.#handlers = o.handlers
    this.#logger = o.logger
    o.socket.on('data', (bytes: Buffer) => this.#receive(bytes))
    o.socket.on('error', () => o.socket.destroy())
    o.socket.on('close', () => this.#abort('the client went away'))
  }

  /** Aborts what runs, waits for it, and hangs up. */
  async stop(): Promise<void> {
    this.#abort('the daemon is stopping')
    await Promise.all(this.#running)
    this.#socket.destroySoon()
    // A client that does not read its last reply cannot keep the daemon from stopping.
    setTimeout(() => this.#socket.destroy(), LAST_REPLY_MS).unref()
  }

  #abort(why: string): void {
    this.#gone.abort(new MoyaiError('ABORTED', why))
  }

  #receive(bytes: Uint8Array): void {
    try {
      for (const line of this.#lines.push(bytes)) this.#request(line)
    } catch (error) {
      // The rest of the stream cannot be trusted to be lines.
      this.#reply({ id: 0, error: controlError(toMoyaiError(error)) })
      this.#socket.destroySoon()
    }
  }

  #request(line: string): void {
    const { id, method, params } = parseRequest(line)
    if (!isControlMethod(method) || this.#handlers[method] === undefined) {
      const error = new MoyaiError('USAGE', 'the daemon does not know this request', {
        hint: 'the command and the daemon may be of different versions: restart the daemon',
      })
      this.#reply({ id, error: controlError(error) })
      return
    }
    if (this.#running.size >= REQUESTS_PER_CONNECTION_MAX) {
      const error = new MoyaiError('BUSY', 'too many requests at once on one connection')
      this.#reply({ id, error: controlError(error) })
      return
    }
    const run = this.#run({ id, method, params }).finally(() => this.#running.delete(run))
    this.#running.add(run)
  }

  async #run(o: { id: number; method: ControlMethod; params: unknown }): Promise<void> {
    try {
      const params = checkParams(o.method, o.params)
      const handler = this.#handlers[o.method] as AnyHandler
      const events = handler(params, { signal: this.#gone.signal })
      for (;;) {
        const { done, value } = await events.next()
        await this.#send(
          done === true ? { id: o.id, result: value ?? null } : { id: o.id, event: value },
        )
        if (done === true) return
      }
    } catch (error) {
      if (isMoyaiError(error)) logRequestFailed(this.#logger, o.method, error)
      else logInternalError(this.#logger, o.method, error)
      this.#reply({ id: o.id, error: controlError(toMoyaiError(error)) })
    }
  }

  /** Sends, and waits until the client has taken most of what it was sent before. */
  async #send(reply: ControlReply): Promise<void> {
    if (this.#reply(reply)) return
    const signal = this.#gone.signal
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#socket.off('drain', done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.#socket.on('drain', done)
      signal.addEventListener('abort', done, { once: true })
      if (signal.aborted) done()
    })
  }

  /** False when the client has to catch up first. */
  #reply(reply: ControlReply): boolean {
    if (this.#socket.destroyed || this.#socket.writableEnded) return true
    return this.#socket.write(`${JSON.stringify(reply)}\n`)
  }
}

/** A line as a request; PROTOCOL_VIOLATION when it is none. */
function parseRequest(line: string): { id: number; method: unknown; params: unknown } {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (cause) {
    throw new MoyaiError('PROTOCOL_VIOLATION', 'a request is not JSON', { cause })
  }
  if (typeof value === 'object' && value !== null && 'id' in value && 'method' in value) {
    const { id, method } = value
    const params = 'params' in value ? value.params : {}
    if (typeof id === 'number' && Number.isSafeInteger(id)) return { id, method, params }
  }
  throw new MoyaiError('PROTOCOL_VIOLATION', 'a request needs a numeric id and a method')
}

/** Makes the folder of the socket and removes a socket that a killed daemon left there. */
async function prepare(address: string): Promise<void> {
  const folder = dirname(address)
  await mkdir(folder, { recursive: true, mode: SECRET_DIRECTORY_MODE })
  const stat = await lstat(folder)
  const mine = process.getuid === undefined || stat.uid === process.getuid()
  if (!stat.isDirectory() || !mine) {
    throw new MoyaiError('DISK', `${folder} belongs to somebody else`, {
      hint: 'use a MOYAI_HOME with a shorter path, so that the control socket can be inside it',
    })
  }
  await rm(address, { force: true })
}

/**
 * Listens at `address`. A fresh socket already has no write bits, which connecting needs, for
 * others under any usual umask, and stands in a folder of its owner; then its mode says so whatever
 * the umask.
 */
async function listen(server: Server, address: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(address, () => {
      server.off('error', reject)
      resolve()
    })
  })
  if (process.platform !== 'win32') await chmod(address, SECRET_MODE)
}

/**
 * Serves `handlers` at `address` (of `controlAddress`) between `start` and `stop`. The home's lock
 * must be held.
 */
export class ControlServer implements AsyncDisposable {
  readonly #address: string
  readonly #logger: Logger
  readonly #server: Server
  readonly #connections = new Set<Connection>()

  constructor(o: { address: string; handlers: ControlHandlers; logger: Logger }) {
    this.#address = o.address
    this.#logger = o.logger
    this.#server = createServer((socket) => {
      if (this.#connections.size >= CONNECTIONS_MAX) {
        logConnectionRefused(o.logger, this.#connections.size)
        socket.destroy()
        return
      }
      const connection = new Connection({ socket, handlers: o.handlers, logger: o.logger })
      this.#connections.add(connection)
      socket.on('close', () => this.#connections.delete(connection))
    })
  }

  /** Listens. DISK when the socket cannot be made. */
  async start(): Promise<void> {
    try {
      if (process.platform !== 'win32') await prepare(this.#address)
      await listen(this.#server, this.#address)
    } catch (error) {
      throw toMoyaiError(error, 'DISK')
    }
    logListening(this.#logger, this.#address)
  }

  /** Aborts every request, waits for the handlers, closes the socket. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
    await Promise.all([...this.#connections].map((connection) => connection.stop()))
    await closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}
