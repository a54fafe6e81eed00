/** Opening a home: its lock, its keys, its settings. */

import {
  fromUtf8,
  isMoyaiError,
  MoyaiError,
  openDelegation,
  equalBytes,
  type Signer,
  type VaultBundle,
} from '@moyai/protocol'

import { CONFIG_BYTES_MAX, parseConfig, type Config } from '../config/index.ts'
import { namesIn, nodeDisk, readFile, type Disk } from '../file-system/index.ts'
import { decodeIdentity, decodeVaultKeys, KEY_FILE_BYTES_MAX } from './key-files.ts'
import { HOME_FORMAT, homePaths, type HomePaths } from './layout.ts'
import { lockHome } from './lock.ts'

/** An open home; dispose of it to give the lock back. */
export type Home = AsyncDisposable & {
  paths: HomePaths
  /** 32-byte Ed25519 seed of the host identity: what libp2p makes its key of. */
  identitySeed: Uint8Array
  /** Signs receipts, statements and address records. */
  identity: Signer
  bundle: VaultBundle
  /** Envelope signed by the guard key: this host acts for its organisation. */
  delegation: Uint8Array
  config: Config
  /** What a person should look at: a key file that others can read. */
  warnings: string[]
}

function noHome(home: string, cause?: unknown): MoyaiError {
  return new MoyaiError('NO_VAULT', `${home} is not the home of a moyai host`, {
    hint: 'make one with: moyai init (MOYAI_HOME names the folder)',
    ...(cause === undefined ? {} : { cause }),
  })
}

async function checkFormat(disk: Disk, paths: HomePaths): Promise<void> {
  let names: string[]
  try {
    names = await namesIn(disk, paths.home)
  } catch (error) {
    throw isMoyaiError(error, 'NOT_FOUND') ? noHome(paths.home, error) : error
  }
  if (names.includes('init.unfinished')) {
    throw new MoyaiError('NO_VAULT', `moyai init did not finish in ${paths.home}`, {
      hint: 'run it again; no phrase of the interrupted run is of any use',
    })
  }
  if (!names.includes('identity.key') || !names.includes('vault.keys')) throw noHome(paths.home)
  // A home of which only the keys were saved has no format file; the keys are what counts.
  if (!names.includes('format')) return
  const { bytes } = await readFile(disk, paths.format, KEY_FILE_BYTES_MAX)
  const format = /^moyai home (\d{1,6})\n$/.exec(fromUtf8(bytes))?.[1]
  if (format === String(HOME_FORMAT)) return
  throw new MoyaiError('UNKNOWN_VERSION', `${paths.home} has the format of another moyai`, {
    hint: `this program understands format ${HOME_FORMAT}`,
  })
}

async function readConfig(disk: Disk, path: string): Promise<Config> {
  try {
    return parseConfig((await readFile(disk, path, CONFIG_BYTES_MAX)).bytes)
  } catch (error) {
    if (isMoyaiError(error, 'NOT_FOUND')) return parseConfig(new Uint8Array(0))
    throw error
  }
}

async function readHome(disk: Disk, paths: HomePaths): Promise<Omit<Home, keyof AsyncDisposable>> {
  await checkFormat(disk, paths)
  const config = await readConfig(disk, paths.config)
  const identityFile = await readFile(disk, paths.identity, KEY_FILE_BYTES_MAX)
  const vaultFile = await readFile(disk, paths.vaultKeys, KEY_FILE_BYTES_MAX)
  const { bytes: delegation } = await readFile(disk, paths.delegation, KEY_FILE_BYTES_MAX)
  const { seed, signer } = decodeIdentity(identityFile.bytes)
  const bundle = decodeVaultKeys(vaultFile.bytes)
  const { org, delegate } = openDelegation(delegation)
  if (!equalBytes(org, bundle.org) || !equalBytes(delegate, signer.publicKey)) {
    throw new MoyaiError(
      'IDENTITY_MISMATCH',
      'the key files of this home belong to different hosts',
      {
        hint: 'identity.key, vault.keys and org.delegation must come from the same init',
      },
    )
  }
  const warnings: string[] = []
  const modes: [string, number][] = [
    [paths.identity, identityFile.mode],
    [paths.vaultKeys, vaultFile.mode],
  ]
  for (const [path, mode] of modes) {
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      warnings.push(`other users of this machine can read ${path}: chmod 600 it`)
    }
  }
  return { paths, identitySeed: seed, identity: signer, bundle, delegation, config, warnings }
}

/**
 * Opens the home in folder `home` (absolute) and locks it. NO_VAULT (none, or init unfinished),
 * HOME_LOCKED, UNKNOWN_VERSION, CONFIG_INVALID, IDENTITY_MISMATCH, DISK.
 */
export async function openHome(
  home: string,
  o: { disk?: Disk; lock?: typeof lockHome } = {},
): Promise<Home> {
  const disk = o.disk ?? nodeDisk
  const paths = homePaths(home)
  // Before the lock, so that a wrong MOYAI_HOME is not littered with a lock file.
  await checkFormat(disk, paths)
  const lock = await (o.lock ?? lockHome)(home)
  try {
    // An init that was killed at its very end may have removed its mark only in memory: were it to
    // come back after a power cut, a home in use would pass for one that never was.
    await disk.syncDirectory(home)
    const read = await readHome(disk, paths)
    return { ...read, [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose]() }
  } catch (error) {
    await lock[Symbol.asyncDispose]()
    throw error
  }
}
