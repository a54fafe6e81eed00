/**
 * Membership: which pool this host is in, who else is, where they are, and the logs that all of
 * them keep.
 *
 * The network asks it who may connect, the services ask it for hosts and vault logs. It is opened
 * before the network, which needs it for its gate; `start` gives it the network.
 */

import {
  assert,
  decodeInvite,
  equalBytes,
  GENESIS_NONCE_BYTES,
  isLabel,
  MoyaiError,
  poolId,
  signGenesis,
  toHex,
  toMoyaiError,
  vaultSigner,
  type Clock,
  type PoolState,
  type Random,
  type Signer,
  type VaultBundle,
} from '@moyai/protocol'

import type { Database } from '../database/index.ts'
import { nodeDisk, type Disk } from '../file-system/index.ts'
import type { Logger } from '../logger.ts'
import { redeemInvite } from '../net/join/client.ts'
import type { Member } from '../net/peers.ts'
import { SyncClient, type SyncTransport } from '../net/sync/client.ts'
import { SYNC_PROTOCOL } from '../net/sync/constants.ts'
import type { SyncState } from '../net/sync/state.ts'
import type { Membership as NetworkMembership, Network } from '../net/types.ts'
import { PoolActs } from './acts.ts'
import { admitHost } from './admit-host.ts'
import { AddressBook, invitable } from './address-book.ts'
import { AntiEntropy, SYNC_POLL_MS } from './anti-entropy.ts'
import * as events from './events.ts'
import { Invites } from './invites.ts'
import { fetchPool } from './fetch-pool.ts'
import { KnownPeers, peerOfAddress } from './known-peers.ts'
import {
  checkAdmitted,
  checkOwnPlace,
  isNewVault,
  signOwnPlace,
  type Profile,
} from './own-place.ts'
import { OwnLog } from './own-log.ts'
import { PoolStore } from './pool-store.ts'
import { registerProtocols } from './protocols.ts'
import { VaultLogs } from './vault-logs.ts'

export type MembershipOptions = {
  /** Host identity. */
  identity: Signer
  bundle: VaultBundle
  /** The organisation's delegation to this host, an envelope. */
  delegation: Uint8Array
  /** What this host says of itself when it enters a pool. */
  profile: Profile
  /** Multiaddrs with `/p2p/…` of hosts to ask when this host forgot its pool. */
  peers?: readonly string[]
  /** A file beside the keys that remembers such hosts; absent: none is kept. */
  peersFile?: string
}

export type MembershipComponents = {
  database: Database
  clock: Clock
  random: Random
  logger: Logger
  disk?: Disk
}

/** The parts of the network that membership uses. */
export type MembershipTransport = Pick<
  Network,
  'addresses' | 'peers' | 'registerProtocol' | 'request' | 'requestAt' | 'membershipChanged' | 'on'
>

/** What `start` brings to life. */
type Running = {
  network: MembershipTransport
  sync: AntiEntropy
  ownLog: OwnLog
  stop: AbortController
  loop: Promise<void>
}

export class Membership implements NetworkMembership, AsyncDisposable {
  readonly #o: MembershipOptions
  readonly #components: MembershipComponents
  readonly #store: PoolStore
  readonly #addresses: AddressBook
  readonly #invites: Invites
  readonly #vault: Signer
  readonly #knownPeers: KnownPeers | undefined
  readonly #listeners = new Set<() => void>()
  /** Logs of every vault of the pool, this host's own included. */
  readonly logs: VaultLogs
  /** What this host says in the pool log. */
  readonly acts: PoolActs
  /** Tells what of the own vault is at hosts that are being emptied; set by who has its index. */
  onLeaving: SyncState['leaving'] = async () => []
  #running: Running | undefined

  private constructor(
    o: MembershipOptions,
    components: MembershipComponents,
    parts: { store: PoolStore; addresses: AddressBook; invites: Invites },
  ) {
    this.#o = o
    this.#components = components
    this.#store = parts.store
    this.#addresses = parts.addresses
    this.#invites = parts.invites
    this.#vault = vaultSigner(o.bundle)
    this.logs = new VaultLogs({ signer: o.identity }, components)
    const { store } = parts
    const { clock } = components
    this.acts = new PoolActs(o, { store, clock, requireState: () => this.requireState() })
    const { disk = nodeDisk, logger } = components
    this.#knownPeers =
      o.peersFile === undefined
        ? undefined
        : new KnownPeers({ path: o.peersFile }, { disk, logger })
    store.onChange = () => this.#changed()
    parts.addresses.onChange = () => this.#announce()
  }

  /** Reads what this host knows. DISK. */
  static async open(o: MembershipOptions, components: MembershipComponents): Promise<Membership> {
    const store = await PoolStore.open(components.database)
    const isMember = (host: string): boolean => store.state?.hosts.has(host) ?? false
    const addresses = await AddressBook.open({ self: o.identity, isMember }, components)
    const invites = await Invites.open(components)
    return new Membership(o, components, { store, addresses, invites })
  }

  // ---- what the network asks

  pool(): Uint8Array | undefined {
    return this.#store.state?.id
  }

  isMember(host: string): boolean {
    return this.#store.state?.hosts.has(host) ?? false
  }

  isRevoked(host: string): boolean {
    return this.#store.state?.revoked.has(host) ?? false
  }

  *members(): IterableIterator<Member> {
    const self = toHex(this.#o.identity.publicKey)
    for (const host of this.#store.state?.hosts.keys() ?? []) {
      if (host !== self) yield { host, addresses: this.#addresses.of(host) }
    }
  }

  strangersWelcome(): boolean {
    return this.#store.state !== undefined && this.#invites.welcome
  }

  isVault(vault: string): boolean {
    return this.#store.isVault(vault)
  }

  // ---- what services ask

  /** The pool, its organisations and hosts; undefined while this host is in none. */
  state(): PoolState | undefined {
    return this.#store.state
  }

  /** The pool. NO_POOL while this host is in none. */
  requireState(): PoolState {
    const state = this.#store.state
    if (state !== undefined) return state
    throw new MoyaiError('NO_POOL', 'this host is in no pool yet', {
      hint: 'make one with `moyai pool create NAME`, or join one with `moyai pool join TOKEN`',
    })
  }

  /** The log of this host's own vault. `start` first. */
  get ownLog(): OwnLog {
    return this.#started().ownLog
  }

  /** How far peers' clocks are from this one, ms, by host in hex. */
  clockSkews(): ReadonlyMap<string, number> {
    return this.#running?.sync.clockSkews() ?? new Map()
  }

  /** Addresses where a copy of this host seems to run; undefined when none was seen. */
  readonly seenElsewhere = (): readonly string[] | undefined => this.#addresses.elsewhere

  /** Calls `listener` after the pool's members changed; the returned function ends that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Registers the protocols; call it before the network starts, and `begin` after. */
  attach(network: MembershipTransport): void {
    assert(this.#running === undefined, 'membership is attached once')
    const { clock, database, logger } = this.#components
    const state: SyncState = {
      pool: () => this.pool(),
      statements: this.#store,
      addresses: this.#addresses,
      logs: this.logs,
      isVault: (vault) => this.isVault(vault),
      leaving: (hosts) => this.onLeaving(hosts),
    }
    const ownAddress = (): Uint8Array | undefined => this.#addresses.mine
    const sync = new AntiEntropy({ state, network, ownAddress, clock, logger })
    const ownLog = new OwnLog(this.#vault, {
      pool: () => this.pool(),
      hosts: () => [...this.members()].map(({ host }) => host),
      logs: this.logs,
      sync,
      network,
      database,
      clock,
      logger,
    })
    const loop = Promise.resolve()
    this.#running = { network, sync, ownLog, stop: new AbortController(), loop }
    registerProtocols(network, {
      self: this.#o.identity.publicKey,
      clock,
      logger,
      state,
      sync,
      pool: () => this.#store.state,
      findInvite: (id) => this.#invites.find(id),
      admit: (admission) =>
        admitHost(admission, {
          ...this.#o,
          clock,
          logger,
          state: () => this.requireState(),
          store: this.#store,
          invites: this.#invites,
          addresses: this.#addresses,
        }),
      claim: (invite, host) => this.#invites.claim(invite, host),
    })
  }

  /** Publishes this host's addresses and begins to sync; the network runs. DISK. */
  async begin(): Promise<void> {
    const running = this.#started()
    await this.#findPool()
    await this.#publish()
    running.sync.start()
    running.network.on('peer:up', (host) => void this.#greet(host))
    running.loop = this.#tend(running)
  }

  async stop(): Promise<void> {
    const running = this.#running
    if (running === undefined) return
    running.stop.abort(new MoyaiError('ABORTED', 'the daemon is stopping'))
    await running.loop
    await running.sync.stop()
    await running.ownLog.stop()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #started(): Running {
    assert(this.#running !== undefined, 'membership was given its network')
    return this.#running
  }

  /**
   * What is done now and then: publish changed addresses, bring the own log's head to those that
   * lack it.
   */
  async #tend(running: Running): Promise<void> {
    const { signal } = running.stop
    while (!signal.aborted) {
      try {
        await this.#components.clock.sleep(SYNC_POLL_MS, signal)
      } catch {
        // Interrupted: the daemon stops.
        return
      }
      try {
        await this.#findPool()
        await this.#publish()
        await running.ownLog.replicateTo()
      } catch (error) {
        events.tendingFailed(this.#components.logger, error)
      }
    }
  }

  /** A host that was away is brought the head of the own log, and its receipt fetched. */
  async #greet(host: string): Promise<void> {
    try {
      await this.#started().ownLog.replicateTo([host])
    } catch (error) {
      events.tendingFailed(this.#components.logger, error)
    }
  }

  async #publish(): Promise<void> {
    if (this.#store.state === undefined) return
    await this.#addresses.publish(this.#started().network.addresses())
    await this.#knownPeers?.write(this.members())
  }

  /**
   * Without a pool: asks the hosts that were known before the database was lost, until one knows
   * this host.
   */
  async #findPool(): Promise<void> {
    if (this.#store.state !== undefined) return
    const listed = (this.#o.peers ?? []).flatMap((address) => peerOfAddress(address) ?? [])
    const known = [...listed, ...((await this.#knownPeers?.read()) ?? [])]
    await Promise.all(
      known.map(async (peer) => {
        try {
          await this.rejoin(peer)
        } catch (error) {
          // Another one was faster: found is found.
          if (this.#store.state !== undefined) return
          events.poolNotFound(this.#components.logger, peer.host, toMoyaiError(error))
        }
      }),
    )
  }

  #changed(): void {
    events.membershipChanged(this.#components.logger, this.#store.state?.hosts.size ?? 0)
    this.#running?.network.membershipChanged()
    for (const listener of this.#listeners) listener()
    this.#announce()
  }

  #announce(): void {
    this.#running?.network.membershipChanged()
    this.#running?.sync.announce()
  }

  // ---- verbs

  /** Founds a pool. USAGE (the name), ALREADY_IN_POOL, DISK. */
  async createPool(name: string): Promise<PoolState> {
    if (!isLabel(name)) {
      throw new MoyaiError('USAGE', 'this is no name for a pool', {
        hint: 'use 1 to 63 letters, digits, spaces, dots or hyphens',
      })
    }
    const { identity, delegation } = this.#o
    const at = this.#components.clock.now()
    const nonce = this.#components.random.bytes(GENESIS_NONCE_BYTES)
    const genesis = signGenesis({ name, nonce, delegation, at }, identity)
    const pool = poolId(genesis)
    const own = this.#hostStatement(pool)
    await this.#enter({
      pool,
      own,
      statements: [genesis, own],
      addresses: [],
      check: (state) => checkOwnPlace(state, this.#own()),
    })
    return this.requireState()
  }

  /** Makes an invite to this pool. NO_POOL, HOST_REVOKED, USAGE, BUSY, DISK. */
  async invite(o: {
    uses: number
    expiresSeconds: number
    sameOrg?: boolean
  }): Promise<{ token: string; expires: number }> {
    const { id } = this.acts.requireMember()
    const addresses = invitable(this.#started().network.addresses())
    if (addresses.length === 0) {
      throw new MoyaiError('USAGE', 'this host listens on no address that an invite could name', {
        hint: 'set network.listen in config.toml, or invite from another host',
      })
    }
    const host = this.#o.identity.publicKey
    return this.#invites.make({ sameOrg: false, ...o, host, pool: id, addresses })
  }

  /** Keeps the sealed keys of a further host with an invite (id). INVITE_UNKNOWN, USAGE, DISK. */
  attachKeys(invite: Uint8Array, keys: { host: Uint8Array; sealed: Uint8Array }): Promise<void> {
    return this.#invites.attach(invite, keys)
  }

  /** Joins the pool of a token. ALREADY_IN_POOL, BAD_TOKEN, and what `redeemInvite` says. */
  async join(token: string, signal?: AbortSignal): Promise<PoolState> {
    const invite = decodeInvite(token)
    if (this.#store.state !== undefined) {
      const same = equalBytes(this.#store.state.id, invite.pool)
      const text = same
        ? 'this host is already in this pool'
        : 'this host is in another pool already'
      throw new MoyaiError('ALREADY_IN_POOL', text, {
        hint: same
          ? 'nothing is left to do here: moyai pool hosts shows the others'
          : 'a host is in one pool; use another MOYAI_HOME for another pool',
      })
    }
    const { network } = this.#started()
    const { identity } = this.#o
    const { envelope: address } = this.#addresses.own(network.addresses())
    const statement = this.#hostStatement(invite.pool)
    const admitted = await redeemInvite(
      {
        invite,
        host: identity.publicKey,
        statement,
        address,
        ...(signal === undefined ? {} : { signal }),
      },
      { network, clock: this.#components.clock },
    )
    await this.#enter({
      pool: invite.pool,
      own: statement,
      statements: admitted.statements,
      addresses: [address, ...admitted.addresses],
      check: (state) => checkAdmitted(state, { ...this.#own(), inviter: invite.host }),
    })
    return this.requireState()
  }

  /**
   * Finds the pool again with nothing but the keys: asks the host (hex) at these addresses, which
   * knows this one as a member. NOT_A_MEMBER when this host is in no pool of its, HOST_UNREACHABLE,
   * ALREADY_IN_POOL.
   */
  async rejoin(o: { host: string; addresses: readonly string[] }): Promise<PoolState> {
    const { network, stop } = this.#started()
    const transport: SyncTransport = (bytes, signal) =>
      network.requestAt({
        ...o,
        protocol: SYNC_PROTOCOL,
        bytes,
        ...(signal === undefined ? {} : { signal }),
      })
    const found = await fetchPool(new SyncClient(transport, stop.signal))
    await this.#enter({
      ...found,
      // Only this host's own signature can have put it there: the asked host cannot make up a pool
      // around it.
      check: (state) => checkOwnPlace(state, this.#own()),
    })
    return this.requireState()
  }

  #own(): { host: Uint8Array; vault: Uint8Array; org: Uint8Array } {
    const { identity, bundle } = this.#o
    return { host: identity.publicKey, vault: this.#vault.publicKey, org: bundle.org }
  }

  #hostStatement(pool: Uint8Array): Uint8Array {
    const at = this.#components.clock.now()
    return signOwnPlace({ ...this.#o, vault: this.#vault }, { pool, at })
  }

  /**
   * Takes a pool over in one batch, when `check` finds this host in it. `own`: the statement that
   * was made for it.
   */
  async #enter(o: {
    pool: Uint8Array
    own?: Uint8Array
    statements: readonly Uint8Array[]
    addresses: readonly Uint8Array[]
    check: (state: PoolState) => void
  }): Promise<void> {
    const { ownLog } = this.#started()
    await this.#store.enter({
      pool: o.pool,
      envelopes: o.statements,
      check: (state) => {
        o.check(state)
        const isNew = o.own !== undefined && isNewVault(state, this.#own(), o.own)
        return isNew ? [ownLog.declaringNew()] : []
      },
    })
    await this.#addresses.add(o.addresses)
    await this.#publish()
  }
}
