import { access, constants, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { type DoctorCheck, EXIT, isMoyaiError, printable } from '@moyai/protocol/command'

import { type Command, type Context, daemonOf } from '../command.ts'
import { count } from '../output.ts'

const MARKS = { ok: 'ok      ', note: 'note    ', problem: 'PROBLEM ' } as const

/** What can be said without the daemon: why it may not be running. */
async function withoutDaemon({ home }: Context): Promise<DoctorCheck[]> {
  const daemon: DoctorCheck = {
    check: 'daemon',
    result: 'problem',
    text: 'no daemon is running for this state directory',
    hint: 'start it with: moyai daemon',
  }
  const bad = (text: string, hint: string): DoctorCheck[] => [
    { check: 'home', result: 'problem', text, hint },
    daemon,
  ]
  try {
    await stat(join(home, 'identity.key'))
  } catch {
    return bad(
      `there is no moyai host in ${home}`,
      'make one with moyai init; MOYAI_HOME names the folder',
    )
  }
  try {
    await access(home, constants.R_OK | constants.W_OK | constants.X_OK)
    await access(join(home, 'identity.key'), constants.R_OK)
  } catch {
    return bad(
      `this user cannot read and write ${home}`,
      'run moyai as the user whose folder it is; is the disk mounted read-only?',
    )
  }
  return [{ check: 'home', result: 'ok', text: `state directory ${home}`, hint: null }, daemon]
}

/** `moyai doctor`. */
export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'what is wrong with this host or its connections, and what to do about it',
  usage: `

Looks at the daemon, the disk, the keys, the clocks and the way to every other host, and asks some
of them to reach this one. Exit codes: 0 all well (notes apart) · 1 something needs a person.`,
  options: {},
  async run(_args, context) {
    const { output } = context
    let checks: DoctorCheck[]
    try {
      checks = (await daemonOf(context).call('doctor', {}, context)).checks
    } catch (error) {
      if (!isMoyaiError(error, 'DAEMON_UNREACHABLE')) throw error
      checks = await withoutDaemon(context)
    }
    for (const { check, result, text, hint } of checks) {
      output.line(`${MARKS[result]}${check}: ${printable(text, 1000)}`)
      if (hint !== null && result !== 'ok') output.say(`        hint: ${hint}`)
    }
    const problems = checks.filter(({ result }) => result === 'problem').length
    const notes = checks.filter(({ result }) => result === 'note').length
    output.line('')
    output.line(
      problems === 0
        ? `All well${notes === 0 ? '' : `, ${count(notes, 'note')}`}.`
        : `${count(problems, 'problem')}, ${count(notes, 'note')}.`,
    )
    output.message({ message_type: 'summary', problems, notes, checks })
    return problems === 0 ? EXIT.done : EXIT.failed
  },
}
