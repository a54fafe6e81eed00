/** What both kinds of worker are built from. */

import { toMoyaiError, vaultSigner } from '@moyai/protocol'
import type { Hasher } from '@moyai/protocol'

import { loadCodec } from '../codec.ts'
import { loadAead } from '../native/aead.ts'
import { loadCompressor } from '../native/zstd.ts'
import { systemRandom } from '../random.ts'
import type { Failure, WorkerSetup } from './messages.ts'
import { PackWriter } from './pack-writer.ts'
import type { PackNotice } from './pack-writer.ts'
import type { SharedState } from './shared-state.ts'

const MIB = 1024 * 1024

/**
 * Trees compress well and are read one page at a time, so their packs are smaller: less memory and
 * padding. A pack holds a directory page or an index segment of 1 MiB in any case.
 */
function shardLengthMax(packClass: 'data' | 'meta', k: number): number {
  return packClass === 'meta' && k > 1 ? MIB : 4 * MIB
}

/** The pack writer of a worker. */
export function makePackWriter(
  setup: WorkerSetup,
  o: {
    packClass: 'data' | 'meta'
    hasher: Hasher
    state: SharedState
    onPack: (pack: PackNotice) => void
  },
): PackWriter {
  const { bundle, code, stripeClass, created, protectedUntil, compressionLevel, outbox } = setup
  const signer = vaultSigner(bundle)
  const options = {
    code,
    shardLengthMax: shardLengthMax(o.packClass, code.k),
    packClass: o.packClass,
    stripeClass,
    vault: signer.publicKey,
    vaultSalt: bundle.salt,
    dataKey: bundle.dataKey,
    created,
    protectedUntil,
    compressionLevel,
    outbox,
  }
  const { hasher, state, onPack } = o
  const codec = loadCodec()
  return new PackWriter(options, {
    codec,
    hasher,
    random: systemRandom,
    signer,
    state,
    compressor: loadCompressor(),
    aead: loadAead(),
    onPack,
  })
}

/** Any thrown value as a message to the main thread. */
export function failureOf(error: unknown): Failure {
  const { code, message, hint } = toMoyaiError(error)
  return { type: 'failed', code, message, ...(hint === undefined ? {} : { hint }) }
}
