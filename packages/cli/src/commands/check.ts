import { EXIT, printable } from '@moyai/protocol/command'

import { type Command, daemonOf } from '../command.ts'
import { count, formatBytes } from '../output.ts'

const LISTED_MAX = 50

export const checkCommand: Command = {
  name: 'check',
  summary: 'ask every host for its shards of this vault; with --read-data read and verify them all',
  usage: `[--read-data]

Exit codes: 0 all well · 1 problems were found (each is named), everything can still be retrieved ·
22 data is unrecoverable (listed).`,
  options: { 'read-data': { type: 'boolean' } },
  async run(args, context) {
    const { output } = context
    let listed = 0
    const summary = await daemonOf(context).call(
      'check',
      { readData: args.flag('read-data') },
      {
        signal: context.signal,
        onEvent: (event) => {
          output.message(event)
          if (event.message_type === 'problem') {
            listed++
            if (listed <= LISTED_MAX) output.line(`${event.kind}: ${printable(event.text, 500)}`)
            return
          }
          output.progress(
            `${event.phase}: ${event.stripes_done} of ${count(event.stripes_total, 'stripe')}, ${formatBytes(event.bytes_read)} read`,
            Date.now(),
          )
        },
      },
    )
    if (listed > LISTED_MAX)
      output.line(`… and ${listed - LISTED_MAX} more problems (--json lists all)`)
    const { stripes } = summary
    const read = summary.read_data
      ? `${count(summary.shards_read, 'shard')} (${formatBytes(summary.bytes_read)}) read back and verified`
      : 'shards counted, not read (--read-data reads them)'
    output.line(
      `checked ${count(summary.snapshots, 'snapshot')}, ${count(stripes.total, 'stripe')}: ${stripes.full} complete; ${read}`,
    )
    output.message(summary)
    if (stripes.unrecoverable > 0 || summary.unrecoverable_packs.length > 0) {
      output.warn(`${count(stripes.unrecoverable, 'stripe')} cannot be recovered now; affected:`)
      for (const text of summary.affected.slice(0, LISTED_MAX))
        output.line(`  ${printable(text, 500)}`)
      return EXIT.unrecoverable
    }
    if (summary.num_problems > 0) {
      output.warn(
        `${count(summary.num_problems, 'problem')}; everything can still be retrieved`,
        'bring missing hosts back; automatic repair is not part of this version yet',
      )
      return EXIT.failed
    }
    output.line('no problems found')
    return EXIT.done
  },
}
