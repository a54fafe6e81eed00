import { resolve } from 'node:path'

import { EXIT, printable, type RetrieveSummary } from '@moyai/protocol/command'

import { usage } from '../arguments.ts'
import { type Command, daemonOf } from '../command.ts'
import { count, formatBytes, formatSeconds, type Output } from '../output.ts'

const LISTED_MAX = 20

export const retrieveCommand: Command = {
  name: 'retrieve',
  summary: 'bring a snapshot, a folder or a file back',
  usage: `SNAPSHOT[:PATH] --to DIR [options]

  --to DIR             where it goes; the folder's contents and its own metadata end up in DIR
  --include P          only what matches; repeatable
  --exclude P          leave out what matches; repeatable
  --overwrite W        always (default), if-changed or never
  --verify             read everything back from disk and compare
  --dry-run            tell what would be done, write nothing

SNAPSHOT is "latest", an id or the unique beginning of one.
Exit codes: 0 exact · 3 some files could not be written (listed) · 22 data is unrecoverable (listed).`,
  options: {
    to: { type: 'string' },
    include: { type: 'string', multiple: true },
    exclude: { type: 'string', multiple: true },
    overwrite: { type: 'string' },
    verify: { type: 'boolean' },
    'dry-run': { type: 'boolean', short: 'n' },
  },
  async run(args, context) {
    const [snapshot, ...rest] = args.positionals
    const to = args.text('to')
    if (snapshot === undefined || rest.length > 0) throw usage('retrieve takes one SNAPSHOT')
    if (to === undefined) throw usage('retrieve needs --to DIR', 'an empty folder is a safe choice')
    const { output } = context
    const summary = await daemonOf(context).call(
      'retrieve',
      {
        snapshot,
        to: resolve(context.cwd, to),
        includes: args.texts('include'),
        excludes: args.texts('exclude'),
        overwrite: args.choice('overwrite', ['always', 'if-changed', 'never'], 'always'),
        verify: args.flag('verify'),
        dryRun: args.flag('dry-run'),
      },
      {
        signal: context.signal,
        onEvent: (event) => {
          output.message(event)
          if (event.message_type === 'error') {
            // What is lost is listed at the end; why, shard by shard, only who asks wants to know.
            if (event.error.code === 'UNRECOVERABLE' && output.verbosity === 0) return
            output.warn(`${printable(event.item, 500)}: ${printable(event.error.message, 500)}`)
            return
          }
          const share =
            event.percent_done === null ? '' : `${(event.percent_done * 100).toFixed(0)} %, `
          const rate = event.bytes_restored / Math.max(0.001, event.seconds_elapsed)
          const left =
            event.seconds_remaining === null
              ? ''
              : `, ${formatSeconds(event.seconds_remaining)} left`
          output.progress(
            `retrieving: ${share}${count(event.files_restored, 'file')}, ${formatBytes(event.bytes_restored)}, ${formatBytes(rate)}/s${left}`,
            Date.now(),
          )
        },
      },
    )
    report(summary, output, resolve(context.cwd, to))
    output.message(summary)
    if (summary.unrecoverable.length > 0) return EXIT.unrecoverable
    return summary.error_count > 0 ? EXIT.someFilesFailed : EXIT.done
  },
}

function report(summary: RetrieveSummary, output: Output, to: string): void {
  const done = `${count(summary.files_restored, 'file')}, ${formatBytes(summary.bytes_restored)}`
  if (summary.dry_run) {
    output.line(
      `would retrieve ${count(summary.total_files, 'file')}, ${formatBytes(summary.total_bytes)} to ${to}`,
    )
    return
  }
  output.line(
    `retrieved ${done} of snapshot ${summary.snapshot_id.slice(0, 8)} to ${to} in ${formatSeconds(summary.seconds_elapsed)}`,
  )
  if (summary.files_skipped > 0)
    output.say(`  ${count(summary.files_skipped, 'file')} already there and kept`)
  for (const text of summary.not_kept)
    output.warn(`not kept on this machine: ${printable(text, 500)}`)
  if (summary.unrecoverable.length > 0) {
    output.warn(
      `${count(summary.unrecoverable.length, 'file')} could not be recovered: too few hosts still have their shards`,
    )
    for (const path of summary.unrecoverable.slice(0, LISTED_MAX))
      output.line(`  lost: ${printable(path, 500)}`)
    const more = summary.unrecoverable.length - LISTED_MAX
    if (more > 0) output.line(`  … and ${more} more (--json lists all)`)
  } else if (summary.error_count === 0) {
    output.say(
      summary.verified
        ? '  every byte was verified on its way and again from disk'
        : '  every byte was verified on its way',
    )
  }
}
