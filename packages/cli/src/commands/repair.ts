import { EXIT } from '@moyai/protocol/command'

import { type Command, daemonOf } from '../command.ts'
import { count, formatBytes } from '../output.ts'

const LISTED_MAX = 50

export const repairCommand: Command = {
  name: 'repair',
  summary: 'make lost shards again on other hosts, now; the daemon does so by itself',
  usage: `

Repairs the stripes of which this host has a shard, and those of its own vault. Exit codes: 0 all
are whole · 21 some still lack shards, for want of hosts or because others are at work on them ·
22 of some too few shards are left (each is named).`,
  options: {},
  async run(_args, context) {
    const { output } = context
    const summary = await daemonOf(context).call(
      'repair',
      {},
      {
        signal: context.signal,
        onEvent: (event) => {
          output.message(event)
          const done = `${count(event.stripes_repaired, 'stripe')} repaired, ${event.stripes_left} left`
          output.progress(`${done}, ${formatBytes(event.bytes_placed)} placed`, Date.now())
        },
      },
    )
    const { lost, stripes_lost: lostCount, stripes_left: left } = summary
    for (const { vault, pack, have, need } of lost.slice(0, LISTED_MAX)) {
      const name = `pack ${pack.slice(0, 8)} of vault ${vault.slice(0, 8)}`
      output.line(`lost: ${name}: ${have} of ${need} needed shards are left`)
    }
    if (lostCount > LISTED_MAX) output.line(`… and ${lostCount - LISTED_MAX} more`)
    const moved = `${formatBytes(summary.bytes_fetched)} read, ${formatBytes(summary.bytes_placed)} placed`
    output.line(
      `repaired ${count(summary.stripes_repaired, 'stripe')}, ${count(summary.shards_placed, 'shard')}: ${moved} in ${summary.seconds_elapsed} s`,
    )
    output.message(summary)
    if (lostCount > 0) {
      output.warn(
        `${count(lostCount, 'stripe')} cannot be repaired`,
        'bring back a host that had their shards: they are repaired then',
      )
      return EXIT.unrecoverable
    }
    if (left > 0) {
      output.warn(
        `${count(left, 'stripe')} still below what was planned`,
        'more hosts have to be online, with room in enough places; the daemon goes on by itself',
      )
      return EXIT.belowPolicy
    }
    output.line('nothing is left to repair')
    return EXIT.done
  },
}
