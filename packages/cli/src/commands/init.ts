import { hostname } from 'node:os'
import { resolve } from 'node:path'

import { toHex } from '@moyai/protocol/command'

import { parseSize, usage } from '../arguments.ts'
import type { Command } from '../command.ts'
import { count, type Output } from '../output.ts'

const CLASSES = ['always-on', 'desktop', 'laptop'] as const
const OFFER_DEFAULT = '100GB'

/** The machine's own name, made to fit what a host may be called. */
function nameOfMachine(): string {
  const first = hostname().split('.')[0] ?? ''
  const label = first.replace(/[^A-Za-z0-9_-]/g, '-').replace(/^[-_]+/, '')
  return label.slice(0, 63) || 'host'
}

export const initCommand: Command = {
  name: 'init',
  summary: 'make this machine a host: its identity, its vault, its recovery phrase',
  usage: `[options]

  --name N             what the others call this host (default: the machine's name)
  --site S             the building it stands in (default: "main")
  --provider P         who runs the machine: "self" (default) or a company
  --class C            always-on, desktop (default) or laptop
  --offer SIZE         disk space it offers to the others (default: ${OFFER_DEFAULT})
  --listen MULTIADDR   where it listens; repeatable (default: port 4001 on every address)
  --join TOKEN         join the pool of an invite; a same-org one brings the keys: no phrase then
  --phrase-file F      write the recovery phrase there (mode 0600) instead of printing it`,
  options: {
    name: { type: 'string' },
    site: { type: 'string' },
    provider: { type: 'string' },
    class: { type: 'string' },
    offer: { type: 'string' },
    listen: { type: 'string', multiple: true },
    'phrase-file': { type: 'string' },
    join: { type: 'string' },
  },
  async run(args, { home, cwd, output, signal }) {
    if (args.positionals.length > 0) throw usage(`init takes no "${args.positionals[0]}"`)
    const phraseFile = args.text('phrase-file')
    const offer = args.text('offer') ?? OFFER_DEFAULT
    parseSize(offer, '--offer')
    const name = args.text('name') ?? nameOfMachine()
    const listen = args.texts('listen')
    const daemon = await import('@moyai/daemon/init')
    const { initHome, systemClock, systemRandom } = daemon
    const token = args.text('join')
    const keys = token === undefined ? undefined : await daemon.keysOfToken(token, signal)
    if (keys !== undefined && phraseFile !== undefined) {
      throw usage('this invite brings the keys: there is no phrase to write to --phrase-file')
    }
    const made = await initHome({
      home,
      settings: {
        name,
        site: args.text('site') ?? 'main',
        provider: args.text('provider') ?? 'self',
        class: args.choice('class', CLASSES, 'desktop'),
        offer,
        ...(listen.length === 0 ? {} : { listen }),
      },
      ...(phraseFile === undefined ? {} : { phraseFile: resolve(cwd, phraseFile) }),
      ...(keys === undefined ? {} : { keys }),
      random: systemRandom,
      clock: systemClock,
    })
    output.say(`This machine is now the host "${name}". State directory: ${home}`)
    output.say(`Host id: ${toHex(made.host)}`)
    showPhrase(output, { phrase: made.phrase, file: phraseFile && resolve(cwd, phraseFile) })
    const message = {
      message_type: 'initialized',
      name,
      id: toHex(made.host),
      vault: toHex(made.vault),
      org: toHex(made.org),
      home,
      ...(phraseFile === undefined ? { phrase: made.phrase } : { phrase_file: phraseFile }),
    }
    output.message(message)
    if (token === undefined) {
      output.say('')
      output.say(
        'Next: moyai daemon   (and in another terminal: moyai pool create NAME, or pool join TOKEN)',
      )
      return 0
    }
    const pool = await daemon.joinWithHome(home, token, signal)
    output.say(
      `It is in the pool "${pool.name}", with ${count(pool.hosts.size - 1, 'other host')}.`,
    )
    output.say('Next: moyai daemon')
    output.message({
      message_type: 'summary',
      pool: { id: toHex(pool.id), name: pool.name },
      hosts: pool.hosts.size,
    })
    return 0
  },
}

/** Shows the phrase, or says where it is; says nothing when there is none of this machine's. */
function showPhrase(
  output: Output,
  { phrase, file }: { phrase: string | undefined; file: string | undefined },
): void {
  if (phrase === undefined) {
    output.say('It belongs to the organisation that invited it: the recovery phrase is the same.')
    return
  }
  if (file !== undefined) {
    output.say(`The recovery phrase is in ${file}: print it, then delete the file.`)
    return
  }
  output.line('')
  output.line('Recovery phrase. It is shown this once and kept nowhere on this machine:')
  output.line('')
  const words = phrase.split(' ')
  for (let row = 0; row < words.length; row += 6) {
    const cells = words.slice(row, row + 6).map((word, i) => `${row + i + 1}. ${word}`.padEnd(14))
    output.line(`  ${cells.join('').trimEnd()}`)
  }
  output.line('')
  output.say(
    'Write it on paper. Whoever has it can read every backup of your organisation; without',
  )
  output.say('it, a backup whose machine is lost cannot be opened by anybody.')
}
