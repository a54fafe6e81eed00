/** What is said about the hosts of a pool, and about the pool as a whole. */

import type { DrainStatus, HostStatus, PoolLabelParams } from '@moyai/protocol'
import {
  equalBytes,
  fromHex,
  guardSigner,
  MoyaiError,
  signRevocationOrder,
  toHex,
} from '@moyai/protocol'

import { parseSize, usage } from '../arguments.ts'
import { type Command, type Context, daemonOf } from '../command.ts'
import { count, formatBytes } from '../output.ts'
import { readSecret } from '../phrase.ts'
import { countMembers, hostTable, ledgerTable } from './host-table.ts'

/** How often a drain that is waited for is looked at. */
const DRAIN_POLL_MS = 1000
const CLASSES = ['always-on', 'desktop', 'laptop'] as const

/** How far a host is emptied, in a sentence. */
function drainText({ name, shards, bytes, stuck, unknown }: DrainStatus): string {
  const asked =
    unknown.length === 0 ? '' : `; not known of ${unknown.join(', ')}, which cannot be asked now`
  if (shards > 0) {
    const left = `${count(shards, 'shard')} (${formatBytes(bytes)}) still to move`
    const none = stuck === 0 ? '' : `; no other host can take ${stuck}: add a host, or ask less`
    return `${name} is retiring: ${left}${none}${asked}`
  }
  return unknown.length === 0
    ? `${name} is retiring and drained: every shard has another holder, it can be switched off`
    : `${name} is retiring: nothing left to move${asked}`
}

export const hostsCommand: Command = {
  name: 'pool hosts',
  summary: 'list the hosts of the pool',
  usage: '',
  options: {},
  async run(_args, context) {
    const { output } = context
    const result = await daemonOf(context).call('pool.hosts', {}, context)
    output.line(`Pool ${result.pool.name}, ${countMembers(result.hosts)}`)
    output.line(hostTable(result.hosts, Date.now()))
    if (result.hosts.length > 1) {
      output.line('')
      output.line('Give and take:')
      output.line(ledgerTable(result.hosts))
    }
    for (const drain of result.drains) output.line(drainText(drain))
    output.message({ message_type: 'summary', ...result })
    return 0
  },
}

function parseLabels(words: readonly string[]): Omit<PoolLabelParams, 'host'> {
  const labels: Omit<PoolLabelParams, 'host'> = {}
  const given = new Set<string>()
  for (const word of words) {
    const at = word.indexOf('=')
    const key = word.slice(0, Math.max(0, at))
    const value = word.slice(at + 1)
    if (given.has(key)) throw usage(`${key} is given twice`)
    given.add(key)
    if (key === 'name' || key === 'site' || key === 'provider') labels[key] = value
    else if (key === 'offered') labels.offered = parseSize(value, 'offered')
    else if (key === 'class') {
      const found = CLASSES.find((one) => one === value)
      if (found === undefined) throw usage(`class is one of ${CLASSES.join(', ')}; not "${value}"`)
      labels.class = found
    } else throw usage(`"${word}" is no label`, 'labels: name, site, provider, class, offered')
  }
  return labels
}

export const labelCommand: Command = {
  name: 'pool label',
  summary: 'rename or describe a host of your organisation',
  usage: `HOST KEY=VALUE…

HOST is a name or the beginning of an id. Keys:
  name       what the others call it
  site       the building it stands in
  provider   who runs the machine: "self" or a company
  class      always-on, desktop or laptop
  offered    what the others may count on, like 500GB (its own config.toml sets what it really gives)`,
  options: {},
  async run(args, context) {
    const [host, ...words] = args.positionals
    if (host === undefined || words.length === 0) {
      throw usage('pool label takes a HOST and at least one KEY=VALUE')
    }
    const params = { host, ...parseLabels(words) }
    const result = await daemonOf(context).call('pool.label', params, context)
    const { name, site, provider, offered } = result.host
    context.output.say(
      `${name}: site ${site}, provider ${provider}, ${result.host.class}, offers ${formatBytes(offered)}`,
    )
    context.output.message({ message_type: 'summary', ...result })
    return 0
  },
}

/** Looks at the drain until nothing is left that could still move. */
async function follow(host: string, context: Context): Promise<DrainStatus | undefined> {
  for (;;) {
    const { drains } = await daemonOf(context).call('pool.hosts', {}, context)
    const drain = drains.find((one) => one.host === host)
    if (drain === undefined || (drain.shards === 0 && drain.unknown.length === 0)) return drain
    // What could move has moved; the rest waits for a person.
    if (drain.shards > 0 && drain.shards === drain.stuck) return drain
    context.output.progress(drainText(drain), performance.now())
    context.output.message({ message_type: 'status', ...drain })
    await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS))
    if (context.signal.aborted) throw new MoyaiError('ABORTED', 'interrupted')
  }
}

export const retireCommand: Command = {
  name: 'pool retire',
  summary: 'empty a host of your organisation, so that it can be switched off',
  usage: `HOST [--cancel] [--wait]

It gets no new shards, and the owners of those it keeps move them to other hosts by themselves. Say
the same again, or pool hosts, to see how much is left; with --wait the command stays until nothing
is, or nothing that could. --cancel takes it back: what has moved stays where it is.`,
  options: { cancel: { type: 'boolean' }, wait: { type: 'boolean' } },
  async run(args, context) {
    const [host, ...rest] = args.positionals
    if (host === undefined || rest.length > 0) throw usage('pool retire takes one HOST')
    const retired = !args.flag('cancel')
    if (!retired && args.flag('wait')) throw usage('--wait and --cancel exclude one another')
    const result = await daemonOf(context).call('pool.retire', { host, retired }, context)
    const { output } = context
    if (!retired) output.say(`${result.host.name} is in use again`)
    let { drain } = result
    if (args.flag('wait')) drain = (await follow(result.host.id, context)) ?? null
    if (drain !== null) output.line(drainText(drain))
    output.message({ message_type: 'summary', host: result.host, drain })
    return 0
  },
}

/** Revokes with the guard key of the host's organisation, which exists in this process alone. */
async function revokeByPhrase(host: string, file: string, context: Context): Promise<HostStatus> {
  const daemon = daemonOf(context)
  const plan = await daemon.call('pool.revocation', { host }, context)
  const secret = await readSecret(context, { file })
  const guard = guardSigner(secret)
  secret.fill(0)
  if (!equalBytes(guard.publicKey, fromHex(plan.org))) {
    throw new MoyaiError('BAD_PHRASE', `this is not the recovery phrase of ${plan.name}`, {
      hint: 'the phrase of the organisation that the host belongs to is needed',
    })
  }
  const signatures = plan.keep.map((part) => {
    const keep = part === '' ? [] : part.split(',').map(fromHex)
    const content = { pool: fromHex(plan.pool), host: fromHex(plan.host), keep }
    return toHex(signRevocationOrder(content, guard).signature)
  })
  const params = { host: plan.host, keep: plan.keep, signatures }
  return (await daemon.call('pool.revoke', params, context)).host
}

export const revokeCommand: Command = {
  name: 'pool revoke',
  summary: 'put a lost or stolen host out of the pool, for ever',
  usage: `HOST [--phrase-file F]

Every host refuses its connections from then on, and what it kept counts as lost and is placed anew.
There is no way back: a machine that turns up again is set up anew. To empty a host that still
works, use pool retire first.

A host is revoked by an older one of its organisation or by itself; with the recovery phrase of its
organisation (--phrase-file F, - for standard input), by any.`,
  options: { 'phrase-file': { type: 'string' } },
  async run(args, context) {
    const [host, ...rest] = args.positionals
    if (host === undefined || rest.length > 0) throw usage('pool revoke takes one HOST')
    const file = args.text('phrase-file')
    const revoked =
      file === undefined
        ? (await daemonOf(context).call('pool.revoke', { host }, context)).host
        : await revokeByPhrase(host, file, context)
    context.output.say(`${revoked.name} is out of the pool; what it kept is placed anew`)
    context.output.message({ message_type: 'summary', host: revoked })
    return 0
  },
}

export const policyCommand: Command = {
  name: 'pool policy',
  summary: 'show or set what must be survivable',
  usage: `[KIND=N…] [--explain]

KIND is host, site, provider or org; N is how many of them may be lost at once. Kinds that are not
named stay as they are: pool policy host=2 site=1. --explain says which code follows from it, and why.`,
  options: { explain: { type: 'boolean' } },
  async run(args, context) {
    const set = args.positionals.join(' ')
    const params = set === '' ? {} : { set }
    const result = await daemonOf(context).call('pool.policy', params, context)
    const { output } = context
    output.line(result.policy)
    if (args.flag('explain')) for (const line of result.explanation) output.line(line)
    else if (set !== '') output.say(result.explain)
    output.message({ message_type: 'summary', ...result })
    return 0
  },
}
