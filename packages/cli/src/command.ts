/** What a command is, and what it is given. */

import type { ParseArgsOptionsConfig } from 'node:util'

import type { Arguments } from './arguments.ts'
import { ControlClient } from './control-client.ts'
import { controlSocket, type Environment } from './environment.ts'
import type { Output } from './output.ts'

export type Context = {
  readonly env: Environment
  /** The caller's folder: what relative paths are relative to. */
  readonly cwd: string
  /** The state directory, absolute. */
  readonly home: string
  readonly output: Output
  /** Aborts at SIGINT or SIGTERM. */
  readonly signal: AbortSignal
}

export type Command = {
  /** As typed: `store`, `pool join`. */
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** What follows the name, and one line an option. */
  readonly usage: string
  readonly options: ParseArgsOptionsConfig
  /** Does it; resolves with the exit code (DESIGN §9). */
  run(args: Arguments, context: Context): Promise<number>
}

/** A client of the daemon of this state directory. */
export function daemonOf(context: Context): ControlClient {
  return new ControlClient(controlSocket(context.home))
}
