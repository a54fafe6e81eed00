/**
 * `moyai`: finds the command, runs it, turns its outcome into an exit code. Nothing else happens
 * here.
 */

import { MoyaiError, toMoyaiError } from '@moyai/protocol/command'

import { type Arguments, parseArguments, usage } from './arguments.ts'
import type { Command, Context } from './command.ts'
import { callerDirectory, homeDirectory } from './environment.ts'
import { Output } from './output.ts'

/** A command by its names, the first of which is its own; its code is loaded when asked for. */
type Listed = { names: readonly string[]; load: () => Promise<Command> }

const pool = (): Promise<typeof import('./commands/pool.ts')> => import('./commands/pool.ts')

const poolHosts = (): Promise<typeof import('./commands/pool-hosts.ts')> =>
  import('./commands/pool-hosts.ts')

const absence = (): Promise<typeof import('./commands/pool-absence.ts')> =>
  import('./commands/pool-absence.ts')

const COMMANDS: readonly Listed[] = [
  { names: ['demo'], load: async () => (await import('./commands/demo.ts')).demoCommand },
  { names: ['init'], load: async () => (await import('./commands/init.ts')).initCommand },
  { names: ['daemon'], load: async () => (await import('./commands/daemon.ts')).daemonCommand },
  { names: ['pool create'], load: async () => (await pool()).createCommand },
  { names: ['pool invite'], load: async () => (await pool()).inviteCommand },
  { names: ['pool join'], load: async () => (await pool()).joinCommand },
  { names: ['pool hosts'], load: async () => (await poolHosts()).hostsCommand },
  { names: ['pool label'], load: async () => (await poolHosts()).labelCommand },
  { names: ['pool away'], load: async () => (await absence()).awayCommand },
  { names: ['pool back'], load: async () => (await absence()).backCommand },
  { names: ['pool lost'], load: async () => (await absence()).lostCommand },
  { names: ['pool retire'], load: async () => (await poolHosts()).retireCommand },
  { names: ['pool revoke'], load: async () => (await poolHosts()).revokeCommand },
  { names: ['pool policy'], load: async () => (await poolHosts()).policyCommand },
  {
    names: ['store', 'backup'],
    load: async () => (await import('./commands/store.ts')).storeCommand,
  },
  {
    names: ['retrieve', 'restore'],
    load: async () => (await import('./commands/retrieve.ts')).retrieveCommand,
  },
  {
    names: ['snapshots'],
    load: async () => (await import('./commands/snapshots.ts')).snapshotsCommand,
  },
  { names: ['ls'], load: async () => (await import('./commands/ls.ts')).lsCommand },
  { names: ['status'], load: async () => (await import('./commands/status.ts')).statusCommand },
  { names: ['limit'], load: async () => (await import('./commands/limit.ts')).limitCommand },
  { names: ['doctor'], load: async () => (await import('./commands/doctor.ts')).doctorCommand },
  { names: ['check'], load: async () => (await import('./commands/check.ts')).checkCommand },
  { names: ['scrub'], load: async () => (await import('./commands/scrub.ts')).scrubCommand },
  { names: ['repair'], load: async () => (await import('./commands/repair.ts')).repairCommand },
  { names: ['version'], load: async () => (await import('./commands/version.ts')).versionCommand },
]

async function find(words: readonly string[]): Promise<{ command: Command; taken: number }> {
  for (const taken of [2, 1]) {
    const name = words.slice(0, taken).join(' ')
    const listed = COMMANDS.find(({ names }) => names.includes(name))
    if (listed !== undefined && words.length >= taken) {
      return { command: await listed.load(), taken }
    }
  }
  if (words[0] === 'pool') {
    const names = COMMANDS.flatMap((one) => one.names.filter((name) => name.startsWith('pool ')))
    const known = names.map((name) => name.slice('pool '.length)).join(', ')
    throw usage(`pool takes one of ${known}`, 'moyai pool create NAME starts a pool')
  }
  throw usage(`there is no command "${words[0] ?? ''}"`)
}

async function help(): Promise<string> {
  const commands = await Promise.all(COMMANDS.map((listed) => listed.load()))
  const width = Math.max(...commands.map((command) => command.name.length))
  return [
    'moyai: backups that other machines of your pool keep for you',
    '',
    'usage: moyai COMMAND …   (moyai COMMAND --help tells more)',
    '',
    ...commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`),
    '',
    'Every command takes --json, -q and -v. MOYAI_HOME names the state directory.',
  ].join('\n')
}

function outputFor(args: Arguments | undefined): Output {
  return new Output(
    {
      json: args?.flag('json') ?? process.argv.includes('--json'),
      quiet: args?.flag('quiet') ?? false,
      verbosity: args?.times('verbose') ?? 0,
    },
    {
      out: process.stdout,
      err: process.stderr,
      noColour: (process.env['NO_COLOR'] ?? '') !== '',
    },
  )
}

/** Signals become one AbortSignal; a second one ends the process at once. */
function interruption(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(130)
      controller.abort(new MoyaiError('ABORTED', 'interrupted'))
    })
  }
  return controller.signal
}

/** Runs `moyai WORDS`; resolves with the exit code. */
export async function run(words: string[]): Promise<number> {
  const first = words[0]
  if (first === undefined || first === 'help' || first === '--help' || first === '-h') {
    process.stdout.write(`${await help()}\n`)
    return first === undefined ? 2 : 0
  }
  let output = outputFor(undefined)
  try {
    const { command, taken } = await find(first === '--version' ? ['version'] : words)
    const args = parseArguments(words.slice(taken), command.options)
    output = outputFor(args)
    if (args.flag('help')) {
      process.stdout.write(`usage: moyai ${command.name} ${command.usage}\n`)
      return 0
    }
    const cwd = callerDirectory(process.env, process.cwd())
    const context: Context = {
      env: process.env,
      cwd,
      home: homeDirectory(process.env, cwd),
      output,
      signal: interruption(),
    }
    return await command.run(args, context)
  } catch (thrown) {
    const error = toMoyaiError(thrown)
    output.fail(error)
    if (error.code === 'INTERNAL' && thrown instanceof Error) {
      process.stderr.write(`${thrown.stack ?? ''}\n`)
    }
    return error.exitCode
  }
}
