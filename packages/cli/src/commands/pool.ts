import type { HostStatus } from '@moyai/protocol/command'

import { parseCount, parseDuration, usage } from '../arguments.ts'
import { type Command, daemonOf } from '../command.ts'
import { count, formatBytes, table } from '../output.ts'

const INVITE_USES_MAX = 100

export const createCommand: Command = {
  name: 'pool create',
  summary: 'start a pool with this host as its first member',
  usage: 'NAME',
  options: {},
  async run(args, context) {
    const [name, ...rest] = args.positionals
    if (name === undefined || rest.length > 0) throw usage('pool create takes one NAME')
    const { pool } = await daemonOf(context).call('pool.create', { name }, context)
    context.output.say(`The pool "${pool.name}" exists, with this host in it. Pool id: ${pool.id}`)
    context.output.say(
      'Next: moyai pool invite   (prints a token that the next machine joins with)',
    )
    context.output.message({ message_type: 'summary', pool })
    return 0
  },
}

export const inviteCommand: Command = {
  name: 'pool invite',
  summary: 'print a token with which another machine can join',
  usage: `[--uses N] [--expires 24h]

The token is the last line of the output. It lets one machine in (--uses says how many) until it
expires; give it only to whoever is to join. This host must be running and reachable when it is used.`,
  options: { uses: { type: 'string' }, expires: { type: 'string' } },
  async run(args, context) {
    if (args.positionals.length > 0) throw usage('pool invite takes only options')
    const result = await daemonOf(context).call(
      'pool.invite',
      {
        uses: parseCount(args.text('uses') ?? '1', '--uses', { min: 1, max: INVITE_USES_MAX }),
        expiresSeconds: parseDuration(args.text('expires') ?? '24h', '--expires'),
      },
      context,
    )
    context.output.say(
      `Good for ${count(result.uses, 'machine')} until ${result.expires}. There: moyai pool join TOKEN`,
    )
    context.output.line(result.token)
    context.output.message({ message_type: 'summary', ...result })
    return 0
  },
}

export const joinCommand: Command = {
  name: 'pool join',
  summary: 'join the pool that a token invites to',
  usage: 'TOKEN',
  options: {},
  async run(args, context) {
    const [token, ...rest] = args.positionals
    if (token === undefined || rest.length > 0) throw usage('pool join takes one TOKEN')
    const result = await daemonOf(context).call('pool.join', { token }, context)
    context.output.say(
      `This host is now in the pool "${result.pool.name}" as "${result.name}", with ${count(result.hosts - 1, 'other host')}.`,
    )
    context.output.message({ message_type: 'summary', ...result })
    return 0
  },
}

/** The hosts of a pool as a table for people. */
export function hostTable(hosts: readonly HostStatus[], nowMs: number): string {
  return table(
    ['host', 'site', 'provider', 'class', 'state', 'last seen', 'offers', 'keeps'],
    hosts.map((host) => [
      host.name,
      host.site,
      host.provider,
      host.class,
      host.state === 'self' ? 'this host' : host.state,
      host.state === 'self' || host.state === 'online' ? '' : ago(host.lastSeen, nowMs),
      formatBytes(host.offered),
      host.used === null ? '' : formatBytes(host.used),
    ]),
  )
}

/** Who keeps how much for whom, seen from this host. */
function ledgerTable(hosts: readonly HostStatus[]): string {
  const bytes = (value: number | null | undefined): string =>
    value === null || value === undefined ? '?' : formatBytes(value)
  return table(
    ['host', 'has free', 'keeps for us', 'at most', 'we keep for it'],
    hosts
      .filter((host) => host.state !== 'self')
      .map((host) => [
        host.name,
        bytes(host.free),
        bytes(host.used),
        host.quota === null && host.free !== null ? 'its room' : bytes(host.quota),
        bytes(host.kept),
      ]),
  )
}

/** `3 min ago`, `never`. */
export function ago(iso: string | null, nowMs: number): string {
  if (iso === null) return 'never'
  const seconds = Math.max(0, (nowMs - Date.parse(iso)) / 1000)
  if (seconds < 90) return `${Math.round(seconds)} s ago`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h ago`
  return `${Math.round(seconds / 86_400)} days ago`
}

export const hostsCommand: Command = {
  name: 'pool hosts',
  summary: 'list the hosts of the pool',
  usage: '',
  options: {},
  async run(_args, context) {
    const result = await daemonOf(context).call('pool.hosts', {}, context)
    context.output.line(`Pool ${result.pool.name}, ${count(result.hosts.length, 'host')}`)
    context.output.line(hostTable(result.hosts, Date.now()))
    if (result.hosts.length > 1) {
      context.output.line('')
      context.output.line('Give and take (spec/quota.md):')
      context.output.line(ledgerTable(result.hosts))
    }
    context.output.message({ message_type: 'summary', ...result })
    return 0
  },
}
