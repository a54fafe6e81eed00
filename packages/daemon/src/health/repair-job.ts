/**
 * The repair of one stripe: where its missing shards go, who gives what they are made of, and the
 * bytes from one to the other. Removes nothing anywhere.
 */

import { defined, isMoyaiError, MoyaiError, signReceipt, toHex } from '@moyai/protocol'
import type {
  Codec,
  Clock,
  HostFacts,
  RepairNeed,
  repairTargets,
  Signer,
  StripeDescriptor,
} from '@moyai/protocol'

import type { Logger } from '../logger.ts'
import type { ShardStore, VaultQuota } from '../shard-store/index.ts'
import type { HealthNetwork, HealthPool, StripeView, Whereabouts } from './ports.ts'
import { ownRanges, remoteRanges } from './repair-reading.ts'
import type { ShardRanges } from './repair-reading.ts'
import { isSourceAtFault, rebuildShards } from './repair-rebuild.ts'
import type { RepairSource } from './repair-rebuild.ts'
import { PutSink } from './repair-sink.ts'
import type { BeginPut } from './repair-sink.ts'

export type RepairJobComponents = {
  pool: HealthPool
  network: HealthNetwork
  whereabouts: Whereabouts
  store: Pick<ShardStore, 'put' | 'open' | 'stat'>
  codec: Codec
  clock: Clock
  logger: Logger
  /** The host key: signs the receipts of shards that this host takes itself. */
  signer: Signer
  /** What a vault (hex) may take of this host's own store. */
  quotaOf?: (vault: string) => VaultQuota | undefined
  breathe: () => Promise<unknown>
}

export type RepairJob = {
  envelope: Uint8Array
  stripe: StripeDescriptor
  view: StripeView
  need: RepairNeed
  /** Host (hex) of the owner; undefined when nobody knows. */
  owner: string | undefined
  /** Hosts whose bytes may be read, hex. */
  readable: (host: string) => boolean
  trusted: (host: string) => boolean
  targets: typeof repairTargets
  /** Called when there are sources and targets, before anybody is asked for anything. */
  onBegin: () => void
  pace: (bytes: number) => Promise<void>
  /** As in `RebuildOptions`. */
  rangeBytes: number
  onFetched: (bytes: number) => void
  onPlaced: (bytes: number) => void
  signal: AbortSignal
}

export type PlacedShard = { index: number; host: string; receipt: Uint8Array }

/** Shards that were placed, and how many of the wanted ones were not. */
export type RepairResult = { placed: PlacedShard[]; missing: number }

type Accepted = { index: number; host: string; sink: PutSink }

/**
 * Places what can be placed now. NOT_ENOUGH_SHARDS when too few sources can be read; NO_SPACE when
 * no host takes any; HASH_MISMATCH when the stripe was signed wrong; ABORTED.
 */
export async function repairStripe(c: RepairJobComponents, job: RepairJob): Promise<RepairResult> {
  const sources = sourcesOf(c, job)
  checkSources(job, sources)
  if (targetsOf(c, job, { avoid: hostsWithShards(job), stays: job.need.stays }).size === 0) {
    throw new MoyaiError('NO_SPACE', 'no host can take a shard of this stripe now')
  }
  job.onBegin()
  const accepted = await openTargets(c, job)
  if (accepted.length === 0) {
    throw new MoyaiError('NO_SPACE', 'no host takes a shard of this stripe now')
  }
  try {
    await rebuildShards({
      stripe: job.stripe,
      sources,
      sinks: new Map(accepted.map(({ index, sink }) => [index, sink])),
      open: (source, offset) => openSource(c, job, { source, offset }),
      onFailed: (source, error) => sourceFailed(c, job, { source, error }),
      pace: job.pace,
      rangeBytes: job.rangeBytes,
      mayEnd: async (index) => {
        const target = accepted.find((one) => one.index === index)
        // a host that cannot be asked is not given more
        return target !== undefined && !(await hasOther(c, job, target).catch(() => true))
      },
      isRemote: (host) => host !== c.pool.self,
      onFetched: job.onFetched,
      codec: c.codec,
      breathe: c.breathe,
      signal: job.signal,
    })
  } catch (error) {
    for (const { sink } of accepted) sink.fail(error)
    await Promise.allSettled(accepted.map(({ sink }) => sink.answer))
    throw error
  }
  const placed: PlacedShard[] = []
  for (const { index, host, sink } of accepted) {
    const shard = await settled(c, job, { index, host, sink })
    if (shard !== undefined) placed.push(shard)
  }
  return { placed, missing: job.need.wanted.length - placed.length }
}

async function settled(
  c: RepairJobComponents,
  job: RepairJob,
  { index, host, sink }: Accepted,
): Promise<PlacedShard | undefined> {
  const { vault, pack, shardLength } = job.stripe
  try {
    const { receipt, had } = await sink.answer
    if (!had) job.onPlaced(shardLength)
    await c.whereabouts.confirm({ vault, pack, index, host })
    return { index, host, receipt }
  } catch (error) {
    job.signal.throwIfAborted()
    c.logger.debug({ host, pack: toHex(pack), error: textOf(error) }, 'repaired shard refused')
    return undefined
  }
}

// ---- targets ------------------------------------------------------------------------------------

/** Begins a put of each wanted shard; hosts that refuse are replaced until none is left. */
async function openTargets(c: RepairJobComponents, job: RepairJob): Promise<Accepted[]> {
  const { need } = job
  const avoid = hostsWithShards(job)
  const stays = new Map(need.stays)
  const accepted: Accepted[] = []
  // each round but the last gives up a host
  for (let round = 0; round <= c.pool.hosts().length; round++) {
    job.signal.throwIfAborted()
    const targets = targetsOf(c, job, { avoid, stays })
    if (targets.size === 0) break
    const tried = [...targets].map(async ([index, host]) => {
      const sink = await openTarget(c, job, { index, host })
      if (sink === undefined) return void avoid.add(host)
      accepted.push({ index, host, sink })
      return void stays.set(index, host)
    })
    await Promise.all(tried)
  }
  return accepted
}

/** Host by index, of wanted shards that are not among `stays` by now. */
function targetsOf(
  c: RepairJobComponents,
  job: RepairJob,
  o: { avoid: ReadonlySet<string>; stays: ReadonlyMap<number, string> },
): Map<number, string> {
  const { need, stripe } = job
  return job.targets({
    ...o,
    hosts: targetHosts(c, job),
    owner: job.owner ?? '',
    code: { k: stripe.k, m: stripe.m },
    stripe: stripe.pack,
    wanted: need.wanted.filter((index) => !o.stays.has(index)),
    endangered: need.endangered,
    policy: c.pool.policy(),
    shardLength: stripe.shardLength,
  })
}

/** No host gets a second shard of a stripe, not even one whose first does not count at present. */
function hostsWithShards({ view, need }: RepairJob): Set<string> {
  const staying = new Set(need.stays.values())
  const held = view.places.filter(({ refuted, host }) => !refuted && !staying.has(host))
  return new Set(held.map(({ host }) => host))
}

/** As placement wants them: hosts that are away, being emptied or not trusted get nothing. */
function targetHosts({ pool, network }: RepairJobComponents, job: RepairJob): HostFacts[] {
  const retiring = pool.retiring()
  const revoked = pool.revoked()
  return pool.hosts().flatMap((host) => {
    if (revoked.has(host.id)) return []
    const here = host.id === pool.self || network.isConnected(host.id)
    return { ...host, online: here && !retiring.has(host.id) && job.trusted(host.id) }
  })
}

/**
 * Whether a host has another shard of the stripe, which was not known of it: an old one, because it
 * came back, or one that somebody else places at this moment.
 */
async function hasOther(
  c: RepairJobComponents,
  { stripe, signal }: RepairJob,
  { index, host }: { index: number; host: string },
): Promise<boolean> {
  const { vault, pack } = stripe
  const held =
    host === c.pool.self
      ? await c.store.stat({ vault, pack })
      : await c.network.shards(host).stat({ vault, pack, signal })
  return held.some((one) => one.index !== index)
}

/** The put of one shard, once its holder wants it; undefined when it does not. */
async function openTarget(
  c: RepairJobComponents,
  job: RepairJob,
  { index, host }: { index: number; host: string },
): Promise<PutSink | undefined> {
  try {
    if (await hasOther(c, job, { index, host })) return undefined
    const sink = new PutSink(beginPut(c, job, { index, host }))
    await sink.accepted
    // Who could not prove it says that it has it: that is what it said before.
    if (sink.isSettled && isRefuted(job, { index, host })) {
      const { had } = await sink.answer
      if (had && host !== c.pool.self) return undefined
    }
    return sink
  } catch (error) {
    job.signal.throwIfAborted()
    const pack = toHex(job.stripe.pack)
    c.logger.debug({ host, pack, error: textOf(error) }, 'no place for a shard')
    return undefined
  }
}

function isRefuted({ view }: RepairJob, shard: { index: number; host: string }): boolean {
  return view.places.some(
    ({ index, host, refuted }) => refuted && index === shard.index && host === shard.host,
  )
}

function beginPut(
  c: RepairJobComponents,
  job: RepairJob,
  { index, host }: { index: number; host: string },
): BeginPut {
  const { envelope, signal } = job
  if (host === c.pool.self) return (payload) => putOwn(c, job, { index, payload })
  return (payload) => c.network.shards(host).put({ envelope, index, payload, signal })
}

/** Puts a shard into this host's own store; a damaged file of it is replaced. */
async function putOwn(
  c: RepairJobComponents,
  { envelope, stripe }: RepairJob,
  { index, payload }: { index: number; payload: () => AsyncIterable<Uint8Array> },
): Promise<{ receipt: Uint8Array; had: boolean }> {
  const { vault, pack, protectedUntil, shardHashes } = stripe
  const quota = c.quotaOf?.(toHex(vault))
  const begun = await c.store.put({ envelope, index, descriptor: stripe, quota })
  if (!begun.had) {
    try {
      for await (const bytes of payload()) await begun.writer.write(bytes)
      await begun.writer.commit()
    } finally {
      await begun.writer.abort()
    }
  }
  const { signer, clock, pool } = c
  const receipt = {
    pool: defined(pool.id(), 'a pool'),
    vault,
    pack,
    index,
    shardHash: defined(shardHashes[index], 'a hash'),
    host: signer.publicKey,
    storedAt: clock.now(),
    protectedUntil,
  }
  return { receipt: signReceipt(receipt, signer), had: begun.had }
}

// ---- sources ------------------------------------------------------------------------------------

/** Where shards can be read now: this host's own, then its site's, then the nearest. */
function sourcesOf(c: RepairJobComponents, job: RepairJob): RepairSource[] {
  const { pool, network } = c
  const sites = new Map(pool.hosts().map(({ id, site }) => [id, site]))
  const mine = sites.get(pool.self)
  const shards = job.stripe.k + job.stripe.m
  const rated = job.view.places.flatMap(({ index, host, refuted }) => {
    const here = host === pool.self || network.isConnected(host)
    if (refuted || !here || index >= shards || !job.readable(host)) return []
    const far = sites.get(host) === mine ? 1 : 2
    const cost = job.trusted(host) ? 0 : 10
    const rank = cost + (host === pool.self ? 0 : far)
    return { index, host, rank, rtt: network.rttMs(host) ?? Number.MAX_SAFE_INTEGER }
  })
  rated.sort((a, b) => a.rank - b.rank || a.rtt - b.rtt || (a.host < b.host ? -1 : 1))
  return rated.map(({ index, host }) => ({ index, host }))
}

/** Before anybody is asked to take a shard: is there what to make it of? */
function checkSources({ stripe, need }: RepairJob, sources: readonly RepairSource[]): void {
  const present = new Set(sources.map(({ index }) => index))
  if (present.size >= stripe.k || need.wanted.every((index) => present.has(index))) return
  throw new MoyaiError('NOT_ENOUGH_SHARDS', 'too few holders can be read now', {
    data: { present: present.size, needed: stripe.k },
  })
}

async function openSource(
  c: RepairJobComponents,
  { stripe, signal }: RepairJob,
  { source, offset }: { source: RepairSource; offset: number },
): Promise<ShardRanges> {
  const { vault, pack } = stripe
  const { index, host } = source
  if (host === c.pool.self) return ownRanges(await c.store.open({ vault, pack, index }), offset)
  const client = c.network.shards(host)
  return remoteRanges({ client, stripe, index, offset, clock: c.clock, signal })
}

async function sourceFailed(
  c: RepairJobComponents,
  { stripe }: RepairJob,
  { source, error }: { source: RepairSource; error: unknown },
): Promise<void> {
  const { vault, pack } = stripe
  const about = { ...source, pack: toHex(pack), error: textOf(error) }
  if (!isSourceAtFault(error)) {
    c.logger.debug(about, 'a shard could not be read')
    return
  }
  c.logger.warn(about, 'a host does not have the shard that it said it had')
  await c.whereabouts.refute({ vault, pack, index: source.index, host: source.host })
}

function textOf(error: unknown): string {
  return isMoyaiError(error) ? `${error.code}: ${error.message}` : String(error)
}
