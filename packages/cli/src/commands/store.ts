import { resolve } from 'node:path'
import { readFile } from 'node:fs/promises'

import { EXIT, MoyaiError, printable, type StoreSummary } from '@moyai/protocol/command'

import { usage } from '../arguments.ts'
import { type Command, daemonOf } from '../command.ts'
import { count, formatBytes, formatSeconds, type Output } from '../output.ts'

export const storeCommand: Command = {
  name: 'store',
  summary: 'store folders and files as one snapshot',
  usage: `PATH… [options]

  --name SOURCE        name of the source (default: the path)
  --tag T              a tag for the snapshot; repeatable
  --exclude P          leave out what matches (as in .gitignore); repeatable
  --exclude-file F     read such patterns from a file; repeatable
  --policy P           what this source must survive, such as "host=3 site=2"; kinds that are not
                       named are the pool's (moyai pool policy)
  --dry-run            tell what would be stored, store nothing
  --no-wait            return at once; the daemon goes on
  --outbox             with too few hosts there, keep the data here (exit code 20) and store it
                       when they are back

Exit codes: 0 protected · 3 some files could not be read · 20 too few hosts, nothing committed ·
21 committed, but not yet as safe as the policy asks.`,
  options: {
    name: { type: 'string' },
    tag: { type: 'string', multiple: true },
    exclude: { type: 'string', multiple: true },
    'exclude-file': { type: 'string', multiple: true },
    'dry-run': { type: 'boolean', short: 'n' },
    'no-wait': { type: 'boolean' },
    outbox: { type: 'boolean' },
    policy: { type: 'string' },
  },
  async run(args, context) {
    if (args.positionals.length === 0) throw usage('store takes at least one PATH')
    const { output } = context
    const name = args.text('name')
    const policy = args.text('policy')
    const excludes = [...args.texts('exclude')]
    for (const file of args.texts('exclude-file')) {
      excludes.push(...(await patternsOf(resolve(context.cwd, file))))
    }
    const summary = await daemonOf(context).call(
      'store',
      {
        paths: args.positionals.map((path) => resolve(context.cwd, path)),
        ...(name === undefined ? {} : { name }),
        tags: args.texts('tag'),
        excludes,
        dryRun: args.flag('dry-run'),
        wait: !args.flag('no-wait'),
        ...(policy === undefined ? {} : { policy }),
        ...(args.flag('outbox') ? { outbox: true } : {}),
      },
      {
        signal: context.signal,
        onEvent: (event) => {
          output.message(event)
          if (event.message_type === 'error') {
            output.warn(`${printable(event.item, 500)}: ${printable(event.error.message, 500)}`)
            return
          }
          const share =
            event.percent_done === null ? '' : `${(event.percent_done * 100).toFixed(0)} %, `
          const left =
            event.seconds_remaining === null
              ? ''
              : `, ${formatSeconds(event.seconds_remaining)} left`
          const rate = event.bytes_done / Math.max(0.001, event.seconds_elapsed)
          output.progress(
            `${event.phase}: ${share}${count(event.files_done, 'file')}, ${formatBytes(event.bytes_done)}, ${formatBytes(rate)}/s${left}`,
            Date.now(),
          )
        },
      },
    )
    report(summary, output)
    output.message(summary)
    return exitCodeOf(summary)
  },
}

async function patternsOf(file: string): Promise<string[]> {
  try {
    const text = await readFile(file, 'utf8')
    return text.split(/\r?\n/).filter((line) => line !== '' && !line.startsWith('#'))
  } catch (cause) {
    throw new MoyaiError('USAGE', `the exclude file ${printable(file)} cannot be read`, { cause })
  }
}

function exitCodeOf(summary: StoreSummary): number {
  if (summary.snapshot_id !== null && summary.state !== 'protected') return EXIT.belowPolicy
  return summary.error_count > 0 ? EXIT.someFilesFailed : EXIT.done
}

function report(summary: StoreSummary, output: Output): void {
  const files = count(summary.total_files_processed, 'file')
  const bytes = formatBytes(summary.total_bytes_processed)
  const took = formatSeconds(summary.total_duration)
  if (summary.dry_run) {
    output.line(
      `would store: ${files}, ${bytes} (${summary.files_new} new, ${summary.files_changed} changed)`,
    )
    return
  }
  if (summary.snapshot_id === null) {
    output.line(
      'the daemon goes on storing; moyai snapshots shows the snapshot when it is complete',
    )
    return
  }
  output.line(`snapshot ${summary.snapshot_id.slice(0, 8)}: ${files}, ${bytes} in ${took}`)
  output.say(
    `  ${summary.files_new} new, ${summary.files_changed} changed, ${summary.files_unmodified} unchanged; ` +
      `${formatBytes(summary.data_added)} of new content, ${formatBytes(summary.bytes_sent)} sent as ${count(summary.shards_sent, 'shard')} (code ${summary.code})`,
  )
  if (summary.state === 'protected') {
    output.line(
      `protected: every shard is on disk at its holder; ${summary.confirmed_by} of ${count(summary.reachable_hosts, 'reachable host')} confirmed the snapshot`,
    )
  } else {
    const { reason, hint } = shortcoming(summary)
    output.warn(`${summary.state}: the snapshot is committed, but ${reason}`, hint)
  }
  if (summary.error_count > 0) {
    output.warn(
      `${count(summary.error_count, 'file')} could not be read and ${summary.error_count === 1 ? 'is' : 'are'} not in the snapshot`,
    )
  }
}

/** Why a committed snapshot is not protected, and what helps. */
function shortcoming(summary: StoreSummary): { reason: string; hint: string } {
  if (summary.missing_shards > 0) {
    return {
      reason: `${count(summary.missing_shards, 'shard')} found no host yet`,
      hint: 'they are placed by themselves when more hosts are reachable; moyai status shows how it stands',
    }
  }
  if (summary.confirmed_by * 2 <= summary.reachable_hosts) {
    return {
      reason: `only ${summary.confirmed_by} of ${count(summary.reachable_hosts, 'reachable host')} confirmed it`,
      hint: 'it is sent to the others again by itself; moyai status shows how it stands',
    }
  }
  return {
    reason: 'this pool is too small to survive what the policy asks for',
    hint: 'add hosts with moyai pool invite; moyai status says what could be lost',
  }
}
