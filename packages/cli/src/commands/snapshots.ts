import { printable } from '@moyai/protocol/command'

import { type Command, daemonOf } from '../command.ts'
import { formatBytes, table } from '../output.ts'

export const snapshotsCommand: Command = {
  name: 'snapshots',
  summary: 'list the snapshots of this host',
  usage: '',
  options: {},
  async run(_args, context) {
    const { output } = context
    const result = await daemonOf(context).call('snapshots', {}, context)
    if (result.snapshots.length === 0) {
      output.line('no snapshots yet')
      output.say('hint: moyai store PATH makes one')
    } else {
      output.line(
        table(
          ['id', 'time', 'source', 'files', 'size', 'tags', ''],
          result.snapshots.map((snapshot) => [
            snapshot.short_id,
            snapshot.time.replace('T', ' ').replace(/\..*$/, ''),
            printable(snapshot.source, 60),
            String(snapshot.summary.total_files_processed),
            formatBytes(snapshot.summary.total_bytes_processed),
            printable(snapshot.tags.join(','), 40),
            snapshot.partial ? 'some files could not be read' : '',
          ]),
        ),
      )
    }
    output.message({ message_type: 'summary', ...result })
    return 0
  },
}
