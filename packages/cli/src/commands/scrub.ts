import { EXIT } from '@moyai/protocol/command'

import { type Command, daemonOf } from '../command.ts'
import { count, formatBytes } from '../output.ts'

const LISTED_MAX = 50

export const scrubCommand: Command = {
  name: 'scrub',
  summary: 'read and verify every shard that this host keeps for others, now',
  usage: `

The daemon does so by itself within 30 days. Exit codes: 0 all shards are right · 1 some are damaged
(each is named); they are made anew from the other shards of their stripes.`,
  options: {},
  async run(_args, context) {
    const { output } = context
    const summary = await daemonOf(context).call(
      'scrub',
      {},
      {
        signal: context.signal,
        onEvent: (event) => {
          output.message(event)
          const read = `${formatBytes(event.bytes_read)} of ${formatBytes(event.bytes_total)} read`
          output.progress(`${count(event.shards_read, 'shard')}, ${read}`, Date.now())
        },
      },
    )
    for (const { vault, pack, index } of summary.damaged.slice(0, LISTED_MAX)) {
      const name = `shard ${index} of pack ${pack.slice(0, 8)}`
      output.line(`damaged: ${name} of vault ${vault.slice(0, 8)}`)
    }
    const { num_damaged: damaged } = summary
    if (damaged > LISTED_MAX) output.line(`… and ${damaged - LISTED_MAX} more`)
    const read = `${count(summary.shards_read, 'shard')} (${formatBytes(summary.bytes_read)})`
    output.line(`read and verified ${read} in ${summary.seconds_elapsed} s`)
    output.message(summary)
    if (damaged === 0) {
      output.line('no damage found')
      return EXIT.done
    }
    output.warn(
      `${count(damaged, 'shard')} damaged`,
      'they are made anew from the other hosts; look at the health of the disk',
    )
    return EXIT.failed
  },
}
