import { parseCount, parseDuration, usage } from '../arguments.ts'
import { type Command, daemonOf } from '../command.ts'
import { count } from '../output.ts'
import { readSecret } from '../phrase.ts'
import { keysForToken } from '../same-org.ts'

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
  usage: `[--uses N] [--expires 24h] [--same-org [--phrase-file F]]

The token is the last line of the output. It lets one machine in (--uses says how many) until it
expires; give it only to whoever is to join. This host must be running and reachable then.

--same-org invites a further machine of your own organisation: the recovery phrase is asked for
here, once, and there moyai init --join TOKEN is all that is typed. Until it is used, whoever has
the token can take the place of that machine.`,
  options: {
    uses: { type: 'string' },
    expires: { type: 'string' },
    'same-org': { type: 'boolean' },
    'phrase-file': { type: 'string' },
  },
  async run(args, context) {
    if (args.positionals.length > 0) throw usage('pool invite takes only options')
    const sameOrg = args.flag('same-org')
    const file = args.text('phrase-file')
    if (file !== undefined && !sameOrg) throw usage('--phrase-file belongs to --same-org')
    const secret = sameOrg
      ? await readSecret(context, file === undefined ? {} : { file })
      : undefined
    const params = {
      uses: parseCount(args.text('uses') ?? '1', '--uses', { min: 1, max: INVITE_USES_MAX }),
      expiresSeconds: parseDuration(args.text('expires') ?? '24h', '--expires'),
      sameOrg,
    }
    const invited = await daemonOf(context).call('pool.invite', params, context)
    const { org, delegatedAt, ...result } = invited
    if (secret !== undefined) {
      const keys = keysForToken({ token: result.token, secret, org, delegatedAt })
      await daemonOf(context).call('pool.attach', keys, context)
    }
    const there = sameOrg ? 'moyai init --join TOKEN' : 'moyai pool join TOKEN'
    context.output.say(
      `Good for ${count(result.uses, 'machine')} until ${result.expires}. There: ${there}`,
    )
    const { renderUnicodeCompact } = await import('uqr')
    context.output.picture(renderUnicodeCompact(result.token, { border: 2 }))
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
