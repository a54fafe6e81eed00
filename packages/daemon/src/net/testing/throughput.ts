/**
 * The wire against its best bare parts: `node packages/daemon/src/net/testing/throughput.ts [MIB]
 * [--rounds N] [--json]`.
 *
 * Two processes on loopback for each way (wire-ends.ts), all of them alive all the time, and each
 * round runs every way once, in another order. What is printed are medians over the rounds, after a
 * round that does not count, of CPU seconds per GiB (all threads of the process) of sender and
 * receiver. Environment: WIRE_DIR, where the holder's disk is; WIRE_FLAGS, V8 flags of all processes
 * (default: the daemon's).
 */

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Address, Order, Report } from './wire-ends.ts'

const ENDS = fileURLToPath(new URL('wire-ends.ts', import.meta.url))
const DAEMON_FLAGS = '--max-semi-space-size=4 --heap-growing-percent=100 --optimize-for-size'
const KINDS = ['moyai', 'lanes', 'libp2p', 'tls'] as const
const WAYS = [
  { name: 'moyai wire', kind: 'lanes', what: 'put' },
  { name: 'moyai PUT', kind: 'moyai', what: 'put' },
  { name: 'moyai GET', kind: 'moyai', what: 'get' },
  { name: 'libp2p noise+yamux', kind: 'libp2p', what: 'put' },
  { name: 'node:tls', kind: 'tls', what: 'put' },
] as const

type Kind = (typeof KINDS)[number]
type WayName = (typeof WAYS)[number]['name']
type Pair = { tx: ChildProcess; rx: ChildProcess }
/** CPU-s/GiB of whoever sends and receives the payload, MB/s, delays of the event loops in ms. */
type Sample = { tx: number; rx: number; rate: number; delay: number; rss: number }

async function tell<T>(end: ChildProcess, order: Order): Promise<T> {
  end.send(order)
  const [answer] = (await once(end, 'message')) as [{ value: T; error?: string }]
  if (answer.error !== undefined) throw new Error(answer.error)
  return answer.value
}

async function openPair(kind: Kind): Promise<Pair> {
  const flags = process.env['WIRE_FLAGS'] ?? DAEMON_FLAGS
  const execArgv = flags.split(' ').filter((flag) => flag !== '')
  const start = (side: string): ChildProcess => fork(ENDS, [kind, side], { execArgv })
  const pair = { rx: start('rx'), tx: start('tx') }
  const rx = await tell<Address>(pair.rx, { do: 'open' })
  const tx = await tell<Address>(pair.tx, { do: 'open' })
  // The receiver knows the sender before it comes, or would cut it as a stranger.
  await tell(pair.rx, { do: 'meet', other: tx })
  await tell(pair.tx, { do: 'meet', other: rx })
  return pair
}

async function measure(
  pair: Pair,
  way: (typeof WAYS)[number],
  o: { round: number; mib: number },
): Promise<Sample> {
  await Promise.all([tell(pair.tx, { do: 'mark' }), tell(pair.rx, { do: 'mark' })])
  const seconds = await tell<number>(pair.tx, { do: 'run', what: way.what, ...o })
  const asker = await tell<Report>(pair.tx, { do: 'report' })
  const holder = await tell<Report>(pair.rx, { do: 'report' })
  // The payload of a GET comes from the holder.
  const [tx, rx] = way.what === 'get' ? [holder, asker] : [asker, holder]
  const perGib = 1024 / o.mib
  return {
    tx: tx.cpu * perGib,
    rx: rx.cpu * perGib,
    rate: (o.mib * 1.048576) / seconds,
    delay: Math.max(tx.delayP99, rx.delayP99),
    rss: Math.max(tx.rssMib, rx.rssMib),
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? 0
}

/** The order of one round: a rotation, every second time backwards. */
function orderOf<T>(items: readonly T[], round: number): T[] {
  const at = round % items.length
  const rotated = [...items.slice(at), ...items.slice(0, at)]
  return round % 2 === 0 ? rotated : rotated.toReversed()
}

type Row = {
  row: string
  metric: 'CPU-s/GiB' | 'MB/s'
  moyai: number
  peers: Record<string, number>
  ratios: Record<string, number>
  target?: string
}

/**
 * The rows for `pnpm bench`, against each peer. The wire is held to the bare configuration; a whole
 * PUT also hashes, writes and syncs, a whole GET reads and verifies.
 */
function rowsOf(medians: Map<WayName, Sample>): Row[] {
  const rows: Row[] = []
  for (const way of ['moyai wire', 'moyai PUT', 'moyai GET'] as const) {
    const sums = { sender: tx, receiver: rx, both, 'MB/s': rate }
    for (const [name, of] of Object.entries(sums)) {
      const moyai = of(medians.get(way))
      const peers: Record<string, number> = {}
      const ratios: Record<string, number> = {}
      for (const peer of ['libp2p noise+yamux', 'node:tls'] as const) {
        peers[peer] = round(of(medians.get(peer)))
        ratios[peer] = round(moyai / of(medians.get(peer)))
      }
      const metric = name === 'MB/s' ? 'MB/s' : 'CPU-s/GiB'
      const row = { row: `${way}, ${name}`, metric, moyai: round(moyai), peers, ratios } as const
      const isJudged = way === 'moyai wire' && name === 'both'
      rows.push(isJudged ? { ...row, target: '<= 1.1 x libp2p noise+yamux' } : row)
    }
  }
  return rows
}

const tx = (sample: Sample | undefined): number => sample?.tx ?? 0
const rx = (sample: Sample | undefined): number => sample?.rx ?? 0
const both = (sample: Sample | undefined): number => tx(sample) + rx(sample)
const rate = (sample: Sample | undefined): number => sample?.rate ?? 0
const round = (value: number): number => Math.round(value * 100) / 100

async function main(): Promise<void> {
  const args = process.argv.slice(2)
  const roundsAt = args.indexOf('--rounds')
  const rounds = roundsAt < 0 ? 5 : Number(args.splice(roundsAt, 2)[1])
  const mib = Number(args.find((arg) => !arg.startsWith('--')) ?? 128)
  const pairs = new Map<Kind, Pair>()
  const samples = new Map<WayName, Sample[]>(WAYS.map(({ name }) => [name, []]))
  try {
    for (const kind of KINDS) pairs.set(kind, await openPair(kind))
    for (let number = 0; number <= rounds; number++) {
      // What is fetched must have been stored in the same round.
      for (const kind of orderOf(KINDS, number)) {
        for (const way of WAYS.filter((one) => one.kind === kind)) {
          const pair = pairs.get(kind) as Pair
          const sample = await measure(pair, way, { round: number, mib })
          if (number > 0) samples.get(way.name)?.push(sample)
        }
      }
    }
  } finally {
    await Promise.all(
      [...pairs.values()].flatMap(({ tx: one, rx: other }) =>
        [one, other].map(async (end) => {
          await tell(end, { do: 'end' })
          end.disconnect()
        }),
      ),
    )
  }
  const medians = new Map([...samples].map(([name, list]) => [name, medianOf(list)]))
  if (args.includes('--json')) process.stdout.write(`${JSON.stringify(rowsOf(medians), null, 1)}\n`)
  else process.stdout.write(tableOf(medians))
}

function medianOf(list: readonly Sample[]): Sample {
  const of = (key: keyof Sample): number => median(list.map((sample) => sample[key]))
  return { tx: of('tx'), rx: of('rx'), rate: of('rate'), delay: of('delay'), rss: of('rss') }
}

function tableOf(medians: Map<WayName, Sample>): string {
  let text = 'way                    tx     rx  CPU-s/GiB   MB/s   loop p99 ms   RSS MiB\n'
  for (const [name, { tx: sender, rx: receiver, rate: speed, delay, rss }] of medians) {
    text += `${name.padEnd(20)} ${sender.toFixed(2).padStart(5)}  ${receiver.toFixed(2).padStart(5)}`
    text += `${speed.toFixed(0).padStart(18)} ${delay.toFixed(1).padStart(13)}`
    text += `${rss.toFixed(0).padStart(10)}\n`
  }
  return text
}

await main()
