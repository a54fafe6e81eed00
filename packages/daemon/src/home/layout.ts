/** What lies where in MOYAI_HOME (docs/reference/home.md). */

import { join } from 'node:path'

/** The number in the file `format`; a home of another one is not touched. */
export const HOME_FORMAT = 1

/** Folders that init makes; all but the keys can be made again from the pool. */
export const HOME_FOLDERS = ['database', 'shards', 'outbox', 'log'] as const

export type HomePaths = {
  home: string
  /** `moyai home 1`: what the rest of the folder follows; written last but one by init. */
  format: string
  /** There while init is under way, or was interrupted. */
  unfinished: string
  /** Host identity: Ed25519 seed (32) and public key (32); 0600. */
  identity: string
  /** Vault bundle (CBOR) and its BLAKE3 (32); 0600. */
  vaultKeys: string
  /** The organisation's delegation to this host, signed by the guard key; public. */
  delegation: string
  config: string
  /** Hosts to ask for the pool should the database be lost (a hint; can be deleted). */
  peers: string
  database: string
  shards: string
  outbox: string
  /** What only saves work: made when it is needed. */
  cache: string
  log: string
}

/** The paths of the home in folder `home` (absolute). */
export function homePaths(home: string): HomePaths {
  return {
    home,
    format: join(home, 'format'),
    unfinished: join(home, 'init.unfinished'),
    identity: join(home, 'identity.key'),
    vaultKeys: join(home, 'vault.keys'),
    delegation: join(home, 'org.delegation'),
    config: join(home, 'config.toml'),
    peers: join(home, 'pool.peers'),
    database: join(home, 'database'),
    shards: join(home, 'shards'),
    outbox: join(home, 'outbox'),
    cache: join(home, 'cache'),
    log: join(home, 'log'),
  }
}
