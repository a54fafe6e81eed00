/** What people say of hosts that are not there. */

import { parseDuration, usage } from '../arguments.ts'
import { type Command, type Context, daemonOf } from '../command.ts'

const DATE = /^\d{4}-\d{2}-\d{2}$/
const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?$/

/** `2026-12-24` (its end), `2026-12-24T18:00` (both local) or a duration from `now` on, as ms. */
function parseUntil(text: string, now: number): number {
  if (DATE.test(text) || MOMENT.test(text)) {
    const at = Date.parse(DATE.test(text) ? `${text}T23:59:59` : text)
    if (Number.isFinite(at)) return at
  }
  if (!/^\d+[smhd]$/.test(text)) {
    throw usage(
      `--until: "${text}" is neither a date nor a duration`,
      'write it like 2026-12-24, 2026-12-24T18:00 or 14d; now ends an absence',
    )
  }
  return now + parseDuration(text, '--until') * 1000
}

async function back(host: string, context: Context): Promise<number> {
  const result = await daemonOf(context).call('pool.back', { host }, context)
  context.output.say(`${result.host.name} is expected as usual`)
  context.output.message({ message_type: 'summary', ...result })
  return 0
}

export const awayCommand: Command = {
  name: 'pool away',
  summary: 'announce that a host of your organisation will be off for a while',
  usage: `HOST --until DATE|DURATION

Until then nobody misses it, and nothing that it keeps is copied for its absence: for holidays,
moves and repairs. It may come back at any time. DATE is like 2026-12-24 (its end) or
2026-12-24T18:00, DURATION like 36h or 14d; at most 90 days. --until now ends it, as pool back does.`,
  options: { until: { type: 'string' } },
  async run(args, context) {
    const [host, ...rest] = args.positionals
    const text = args.text('until')
    if (host === undefined || rest.length > 0 || text === undefined) {
      throw usage('pool away takes one HOST and --until')
    }
    if (text === 'now') return back(host, context)
    const until = parseUntil(text, Date.now())
    const result = await daemonOf(context).call('pool.away', { host, until }, context)
    context.output.say(`${result.host.name} is not missed until ${result.host.awayUntil ?? text}`)
    context.output.message({ message_type: 'summary', ...result })
    return 0
  },
}

export const backCommand: Command = {
  name: 'pool back',
  summary: 'end an announced absence, or take pool lost back',
  usage: `HOST

What was said of it by pool away and pool lost no longer counts. A host that connects again after
pool lost needs no such word: it counts as there for everybody who sees it.`,
  options: {},
  async run(args, context) {
    const [host, ...rest] = args.positionals
    if (host === undefined || rest.length > 0) throw usage('pool back takes one HOST')
    return back(host, context)
  },
}

export const lostCommand: Command = {
  name: 'pool lost',
  summary: 'say that a host, or all hosts of a site, will not come back',
  usage: `HOST|SITE

After a fire, a flood or a theft: what they kept is placed anew at once, without waiting for them to
be missed for long. Any organisation of the pool may say so, of any host that is not connected.
Nothing is deleted, and a host that connects again counts as there: what it kept is used again.
Write site=NAME where a host has the same name. A stolen host is also put out: pool revoke.`,
  options: {},
  async run(args, context) {
    const [target, ...rest] = args.positionals
    if (target === undefined || rest.length > 0) throw usage('pool lost takes one HOST or SITE')
    const result = await daemonOf(context).call('pool.lost', { target }, context)
    const names = result.hosts.map(({ name }) => name).join(', ')
    context.output.say(`${names}: counted as lost from now on; what they kept is placed anew`)
    if (result.present.length > 0) {
      context.output.say(`Not lost, because they are connected: ${result.present.join(', ')}`)
    }
    context.output.message({ message_type: 'summary', ...result })
    return 0
  },
}
