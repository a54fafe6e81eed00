/** Erasure code: our kernel, the reference package, ISA-L. */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

import {
  assert,
  equalBytes,
  kernelCodec,
  plainCodec,
  reedSolomonErasureCodec,
} from '@moyai/protocol'
import type { Code, Codec } from '@moyai/protocol'

import { contest, inThread, noise } from './contest.ts'
import type { Row } from './contest.ts'
import { compileIsal, IsalProduct } from './isal.ts'

const CODES: readonly Code[] = [
  { k: 4, m: 2 },
  { k: 6, m: 3 },
  { k: 10, m: 4 },
]
/** 4 MiB is what the packs of a large store have; 64 KiB stays in the processor's cache. */
const SHARD_LENGTHS: readonly number[] = [64 * 1024, 1024 * 1024, 4 * 1024 * 1024]
const TARGET = { 'reed-solomon-erasure': 8, 'isa-l': 0.45 }

const protocolRequire = createRequire(import.meta.resolve('@moyai/protocol'))
const WASM = protocolRequire.resolve('reed-solomon-erasure/reed_solomon_erasure_bg.wasm')

/** Which shards are there: all, or all but the first m, which are data. */
type Loss = { present: readonly boolean[]; sources: readonly number[]; targets: readonly number[] }

function lossOf({ k, m }: Code, work: 'encode' | 'reconstruct'): Loss {
  const all = Array.from({ length: k + m }, (_, i) => i)
  const first = work === 'encode' ? k : 0
  const targets = all.slice(first, first + m)
  const present = all.map((i) => !targets.includes(i))
  return { present, targets, sources: all.filter((i) => present[i]) }
}

/** The factors that lead from sources to targets: what becomes of unit vectors. */
function matrixOf(code: Code, { present, sources, targets }: Loss): Uint8Array[] {
  const { k, m } = code
  const shards = new Uint8Array((k + m) * k)
  for (const [at, i] of sources.entries()) shards[i * k + at] = 1
  plainCodec().reconstruct(code, k, shards, present)
  return targets.map((i) => shards.slice(i * k, (i + 1) * k))
}

function run(codec: Codec, o: { code: Code; length: number; shards: Uint8Array; loss: Loss }) {
  const { code, length, shards, loss } = o
  const isEncoding = loss.targets[0] === code.k
  return () => {
    if (isEncoding) codec.encode(code, length, shards)
    else codec.reconstruct(code, length, shards, loss.present)
  }
}

/** Rows of encoding and reconstructing; `folder` takes what ISA-L reads and writes. */
export function reedSolomonRows(folder: string): Row[] {
  const program = compileIsal(folder)
  const kernel = kernelCodec()
  assert(kernel !== undefined, 'this machine runs the kernel')
  const reference = reedSolomonErasureCodec(readFileSync(WASM))
  const rows: Row[] = []
  for (const work of ['encode', 'reconstruct'] as const) {
    for (const code of CODES) {
      for (const length of SHARD_LENGTHS) {
        const { k, m } = code
        const loss = lossOf(code, work)
        const whole = new Uint8Array((k + m) * length)
        whole.set(noise(k * length))
        reference.encode(code, length, whole)
        const shard = (i: number): Uint8Array => whole.subarray(i * length, (i + 1) * length)
        // the larger buffer makes sure that even small shards lie in the kernel's memory
        const own = kernel.allocate(whole.length + 1024 * 1024).subarray(0, whole.length)
        own.set(whole)
        const other = whole.slice()
        const theirs = whole.slice()
        const buffers = [own, other, theirs] as const
        for (const shards of buffers) {
          for (const i of loss.targets) shards.fill(0, i * length, (i + 1) * length)
        }
        const inPlace = run(kernel, { code, length, shards: own, loss })
        const copying = run(kernel, { code, length, shards: other, loss })
        const packaged = run(reference, { code, length, shards: theirs, loss })
        for (const once of [inPlace, copying, packaged]) once()
        for (const shards of buffers) assert(equalBytes(shards, whole), 'all give the same bytes')
        let isal: IsalProduct | undefined
        if (program !== undefined) {
          const matrix = matrixOf(code, loss)
          isal = new IsalProduct({ program, folder, length }, loss.sources.map(shard), matrix)
          const expected = Buffer.concat(loss.targets.map(shard))
          assert(equalBytes(isal.result(), expected), 'ISA-L gives the same bytes')
        }
        const name = `Reed-Solomon ${work} ${k}+${m}, ${length / 1024} KiB shards`
        const input = k * length
        const peers = [
          inThread('reed-solomon-erasure', input, packaged),
          isal ?? 'isa-l',
          inThread('moyai, copied in and out', input, copying),
        ]
        const moyai = inThread('moyai', input, inPlace)
        const target = work === 'encode' ? { target: TARGET } : {}
        rows.push(contest({ row: name, moyai, peers, ...target }))
      }
    }
  }
  return rows
}
