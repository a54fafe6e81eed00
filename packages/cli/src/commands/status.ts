import { type Command, daemonOf } from '../command.ts'
import { count, formatBytes } from '../output.ts'
import { ago, countMembers, hostTable } from './host-table.ts'

export const statusCommand: Command = {
  name: 'status',
  summary: 'what is protected, what could be lost, how old the proof is',
  usage: '',
  options: {},
  async run(_args, context) {
    const { output } = context
    const status = await daemonOf(context).call('status', {}, context)
    const now = Date.now()
    output.line(output.bold(status.protection.text))
    if (status.protection.checkedAt !== null) {
      output.line(`  evidence: the hosts were asked ${ago(status.protection.checkedAt, now)}`)
    }
    output.line('')
    if (status.pool === null) {
      output.line('This host is in no pool.')
      output.say('hint: moyai pool create NAME starts one, moyai pool join TOKEN joins one')
    } else {
      output.line(
        `Pool ${status.pool.name}, ${countMembers(status.hosts)}. Policy ${status.policy.text}`,
      )
      output.line(status.policy.explain)
      output.line('')
      output.line(hostTable(status.hosts, now))
    }
    output.line('')
    output.line(
      `${count(status.vault.snapshots, 'snapshot')}, newest ${ago(status.vault.lastSnapshotAt, now)}; ` +
        `${formatBytes(status.vault.bytes)} of files, ${formatBytes(status.vault.stored)} at the other hosts`,
    )
    const { stripes } = status.protection
    output.line(
      `${count(stripes.total, 'stripe')}: ${stripes.full} complete` +
        Object.entries(stripes)
          .filter(([key, value]) => key.startsWith('missing') && value > 0)
          .map(([key, value]) => `, ${value} lacking ${key.slice('missing'.length)}`)
          .join('') +
        (stripes.unrecoverable > 0 ? `, ${stripes.unrecoverable} unrecoverable` : ''),
    )
    for (const { lose, outcome } of status.protection.whatIf)
      output.say(`  without ${lose}: ${outcome}`)
    output.line(
      `every shard last read back and verified: ${ago(status.proof.lastReadDataAt, now)} (moyai check --read-data)`,
    )
    for (const alarm of status.alarms)
      output.line(`ALARM ${alarm.code}: ${alarm.text} (since ${alarm.since})`)
    output.message({ message_type: 'summary', ...status })
    return 0
  },
}
