/**
 * Reading packs: the directory of a whole pack, and single blobs of any (spec/pack.md §7).
 *
 * Whoever reads has the bytes from others. Every length is checked before it is used, and nothing
 * is decrypted before the key commitment was compared.
 */

import { MoyaiError } from '../errors.ts'
import {
  CODE_K_MAX,
  PACK_FOOTER_BYTES,
  PACK_HEADER_BYTES,
  SEAL_TAG_BYTES,
  SHARD_LENGTH_MAX,
} from '../limits.ts'
import type { Aead, Compressor } from '../ports.ts'
import { decompressBlob, decompressBlobInto } from './compress.ts'
import {
  decodeDirectory,
  decodeFooter,
  wrongEntry,
  type BlobEntry,
  type PackDirectory,
} from './directory.ts'
import { DIRECTORY_NONCE, FOOTER_NONCE, PackKeys } from './keys.ts'

const PACK_LENGTH_MIN = PACK_HEADER_BYTES + SEAL_TAG_BYTES + PACK_FOOTER_BYTES

/** What opens a vault's packs. */
export type PackSecret = { dataKey: Uint8Array; vault: Uint8Array }

/**
 * The directory of a whole pack: how an index is rebuilt from nothing else. SEAL_MISMATCH for
 * another key or changed bytes; MALFORMED, TRUNCATED, TOO_LARGE or UNKNOWN_VERSION for bytes that
 * are no pack. Padding is not looked at: the pack's id vouches for it.
 */
export function readPackDirectory(o: PackSecret & { pack: Uint8Array }): PackDirectory {
  const { pack } = o
  if (pack.length < PACK_LENGTH_MIN) throw new MoyaiError('TRUNCATED', 'too short for a pack')
  if (pack.length > CODE_K_MAX * SHARD_LENGTH_MAX) {
    throw new MoyaiError('TOO_LARGE', `pack of ${pack.length} bytes`)
  }
  const keys = PackKeys.open({ header: pack, dataKey: o.dataKey, vault: o.vault })
  const footerOffset = pack.length - PACK_FOOTER_BYTES
  const footerBytes = keys.unseal({
    kind: 'footer',
    nonce: FOOTER_NONCE,
    sealed: pack.subarray(footerOffset),
  })
  const footer = decodeFooter(footerBytes, pack.length)
  const plaintext = keys.unseal({
    kind: 'directory',
    nonce: DIRECTORY_NONCE,
    sealed: pack.subarray(footer.directoryOffset, footerOffset),
  })
  const directory = decodeDirectory(plaintext, footer.blobsEnd)
  if (directory.blobs.length !== footer.blobCount) {
    throw new MoyaiError(
      'MALFORMED',
      'pack directory: another number of blobs than the footer says',
    )
  }
  return directory
}

/** Opens blobs of one pack; derives its keys once. */
export class PackReader {
  readonly #keys: PackKeys
  readonly #compressor: Compressor | undefined

  /**
   * `header` is the first PACK_HEADER_BYTES of the pack, or `packHeader` of its salt; cipher and
   * compressor are Node's when absent. SEAL_MISMATCH, MALFORMED.
   */
  constructor(o: PackSecret & { header: Uint8Array; aead?: Aead; compressor?: Compressor }) {
    this.#keys = PackKeys.open(o, o.aead)
    this.#compressor = o.compressor
  }

  /**
   * The raw bytes of a blob from its `sealed` bytes. SEAL_MISMATCH unless they are this blob of
   * this pack; MALFORMED when the entry or the compressed bytes are not sound. Chunk ids are for
   * the caller to check.
   */
  open(entry: BlobEntry, sealed: Uint8Array): Uint8Array<ArrayBuffer> {
    checkEntry(entry, sealed)
    const stored = this.#keys.unseal({ kind: entry.kind, nonce: entry.index, sealed })
    if (entry.compression === 'none') return stored
    return decompressBlob(stored, entry.rawLength, this.#compressor)
  }

  /**
   * Like `open`, without memory of its own: uses up `sealed`, and gives a view of it or of `room`,
   * which has at least the entry's `rawLength` bytes.
   */
  openInPlace(entry: BlobEntry, sealed: Uint8Array, room: Uint8Array): Uint8Array {
    checkEntry(entry, sealed)
    const stored = this.#keys.unsealInPlace({ kind: entry.kind, nonce: entry.index, sealed })
    if (entry.compression === 'none') return stored
    const raw = room.subarray(0, entry.rawLength)
    decompressBlobInto(stored, raw, this.#compressor)
    return raw
  }
}

function checkEntry(entry: BlobEntry, sealed: Uint8Array): void {
  const wrong = wrongEntry(entry)
  if (wrong !== undefined) throw new MoyaiError('MALFORMED', `blob entry: ${wrong}`)
  if (sealed.length !== entry.sealedLength) {
    throw new MoyaiError('TRUNCATED', 'blob of another length than its entry says')
  }
}

/** One blob, as `PackReader` opens it. */
export function openBlob(
  o: PackSecret & { header: Uint8Array; entry: BlobEntry; sealed: Uint8Array },
): Uint8Array {
  return new PackReader(o).open(o.entry, o.sealed)
}
