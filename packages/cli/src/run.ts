/**
 * `moyai`: finds the command, runs it, turns its outcome into an exit code. Nothing else happens
 * here.
 */

import { MoyaiError, toMoyaiError } from '@moyai/protocol'

import { type Arguments, parseArguments, usage } from './arguments.ts'
import type { Command, Context } from './command.ts'
import { checkCommand } from './commands/check.ts'
import { daemonCommand } from './commands/daemon.ts'
import { demoCommand } from './commands/demo.ts'
import { initCommand } from './commands/init.ts'
import { lsCommand } from './commands/ls.ts'
import { poolCommands } from './commands/pool.ts'
import { retrieveCommand } from './commands/retrieve.ts'
import { snapshotsCommand } from './commands/snapshots.ts'
import { statusCommand } from './commands/status.ts'
import { storeCommand } from './commands/store.ts'
import { versionCommand } from './commands/version.ts'
import { callerDirectory, homeDirectory } from './environment.ts'
import { Output } from './output.ts'

const COMMANDS: readonly Command[] = [
  demoCommand,
  initCommand,
  daemonCommand,
  ...poolCommands,
  storeCommand,
  retrieveCommand,
  snapshotsCommand,
  lsCommand,
  statusCommand,
  checkCommand,
  versionCommand,
]

function find(words: readonly string[]): { command: Command; taken: number } {
  for (const taken of [2, 1]) {
    const name = words.slice(0, taken).join(' ')
    const command = COMMANDS.find(
      (one) => one.name === name || one.aliases?.includes(name) === true,
    )
    if (command !== undefined && words.length >= taken) return { command, taken }
  }
  if (words[0] === 'pool') {
    throw usage('pool takes create, invite, join or hosts', 'moyai pool create NAME starts a pool')
  }
  throw usage(`there is no command "${words[0] ?? ''}"`)
}

function help(): string {
  const width = Math.max(...COMMANDS.map((command) => command.name.length))
  return [
    'moyai: backups that other machines of your pool keep for you',
    '',
    'usage: moyai COMMAND …   (moyai COMMAND --help tells more)',
    '',
    ...COMMANDS.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`),
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
    process.stdout.write(`${help()}\n`)
    return first === undefined ? 2 : 0
  }
  let output = outputFor(undefined)
  try {
    const { command, taken } = find(first === '--version' ? ['version'] : words)
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
