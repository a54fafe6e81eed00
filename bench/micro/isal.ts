/** ISA-L, the fastest erasure code there is, by a small C program compiled for the occasion. */

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import type { Contender } from './contest.ts'

const SOURCE = fileURLToPath(new URL('isal.c', import.meta.url))

/** The compiled program in `folder`; undefined without a C compiler or ISA-L and its headers. */
export function compileIsal(folder: string): string | undefined {
  const program = join(folder, 'isal')
  try {
    execFileSync('cc', ['-O2', '-o', program, SOURCE, '-lisal'], { stdio: 'ignore' })
    return program
  } catch {
    return undefined
  }
}

/** `matrix` (a row of factors for each target) times `sources`, by ISA-L. */
export class IsalProduct implements Contender {
  readonly name = 'isa-l'
  readonly #program: string
  readonly #files: [string, string, string]
  readonly #shape: { sources: number; targets: number; length: number }

  constructor(
    o: { program: string; folder: string; length: number },
    sources: readonly Uint8Array[],
    matrix: readonly Uint8Array[],
  ) {
    const file = (name: string): string => join(o.folder, name)
    this.#program = o.program
    this.#files = [file('shards'), file('matrix'), file('result')]
    this.#shape = { sources: sources.length, targets: matrix.length, length: o.length }
    writeFileSync(this.#files[0], Buffer.concat(sources))
    writeFileSync(this.#files[1], Buffer.concat(matrix))
  }

  rate(milliseconds: number): number {
    const { sources, targets, length } = this.#shape
    const numbers = [sources, targets, length, milliseconds].map(String)
    return Number(execFileSync(this.#program, [...this.#files, ...numbers], { encoding: 'utf8' }))
  }

  /** The target shards, one after the other. */
  result(): Uint8Array {
    this.rate(0)
    return readFileSync(this.#files[2])
  }
}
