import type { LimitResult } from '@moyai/protocol/command'

import { type Command, daemonOf } from '../command.ts'
import { formatBytes } from '../output.ts'
import { usage } from '../arguments.ts'

function text(name: string, { text: rule, now }: LimitResult['upload']): string {
  const current = now === null ? 'as fast as it goes' : `${formatBytes(now)}/s`
  return `${name}  ${current}${rule === 'unlimited' ? '' : `   (${rule})`}`
}

export const limitCommand: Command = {
  name: 'limit',
  summary: 'how fast this host may send and receive, and when',
  usage: `[--up RULES] [--down RULES]

Without options: what holds now. RULES are like "2MB/s Mon-Fri 08:00-19:00, else unlimited": the first that
fits the present time decides. "unlimited" takes a limit away. Changes hold at once and are written to config.toml.`,
  options: { up: { type: 'string' }, down: { type: 'string' } },
  async run(args, context) {
    if (args.positionals.length > 0) throw usage('limit takes only options')
    const { output } = context
    const [upload, download] = [args.text('up'), args.text('down')]
    const params = {
      ...(upload === undefined ? {} : { upload }),
      ...(download === undefined ? {} : { download }),
    }
    const limits = await daemonOf(context).call('limit', params, context)
    output.line(text('sending  ', limits.upload))
    output.line(text('receiving', limits.download))
    output.message({ message_type: 'summary', ...limits })
    return 0
  },
}
