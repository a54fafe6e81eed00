/**
 * Years of one pool, event by event: losses, their discovery, repair, replacement.
 *
 * The stripes of a pool are represented by `groups` ways in which they are dealt out over hosts; a
 * group is lost as soon as fewer than k of its shards exist, whether somebody noticed or not. Then
 * the pool begins anew, whole. Repairs are made one after the other, the group with the fewest
 * shards first.
 */

import { lightestHost } from './doubling.ts'
import type { Sfc32 } from './random.ts'
import type { Planner, Shape } from './shape.ts'
import { DAYS_PER_YEAR, gigabytesPerDay, LAZY_MARGIN_MIN, type World } from './world.ts'

export type Years = {
  years: number
  /** Times that some group was lost. */
  losses: number
  /** Bytes read from hosts and sent to hosts by repairs, as multiples of the pool's data. */
  movedShare: number
}

type Rot = { at: number; host: number; group: number }

type Job = {
  doneAt: number
  group: number
  targets: number[]
  /** Shards move out of places that have too many, and leave there as they arrive. */
  isMove: boolean
}

const NEVER = Number.POSITIVE_INFINITY

export class PoolYears {
  readonly #shape: Shape
  readonly #world: World
  readonly #random: Sfc32
  readonly #hosts: number
  readonly #total: number
  readonly #lossRate: number
  readonly #rotRate: number
  readonly #placeRate: number
  /** Missing shards from which on a group is rebuilt. */
  readonly #missingMin: number
  /** With so few shards left, suspects count as missing and caps give way. */
  readonly #urgentAt: number
  /** Days to move one shard of one group, by one place's line. */
  readonly #shardDays: number
  /** A shard of one group, as a part of the pool's data. */
  readonly #shardShare: number

  #now = 0
  #losses = 0
  #movedShare = 0
  #up = new Uint8Array()
  #upCount = 0
  /** Shards that exist, and shards that are thought to: group × hosts + host. */
  #has = new Uint8Array()
  #believed = new Uint8Array()
  /** Shards that are thought to exist on a machine that is no more. */
  #stale = new Uint8Array()
  #hasCount = new Int32Array()
  #believedCount = new Int32Array()
  #load = new Int32Array()
  #returnsAt = new Float64Array()
  #suspectAt = new Float64Array()
  #lostAt = new Float64Array()
  #suspect = new Uint8Array()
  #suspectCount = 0
  /** Groups that may have more shards in one place than the caps allow. */
  #crowded = new Set<number>()
  #rots: Rot[] = []
  #job: Job | undefined
  #lost = false
  readonly #held: Uint8Array
  readonly #open: Uint8Array
  readonly #added: Uint8Array

  constructor(shape: Shape, world: World, random: Sfc32) {
    const { code } = shape
    this.#shape = shape
    this.#world = world
    this.#random = random
    this.#hosts = shape.places.length
    this.#total = code.k + code.m
    this.#lossRate = (world.machineLossPerYear + world.churnPerYear) / DAYS_PER_YEAR
    this.#rotRate = world.rotPerYear / DAYS_PER_YEAR
    this.#placeRate = (world.siteLossPerYear + world.providerLossPerYear) / DAYS_PER_YEAR
    this.#missingMin = shape.margin >= LAZY_MARGIN_MIN ? 2 : 1
    this.#urgentAt = code.m >= 3 ? code.k + 1 : code.k
    this.#shardShare = 1 / shape.groups / code.k
    const gigabytes = (this.#hosts + 1) * world.gigabytesPerOwner * this.#shardShare
    this.#shardDays = gigabytes / gigabytesPerDay(world)
    this.#held = new Uint8Array(shape.placeCount)
    this.#open = new Uint8Array(shape.placeCount)
    this.#added = new Uint8Array(shape.placeCount)
    this.#begin()
  }

  /** Lives so many years more. */
  run(years: number): Years {
    const end = this.#now + years * DAYS_PER_YEAR
    const before = { losses: this.#losses, movedShare: this.#movedShare }
    for (;;) {
      const next = this.#nextKnown()
      const { unforeseen, rate } = this.#unforeseen()
      const at = Math.min(next, unforeseen)
      if (at >= end) break
      this.#now = at
      if (unforeseen < next) this.#hazard(rate)
      else this.#due(next)
      if (this.#lost) {
        this.#losses++
        this.#begin()
      } else if (this.#job === undefined) {
        this.#startRepair()
      }
    }
    this.#now = end
    const [losses, movedShare] = [
      this.#losses - before.losses,
      this.#movedShare - before.movedShare,
    ]
    return { years, losses, movedShare }
  }

  /** A whole pool, with nothing under way. */
  #begin(): void {
    const { home, groups } = this.#shape
    this.#lost = false
    this.#job = undefined
    this.#rots = []
    this.#crowded.clear()
    this.#upCount = this.#hosts
    this.#up = new Uint8Array(this.#hosts).fill(1)
    this.#has = home.slice()
    this.#believed = home.slice()
    this.#stale = new Uint8Array(home.length)
    this.#hasCount = new Int32Array(groups).fill(this.#total)
    this.#believedCount = new Int32Array(groups).fill(this.#total)
    this.#load = this.#shape.load.slice()
    this.#suspect = new Uint8Array(this.#hosts)
    this.#suspectCount = 0
    this.#returnsAt = new Float64Array(this.#hosts).fill(NEVER)
    this.#suspectAt = new Float64Array(this.#hosts).fill(NEVER)
    this.#lostAt = new Float64Array(this.#hosts).fill(NEVER)
  }

  /** When the next thing happens that is under way already. */
  #nextKnown(): number {
    let next = this.#job?.doneAt ?? NEVER
    for (const { at } of this.#rots) next = Math.min(next, at)
    for (let host = 0; host < this.#hosts; host++) {
      const returns = this.#returnsAt[host] as number
      if (returns < next) next = returns
      const suspect = this.#suspectAt[host] as number
      if (suspect < next) next = suspect
      const lost = this.#lostAt[host] as number
      if (lost < next) next = lost
    }
    return next
  }

  /** Memoryless: drawn anew after every event. */
  #unforeseen(): { unforeseen: number; rate: number } {
    const rate =
      this.#upCount * (this.#lossRate + this.#rotRate) + this.#shape.placeCount * this.#placeRate
    return { unforeseen: this.#now + this.#random.wait(rate), rate }
  }

  #hazard(rate: number): void {
    let draw = this.#random.unit() * rate
    draw -= this.#upCount * this.#lossRate
    if (draw < 0) {
      const { presumedLostDays, replacedDays } = this.#world
      this.#loseMachine(this.#anyUp(), presumedLostDays, replacedDays)
      return
    }
    draw -= this.#upCount * this.#rotRate
    if (draw < 0) {
      this.#rot(this.#anyUp())
      return
    }
    const place = this.#random.below(this.#shape.placeCount)
    for (let host = 0; host < this.#hosts; host++) {
      if (this.#shape.places[host] !== place || this.#up[host] === 0) continue
      this.#loseMachine(host, this.#world.declaredDays, this.#world.siteReplacedDays)
    }
  }

  #anyUp(): number {
    for (;;) {
      const host = this.#random.below(this.#hosts)
      if (this.#up[host] === 1) return host
    }
  }

  #loseMachine(host: number, noticedDays: number, replacedDays: number): void {
    this.#up[host] = 0
    this.#upCount--
    for (let group = 0; group < this.#shape.groups; group++) {
      const at = group * this.#hosts + host
      this.#take(group, this.#has[at] as number)
      this.#has[at] = 0
      this.#stale[at] = this.#believed[at] as number
    }
    this.#rots = this.#rots.filter((rot) => rot.host !== host)
    this.#returnsAt[host] = this.#now + replacedDays
    this.#lostAt[host] = Math.min(this.#lostAt[host] as number, this.#now + noticedDays)
    this.#suspectAt[host] = this.#now + this.#world.suspectDays
    // What was sent to this host is gone, too; the others of the group must wait for a new start.
    if (this.#job?.targets.includes(host) === true) this.#job = undefined
  }

  /** One group's shards on one host are damaged until the scrub comes by. */
  #rot(host: number): void {
    const group = this.#random.below(this.#shape.groups)
    const at = group * this.#hosts + host
    const count = this.#has[at] as number
    if (count === 0) return
    // One piece of one shard: of several on this host, the others are well.
    this.#has[at] = count - 1
    this.#take(group, 1)
    const found = this.#now + this.#random.unit() * this.#world.scrubDays
    this.#rots.push({ at: found, host, group })
  }

  #take(group: number, count: number): void {
    const left = (this.#hasCount[group] as number) - count
    this.#hasCount[group] = left
    if (left < this.#shape.code.k) this.#lost = true
  }

  /** Whatever is due at `time`. */
  #due(time: number): void {
    if (this.#job !== undefined && this.#job.doneAt <= time) this.#finishRepair(this.#job)
    for (const rot of this.#rots) if (rot.at <= time) this.#mendRot(rot)
    if (this.#rots.length > 0) this.#rots = this.#rots.filter((rot) => rot.at > time)
    for (let host = 0; host < this.#hosts; host++) {
      if ((this.#suspectAt[host] as number) <= time) {
        this.#suspectAt[host] = NEVER
        this.#suspectCount += 1 - (this.#suspect[host] as number)
        this.#suspect[host] = 1
      }
      if ((this.#lostAt[host] as number) <= time) this.#presumeLost(host)
      if ((this.#returnsAt[host] as number) <= time) {
        this.#returnsAt[host] = NEVER
        this.#up[host] = 1
        this.#upCount++
      }
    }
  }

  /** A piece is rebuilt where it was; it is so small that it takes neither time nor traffic. */
  #mendRot({ host, group }: Rot): void {
    const at = group * this.#hosts + host
    this.#has[at] = (this.#has[at] as number) + 1
    this.#hasCount[group] = (this.#hasCount[group] as number) + 1
  }

  #presumeLost(host: number): void {
    this.#lostAt[host] = NEVER
    this.#suspectAt[host] = NEVER
    this.#suspectCount -= this.#suspect[host] as number
    this.#suspect[host] = 0
    for (let group = 0; group < this.#shape.groups; group++) {
      // A new machine in its place may have shards already, of other groups.
      if (this.#stale[group * this.#hosts + host] !== 0) this.#disbelieve(group, host)
    }
  }

  #disbelieve(group: number, host: number): void {
    const at = group * this.#hosts + host
    const count = this.#believed[at] as number
    this.#believed[at] = 0
    this.#stale[at] = 0
    this.#believedCount[group] = (this.#believedCount[group] as number) - count
    this.#load[host] = (this.#load[host] as number) - count
  }

  /** Begins with the group that has the fewest shards left, of those that can be helped now. */
  #startRepair(): void {
    let tried: Set<number> | undefined
    for (;;) {
      let worst = -1
      let fewest = this.#total - this.#missingMin + 1
      for (let group = 0; group < this.#shape.groups; group++) {
        const count = this.#countable(group)
        if (count < fewest && tried?.has(group) !== true) {
          worst = group
          fewest = count
        }
      }
      if (worst < 0) break
      const targets = this.#targetsOf(worst)
      if (targets.length > 0) {
        this.#job = this.#jobOf(worst, targets)
        return
      }
      tried ??= new Set()
      tried.add(worst)
    }
    for (const group of this.#crowded) if (this.#startMove(group)) return
  }

  /** Back to where shards belong, as soon as hosts can take what is too much elsewhere. */
  #startMove(group: number): boolean {
    const targets = this.#moveTargets(group)
    if (targets.length === 0) return false
    const doneAt = this.#moved(targets.length)
    this.#job = { doneAt, group, targets, isMove: true }
    return true
  }

  #moveTargets(group: number): number[] {
    const { planner, cap } = this.#shape
    if (planner === undefined) return this.#evenly(group)
    this.#countPlaces(group * this.#hosts)
    let tooMany = 0
    for (const [place, count] of this.#held.entries()) {
      tooMany += Math.max(0, count - cap)
      this.#held[place] = Math.min(cap, count)
    }
    if (tooMany === 0) {
      this.#crowded.delete(group)
      return []
    }
    this.#choose(planner, false)
    return this.#emptiest(group * this.#hosts).slice(0, tooMany)
  }

  /** The host that should have one more, where another has two more than it. */
  #evenly(group: number): number[] {
    const from = group * this.#hosts
    let most = 0
    for (let host = 0; host < this.#hosts; host++) {
      most = Math.max(most, this.#has[from + host] as number)
    }
    const target = this.#lightest(from, new Uint8Array(this.#hosts))
    if (target >= 0 && (this.#believed[from + target] as number) + 2 <= most) return [target]
    if (this.#upCount === this.#hosts) this.#crowded.delete(group)
    return []
  }

  /** Shards that repair counts on: without suspects where that leaves few. */
  #countable(group: number): number {
    const count = this.#believedCount[group] as number
    if (this.#suspectCount === 0) return count
    let sure = count
    for (let host = 0; host < this.#hosts; host++) {
      if (this.#suspect[host] === 1) sure -= this.#stale[group * this.#hosts + host] as number
    }
    return sure <= this.#urgentAt ? sure : count
  }

  #targetsOf(group: number): number[] {
    if (this.#countable(group) < (this.#believedCount[group] as number)) {
      for (let host = 0; host < this.#hosts; host++) {
        const isStale = this.#stale[group * this.#hosts + host] !== 0
        if (this.#suspect[host] === 1 && isStale) this.#disbelieve(group, host)
      }
    }
    const { planner } = this.#shape
    const from = group * this.#hosts
    if (planner === undefined) return this.#doubledUp(group)
    if (this.#countPlaces(from) === 0) return []
    const isEndangered = (this.#believedCount[group] as number) <= this.#urgentAt
    if (isEndangered) this.#crowded.add(group)
    this.#choose(planner, isEndangered)
    return this.#emptiest(from)
  }

  /** As many as are missing, each to the running host that has the fewest of this group. */
  #doubledUp(group: number): number[] {
    this.#crowded.add(group)
    const more = new Uint8Array(this.#hosts)
    const targets: number[] = []
    while ((this.#believedCount[group] as number) + targets.length < this.#total) {
      const host = this.#lightest(group * this.#hosts, more)
      if (host < 0) break
      more[host] = (more[host] as number) + 1
      targets.push(host)
    }
    return targets
  }

  #lightest(from: number, more: Uint8Array): number {
    const to = from + this.#hosts
    return lightestHost({
      places: this.#shape.places,
      up: this.#up,
      stale: this.#stale.subarray(from, to),
      held: this.#believed.subarray(from, to),
      more,
      load: this.#load,
    })
  }

  #choose(planner: Planner, endangered: boolean): void {
    const first = this.#random.below(this.#shape.placeCount)
    const [held, open, into] = [this.#held, this.#open, this.#added]
    planner.choose({ held, open, into, first, endangered })
  }

  /** Per place, hosts with a shard of the group that begins at `from`, and open ones; all of these. */
  #countPlaces(from: number): number {
    this.#held.fill(0)
    this.#open.fill(0)
    let open = 0
    for (let host = 0; host < this.#hosts; host++) {
      const place = this.#shape.places[host] as number
      if (this.#believed[from + host] !== 0) this.#held[place] = (this.#held[place] as number) + 1
      else if (this.#up[host] === 1) {
        this.#open[place] = (this.#open[place] as number) + 1
        open++
      }
    }
    return open
  }

  #isOpen(from: number, host: number): boolean {
    return this.#up[host] === 1 && this.#believed[from + host] === 0
  }

  /** Of each place as many hosts as it gets shards, those that have the fewest of all groups. */
  #emptiest(from: number): number[] {
    const targets: number[] = []
    for (const [place, count] of this.#added.entries()) {
      for (let i = 0; i < count; i++) {
        let best = -1
        for (let host = 0; host < this.#hosts; host++) {
          if (this.#shape.places[host] !== place || !this.#isOpen(from, host)) continue
          if (targets.includes(host)) continue
          if (best < 0 || (this.#load[host] as number) < (this.#load[best] as number)) best = host
        }
        targets.push(best)
      }
    }
    return targets
  }

  /** k shards are read, and those that were missing are sent. */
  #jobOf(group: number, targets: number[]): Job {
    const doneAt = this.#moved(this.#shape.code.k + targets.length)
    return { doneAt, group, targets, isMove: false }
  }

  /** When so many shards will have been moved, if that begins now. */
  #moved(shards: number): number {
    this.#movedShare += shards * this.#shardShare
    return this.#now + (shards * this.#shardDays) / this.#runningPlaces()
  }

  #runningPlaces(): number {
    this.#held.fill(0)
    let running = 0
    for (let host = 0; host < this.#hosts; host++) {
      const place = this.#shape.places[host] as number
      if (this.#up[host] === 0 || this.#held[place] === 1) continue
      this.#held[place] = 1
      running++
    }
    return running
  }

  #finishRepair({ group, targets, isMove }: Job): void {
    this.#job = undefined
    for (const host of targets) this.#count(group, host, 1)
    if (isMove) for (const _ of targets) this.#leaveCrowd(group)
  }

  /** One good shard more or less. */
  #count(group: number, host: number, change: 1 | -1): void {
    const at = group * this.#hosts + host
    this.#has[at] = (this.#has[at] as number) + change
    this.#believed[at] = (this.#believed[at] as number) + change
    this.#hasCount[group] = (this.#hasCount[group] as number) + change
    this.#believedCount[group] = (this.#believedCount[group] as number) + change
    this.#load[host] = (this.#load[host] as number) + change
  }

  /** One shard less of the host, in the fullest place, that has the most good ones. */
  #leaveCrowd(group: number): void {
    const from = group * this.#hosts
    this.#countPlaces(from)
    const fullest = this.#held.indexOf(Math.max(...this.#held))
    const isInPlace = this.#shape.planner !== undefined
    let best = -1
    for (let host = 0; host < this.#hosts; host++) {
      if (isInPlace && this.#shape.places[host] !== fullest) continue
      if (this.#has[from + host] === 0) continue
      if (best < 0 || (this.#has[from + host] as number) > (this.#has[from + best] as number)) {
        best = host
      }
    }
    if (best >= 0) this.#count(group, best, -1)
  }
}
