/**
 * What the command takes from its surroundings: the state directory, the caller's folder, the
 * control socket.
 */

import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

import { controlAddress } from '@moyai/protocol/command'

export type Environment = Readonly<Record<string, string | undefined>>

/** MOYAI_HOME, or the platform's place for state. Absolute. */
export function homeDirectory(env: Environment, cwd: string): string {
  const given = env['MOYAI_HOME']
  if (given !== undefined && given !== '') return resolve(cwd, given)
  if (process.platform === 'win32') {
    return join(env['LOCALAPPDATA'] ?? join(homedir(), 'AppData', 'Local'), 'moyai')
  }
  if (process.platform === 'darwin') {
    return join(homedir(), 'Library', 'Application Support', 'moyai')
  }
  const state = env['XDG_STATE_HOME']
  return join(
    state === undefined || state === '' ? join(homedir(), '.local/state') : state,
    'moyai',
  )
}

/**
 * The folder that relative paths are relative to. `pnpm moyai …` runs its script in the package's
 * folder and leaves the caller's in INIT_CWD; the variable is inherited by children, so it counts
 * only for those two scripts themselves.
 */
export function callerDirectory(env: Environment, cwd: string): string {
  const script = env['npm_lifecycle_event']
  const root = env['npm_package_json']
  const fromScript =
    (script === 'moyai' || script === 'demo') &&
    root !== undefined &&
    resolve(root, '..') === resolve(cwd)
  const initial = env['INIT_CWD']
  return fromScript && initial !== undefined && initial !== '' ? initial : cwd
}

/** The control socket of a state directory, for this platform. */
export function controlSocket(home: string): string {
  return controlAddress({ home, platform: process.platform, temporary: tmpdir() })
}
