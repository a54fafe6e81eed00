/**
 * `moyai init`: makes a home.
 *
 * The recovery phrase is the one thing that cannot be made again, so the order is: everything else
 * first, the phrase safe in its file (if one was asked for), and only then does the home count as
 * made. An init that was interrupted anywhere leaves `init.unfinished`, and the next one begins
 * anew; a home without that mark is never touched.
 */

import { basename, dirname } from 'node:path'

import {
  blake3,
  deriveVaultBundle,
  ed25519Signer,
  equalBytes,
  generatePhrase,
  guardSigner,
  HASH_BYTES,
  MoyaiError,
  phraseToSecret,
  signDelegation,
  utf8,
  vaultSigner,
  VAULT_SALT_BYTES,
  type Clock,
  type HostClass,
  type HostPackage,
  type Random,
} from '@moyai/protocol'

import { configText } from '../config/index.ts'
import {
  makeFolders,
  namesIn,
  nodeDisk,
  readFile,
  removeFile,
  replaceFile,
  SECRET_MODE,
  type Disk,
} from '../file-system/index.ts'
import { encodeIdentity, encodeVaultKeys } from './key-files.ts'
import { HOME_FOLDERS, HOME_FORMAT, homePaths, type HomePaths } from './layout.ts'
import { lockHome } from './lock.ts'

const PUBLIC_MODE = 0o644
/** 24 words are below 240 bytes. */
const PHRASE_FILE_BYTES_MAX = 4096

/** Settings that init writes to config.toml; absent ones keep their documented defaults. */
export type InitSettings = {
  name?: string
  site?: string
  provider?: string
  class?: HostClass
  /** Size as typed, `500GB`. */
  offer?: string
  /** Multiaddrs. */
  listen?: string[]
}

export type InitOptions = {
  /** Absolute path of MOYAI_HOME. */
  home: string
  settings: InitSettings
  /** The phrase of an organisation that exists; absent: a new one. */
  phrase?: string
  /** Keys that were made elsewhere, with the phrase: then there is none here. */
  keys?: HostPackage
  /** Where to write the phrase (0600, never over a file that is there). */
  phraseFile?: string
  random: Random
  clock: Clock
  disk?: Disk
  /** Takes the home's lock; tests in memory pass their own. */
  lock?: typeof lockHome
}

export type InitResult = {
  /** 24 words; show once, keep nowhere. Undefined when the keys came from elsewhere. */
  phrase: string | undefined
  /** Ids, 32 bytes each. */
  host: Uint8Array
  org: Uint8Array
  vault: Uint8Array
}

async function isThere(disk: Disk, path: string): Promise<boolean> {
  return (await namesIn(disk, dirname(path))).includes(basename(path))
}

/** Refuses a home that is made, or that holds precious files of a broken one. */
async function refuseUsedHome(disk: Disk, paths: HomePaths): Promise<void> {
  if (await isThere(disk, paths.unfinished)) return
  for (const path of [paths.format, paths.identity, paths.vaultKeys, paths.config]) {
    if (!(await isThere(disk, path))) continue
    throw new MoyaiError('ALREADY_INITIALISED', `${paths.home} is already the home of a host`, {
      hint: 'choose another folder with MOYAI_HOME; init never writes over keys or settings',
    })
  }
}

function configValues(settings: InitSettings): Record<string, string | string[]> {
  const given: [string, string | string[] | undefined][] = [
    ['host.name', settings.name],
    ['host.site', settings.site],
    ['host.provider', settings.provider],
    ['host.class', settings.class],
    ['storage.offer', settings.offer],
    ['network.listen', settings.listen],
  ]
  const values: Record<string, string | string[]> = {}
  for (const [key, value] of given) if (value !== undefined) values[key] = value
  return values
}

type Secrets = InitResult & { identity: Uint8Array; vaultKeys: Uint8Array; delegation: Uint8Array }

/**
 * Every key of the new home; the organisation's secret and guard key are forgotten when this
 * returns.
 */
function makeKeys(o: InitOptions): Secrets {
  if (o.keys !== undefined) return secretsOf(o.keys, undefined)
  const phrase = o.phrase ?? generatePhrase(o.random)
  const secret = phraseToSecret(phrase)
  const guard = guardSigner(secret)
  const bundle = deriveVaultBundle(secret, o.random.bytes(VAULT_SALT_BYTES))
  secret.fill(0)
  const identitySeed = o.random.bytes(32)
  const host = ed25519Signer(identitySeed).publicKey
  const delegation = signDelegation(
    { org: guard.publicKey, delegate: host, may: ['certify-host', 'invite'], at: o.clock.now() },
    guard,
  )
  return secretsOf({ identitySeed, bundle, delegation }, phrase)
}

function secretsOf(keys: HostPackage, phrase: string | undefined): Secrets {
  const { identitySeed, bundle, delegation } = keys
  return {
    phrase,
    host: ed25519Signer(identitySeed).publicKey,
    org: bundle.org,
    vault: vaultSigner(bundle).publicKey,
    identity: encodeIdentity(identitySeed),
    vaultKeys: encodeVaultKeys(bundle),
    delegation,
  }
}

/** The phrase file. */
function phraseText(phrase: string): Uint8Array {
  return utf8(`${phrase}\n`)
}

/**
 * What stands in `init.unfinished`: which phrase the run under way has made, without saying the
 * phrase.
 */
function phraseMark(text: Uint8Array): Uint8Array {
  return blake3(text)
}

/**
 * Makes sure that nobody's phrase is written over: a file that is there is refused, unless it is
 * what an interrupted init of this home wrote, whose phrase opens nothing.
 */
async function clearPhraseFile(disk: Disk, paths: HomePaths, path: string): Promise<void> {
  if (!(await isThere(disk, path))) return
  if (await isThere(disk, paths.unfinished)) {
    const { bytes: mark } = await readFile(disk, paths.unfinished, HASH_BYTES)
    const { bytes: written } = await readFile(disk, path, PHRASE_FILE_BYTES_MAX)
    if (equalBytes(mark, phraseMark(written))) return removeFile(disk, path)
  }
  throw new MoyaiError('TARGET_EXISTS', `the phrase file ${path} is already there`, {
    hint: 'it may hold the only copy of a phrase: choose another name',
  })
}

async function writeHome(o: {
  disk: Disk
  paths: HomePaths
  keys: Secrets
  config: string
}): Promise<void> {
  const { disk, paths, keys } = o
  for (const name of HOME_FOLDERS) await makeFolders(disk, paths[name])
  const contents: [string, Uint8Array, number][] = [
    [paths.config, utf8(o.config), PUBLIC_MODE],
    [paths.delegation, keys.delegation, PUBLIC_MODE],
    [paths.identity, keys.identity, SECRET_MODE],
    [paths.vaultKeys, keys.vaultKeys, SECRET_MODE],
    [paths.format, utf8(`moyai home ${HOME_FORMAT}\n`), PUBLIC_MODE],
  ]
  for (const [path, bytes, mode] of contents) await replaceFile(disk, { path, bytes, mode })
}

/**
 * Makes the home. ALREADY_INITIALISED, CONFIG_INVALID, BAD_PHRASE, TARGET_EXISTS (the phrase file),
 * HOME_LOCKED, DISK, NO_SPACE. After an error the home does not count as made, and the next call
 * begins anew.
 */
export async function initHome(o: InitOptions): Promise<InitResult> {
  const disk = o.disk ?? nodeDisk
  const paths = homePaths(o.home)
  const config = configText(configValues(o.settings))
  const keys = makeKeys(o)
  const phrase = phraseText(keys.phrase ?? '')
  const mark = { path: paths.unfinished, bytes: phraseMark(phrase), mode: SECRET_MODE }
  await makeFolders(disk, o.home)
  await using _lock = await (o.lock ?? lockHome)(o.home)
  await refuseUsedHome(disk, paths)
  if (o.phraseFile !== undefined) await clearPhraseFile(disk, paths, o.phraseFile)
  await replaceFile(disk, mark)
  await writeHome({ disk, paths, keys, config })
  if (o.phraseFile !== undefined && keys.phrase !== undefined) {
    await replaceFile(disk, { path: o.phraseFile, bytes: phrase, mode: SECRET_MODE })
  }
  try {
    await removeFile(disk, paths.unfinished)
    await disk.syncDirectory(paths.home)
  } catch (error) {
    // Nobody has seen the phrase, so this home must not count as made.
    await replaceFile(disk, mark)
    throw error
  }
  return { phrase: keys.phrase, host: keys.host, org: keys.org, vault: keys.vault }
}
