/** Getting a recovery phrase from a person: from a file, standard input, or typed unseen. */

import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'

import { MoyaiError, phraseToSecret } from '@moyai/protocol'

import type { Context } from './command.ts'

/** 24 words with generous numbering; a larger file is something else. */
const PHRASE_BYTES_MAX = 4096

/**
 * The organisation secret (32 bytes) of the phrase in `file` (`-`: standard input), or, without a
 * file, typed at the terminal. BAD_PHRASE; USAGE when there is nobody to ask. Nothing that was
 * typed is in any error.
 */
export async function readSecret(context: Context, o: { file?: string }): Promise<Uint8Array> {
  if (o.file === undefined) return phraseToSecret(await askUnseen())
  return phraseToSecret(o.file === '-' ? await readInput() : await readPhraseFile(context, o.file))
}

async function readPhraseFile({ cwd }: Context, name: string): Promise<string> {
  const path = resolve(cwd, name)
  try {
    const bytes = await readFile(path)
    if (bytes.length <= PHRASE_BYTES_MAX) return bytes.toString('utf8')
  } catch (cause) {
    throw new MoyaiError('USAGE', `the phrase file ${path} cannot be read`, { cause })
  }
  throw new MoyaiError('BAD_PHRASE', `${path} is too large for a recovery phrase`)
}

async function readInput(): Promise<string> {
  let text = ''
  for await (const part of process.stdin.setEncoding('utf8') as AsyncIterable<string>) {
    text += part
    if (text.length > PHRASE_BYTES_MAX) {
      throw new MoyaiError('BAD_PHRASE', 'the standard input is too long for a recovery phrase')
    }
  }
  return text
}

/** One line from the terminal that is not shown. */
async function askUnseen(): Promise<string> {
  if (!process.stdin.isTTY) {
    throw new MoyaiError('USAGE', 'the recovery phrase is needed', {
      hint: 'give it with --phrase-file F (- for standard input), or run this on a terminal',
    })
  }
  process.stderr.write('Recovery phrase (24 words, not shown): ')
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: true })
  try {
    return await new Promise((accept, reject) => {
      lines.once('line', accept)
      lines.once('close', () => reject(new MoyaiError('ABORTED', 'interrupted')))
    })
  } finally {
    lines.close()
    process.stderr.write('\n')
  }
}
