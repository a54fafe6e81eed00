/**
 * Gathers what `moyai doctor` judges (protocol/doctor): asks the disk, the other hosts, and some of
 * them to reach this one.
 */

import { join } from 'node:path'

import {
  diagnose,
  type DialedBackBy,
  type DoctorFacts,
  type DoctorHost,
  type DoctorResult,
  equalBytes,
  isMoyaiError,
  localProblems,
  type StatusResult,
  toHex,
  toMoyaiError,
  utf8,
} from '@moyai/protocol'

import { type Disk, readFile, removeFile, replaceFile, SECRET_MODE } from '../file-system/index.ts'
import type { Home } from '../home/index.ts'
import type { Membership } from '../membership/index.ts'
import { withoutPeerId } from '../net/addresses.ts'
import type { Network, PeerState } from '../net/index.ts'

/** Hosts that are asked to reach this one, those of other sites first. */
const DIAL_BACKS_ASKED_MAX = 3
const KEY_BYTES_MAX = 4096
const PROBE = 'doctor.probe'
const ALARM_CODES: Readonly<Record<string, string>> = { disk: 'DISK', clone: 'HOME_CLONED' }

export type DoctorComponents = {
  home: Pick<Home, 'paths' | 'config'>
  disk: Disk
  network: Network
  membership: Membership
}

/** Takes up to 20 s, where hosts cannot reach this one. */
export class DoctorService {
  readonly #c: DoctorComponents
  #tryingDisk: Promise<DoctorFacts['disk']> | undefined

  constructor(components: DoctorComponents) {
    this.#c = components
  }

  async examine(): Promise<DoctorResult> {
    const { home, network, membership } = this.#c
    const clocks = await network.measure()
    const state = membership.state()
    const self = toHex(network.self)
    const hosts = network.peers().flatMap((peer) => this.#host(peer, clocks))
    const { config } = home
    const facts: DoctorFacts = {
      name: config.host.name,
      site: state?.hosts.get(self)?.site ?? config.host.site,
      listening: network.addresses().map(withoutPeerId),
      announced: config.network.announce,
      pool: state === undefined ? null : { name: state.name },
      standing: state === undefined || state.hosts.has(self) ? 'member' : 'revoked',
      hosts,
      dialedBack: await this.#dialedBack(),
      disk: await this.#disk(),
      permissions: await this.#permissions(),
      clones: await this.#clones(),
    }
    return { checks: diagnose(facts) }
  }

  /** What of it the status raises as alarms: this machine's disk and keys. */
  async alarms(nowMs: number): Promise<StatusResult['alarms']> {
    const since = new Date(nowMs).toISOString()
    const disk = await this.#disk()
    const clones = await this.#clones()
    const problems = localProblems({ disk, clones, permissions: [] })
    return problems.map(({ check, text }) => ({ code: ALARM_CODES[check] ?? 'HOST', since, text }))
  }

  #host(peer: PeerState, clocks: ReadonlyMap<string, number>): DoctorHost[] {
    const hosts = this.#c.membership.state()?.hosts
    const certified = hosts?.get(peer.host)
    if (certified === undefined) return []
    const link = peer.connected ? peer.link : undefined
    const relay = link?.relay
    return [
      {
        name: certified.name,
        site: certified.site,
        class: certified.class,
        via: link?.via ?? null,
        relay: relay === undefined ? null : (hosts?.get(relay)?.name ?? null),
        rttMs: link === undefined ? null : (peer.rttMs ?? null),
        clockMs: clocks.get(peer.host) ?? null,
        problem: peer.problem?.message ?? null,
      },
    ]
  }

  async #dialedBack(): Promise<DialedBackBy[]> {
    const { network, membership } = this.#c
    const hosts = membership.state()?.hosts
    const own = hosts?.get(toHex(network.self))?.site
    const candidates = network
      .peers()
      .filter(({ connected }) => connected)
      .flatMap(({ host }) => {
        const certified = hosts?.get(host)
        return certified === undefined ? [] : { host, name: certified.name, site: certified.site }
      })
      .sort((a, b) => Number(a.site === own) - Number(b.site === own))
      .slice(0, DIAL_BACKS_ASKED_MAX)
    const answers = candidates.map(async ({ host, name, site }): Promise<DialedBackBy[]> => {
      try {
        return [{ name, site, address: (await network.isReachedBy(host)) ?? null }]
      } catch {
        // It is busy, or has just gone: it says nothing about this host.
        return []
      }
    })
    return (await Promise.all(answers)).flat()
  }

  /** Those who ask at once share the answer: there is one file to try it with. */
  #disk(): Promise<DoctorFacts['disk']> {
    this.#tryingDisk ??= this.#tryDisk().finally(() => {
      this.#tryingDisk = undefined
    })
    return this.#tryingDisk
  }

  async #tryDisk(): Promise<DoctorFacts['disk']> {
    const { home, disk } = this.#c
    const { reserveBytes } = home.config.storage
    // shards may be on a disk of their own; what is left in their temporary folder is swept
    const folders = [home.paths.home, join(home.paths.shards, 'tmp')]
    let unwritable: string | null = null
    let freeBytes: number | undefined
    for (const folder of folders) {
      const path = join(folder, PROBE)
      try {
        await replaceFile(disk, { path, bytes: utf8('moyai doctor\n'), mode: SECRET_MODE })
        await removeFile(disk, path)
      } catch (error) {
        // before the first shard there is no such folder
        if (!isMoyaiError(error, 'NOT_FOUND')) unwritable ??= toMoyaiError(error).message
      }
    }
    try {
      freeBytes = await disk.freeBytes(home.paths.shards)
    } catch (error) {
      unwritable ??= toMoyaiError(error).message
    }
    return { freeBytes, reserveBytes, unwritable }
  }

  async #permissions(): Promise<string[]> {
    if (process.platform === 'win32') return []
    const { home, disk } = this.#c
    const said: string[] = []
    for (const path of [home.paths.identity, home.paths.vaultKeys]) {
      try {
        const { mode } = await readFile(disk, path, KEY_BYTES_MAX)
        if ((mode & 0o077) !== 0) {
          said.push(`other users of this machine can read ${path}: chmod 600 it`)
        }
      } catch (error) {
        said.push(`${path} cannot be read: ${toMoyaiError(error).message}`)
      }
    }
    return said
  }

  async #clones(): Promise<string[]> {
    const { network, membership } = this.#c
    const said: string[] = []
    const elsewhere = membership.seenElsewhere()
    if (elsewhere !== undefined) {
      said.push(`another machine uses the identity of this host, at ${elsewhere.join(', ')}`)
    }
    const vault = membership.state()?.hosts.get(toHex(network.self))?.vault
    const forks = await membership.logs.forks()
    if (vault !== undefined && forks.some((fork) => equalBytes(fork.vault, vault))) {
      said.push('the log of this vault went two ways: its state was copied or set back')
    }
    return said
  }
}
