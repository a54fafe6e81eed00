import { printable } from '@moyai/protocol/command'

import { usage } from '../arguments.ts'
import { type Command, daemonOf } from '../command.ts'

export const lsCommand: Command = {
  name: 'ls',
  summary: 'list what is in a snapshot',
  usage: `SNAPSHOT[:PATH] [-l] [--recursive]

  -l, --long           mode, owner, size and time as well
  -r, --recursive      the folders below, too`,
  options: {
    long: { type: 'boolean', short: 'l' },
    recursive: { type: 'boolean', short: 'r' },
  },
  async run(args, context) {
    const [snapshot, ...rest] = args.positionals
    if (snapshot === undefined || rest.length > 0) throw usage('ls takes one SNAPSHOT')
    const { output } = context
    const long = args.flag('long')
    const result = await daemonOf(context).call(
      'ls',
      { snapshot, recursive: args.flag('recursive') },
      {
        signal: context.signal,
        onEvent: (entry) => {
          output.message(entry)
          const path = printable(entry.path, 4096)
          if (!long) {
            output.line(path)
            return
          }
          const owner = `${entry.user ?? entry.uid}:${entry.group ?? entry.gid}`
          const time = entry.mtime.replace('T', ' ').replace(/\..*$/, '')
          const target = entry.target === undefined ? '' : ` -> ${printable(entry.target, 4096)}`
          output.line(
            `${entry.permissions} ${owner.padEnd(15)} ${String(entry.size).padStart(12)} ${time} ${path}${target}`,
          )
        },
      },
    )
    output.message({ message_type: 'summary', ...result })
    return 0
  },
}
