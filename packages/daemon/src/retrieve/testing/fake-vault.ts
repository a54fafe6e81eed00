/** A vault in memory: real packs, stripes, trees and log entries, on the hosts of a `FakePool`. */

import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'

import {
  assert,
  blake3,
  blake3Keyed,
  CHUNK_BYTES_MIN,
  compareBytes,
  compressBlob,
  concatBytes,
  deriveVaultBundle,
  encodeChunkList,
  logEntryId,
  NO_ENTRY,
  PackBuilder,
  PageWriter,
  plainCodec,
  sealSnapshot,
  shardLengthFor,
  signLogEntry,
  signStripe,
  toHex,
  utf8,
  vaultSigner,
} from '@moyai/protocol'
import type {
  BlobKind,
  Code,
  Entry,
  LogEntry,
  Random,
  Snapshot,
  VaultBundle,
} from '@moyai/protocol'

import { systemClock } from '../../clock.ts'
import { openMemoryDatabase } from '../../database/index.ts'
import { captureEntry } from '../../files/index.ts'
import { VaultIndex } from '../../store/vault-index.ts'
import { RetrieveService } from '../retrieve-service.ts'
import type { VaultLog } from '../snapshots.ts'
import { FakePool } from './fake-pool.ts'

type Pending = { kind: BlobKind; id: Uint8Array; bytes: Uint8Array }
type Node = { [name: string]: Node } | Uint8Array | Entry

/** Chunks in one blob, so that tests have blobs of several. */
const BLOB_CHUNKS = 8
const PACK_BYTES = 512 * 1024

/** The same bytes in every run. */
export function seededRandom(seed: string): Random {
  let count = 0
  return {
    bytes(length: number): Uint8Array {
      const hash = createHash('shake256', { outputLength: length })
      return Uint8Array.from(hash.update(`${seed}/${count++}`).digest())
    },
  }
}

export function metadata(name: string | Uint8Array, type: Entry['type']): Entry {
  const raw = typeof name === 'string' ? utf8(name) : name
  const mode = type === 'directory' ? 0o755 : 0o644
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  return { name: raw, type, mode, ...owner, mtime: 1_700_000_000_123_456_789n, size: 0 }
}

/** See the head of this file. */
export class FakeVault implements VaultLog {
  readonly bundle: VaultBundle = deriveVaultBundle(
    new Uint8Array(32).fill(7),
    new Uint8Array(16).fill(9),
  )
  readonly code: Code
  readonly pool: FakePool
  readonly index: VaultIndex = new VaultIndex(openMemoryDatabase())
  readonly service: RetrieveService
  readonly envelopes: Uint8Array[] = []
  readonly packs: Uint8Array[] = []
  readonly #random = seededRandom('vault')
  readonly #pending: Pending[] = []
  readonly #known = new Set<string>()

  constructor(code: Code = { k: 3, m: 2 }) {
    this.code = code
    this.pool = new FakePool(code.k + code.m)
    const { index, pool } = this
    const components = { index, hosts: pool, log: this, clock: systemClock, cache: tmpdir() }
    this.service = new RetrieveService({ bundle: this.bundle }, components)
  }

  async *entries(): AsyncGenerator<Uint8Array> {
    await Promise.resolve()
    yield* this.envelopes
  }

  /** Adds a chunk; returns its id. `flush` puts it into packs. */
  chunk(bytes: Uint8Array, kind: BlobKind = 'data'): Uint8Array {
    const id = blake3Keyed(this.bundle.chunkIdKey, bytes)
    if (!this.#known.has(toHex(id))) this.#pending.push({ kind, id, bytes })
    this.#known.add(toHex(id))
    return id
  }

  /** Content as chunks of `size` bytes. */
  content(bytes: Uint8Array, size: number = CHUNK_BYTES_MIN): Pick<Entry, 'chunks' | 'list'> {
    const ids: Uint8Array[] = []
    for (let at = 0; at < bytes.length; at += size) ids.push(this.chunk(bytes.slice(at, at + size)))
    return this.idsOf(ids)
  }

  idsOf(ids: Uint8Array[]): Pick<Entry, 'chunks' | 'list'> {
    if (ids.length === 0) return {}
    if (ids.length <= 8) return { chunks: concatBytes(...ids) }
    // tests have list pages already for short files
    return { list: this.chunk(encodeChunkList(concatBytes(...ids)), 'list') }
  }

  /** A directory entry from entries with content. */
  directory(self: Entry, children: Entry[]): Entry {
    const pages: Uint8Array[] = []
    const writer = new PageWriter({ emit: (page) => pages.push(page) })
    for (const child of children.toSorted((a, b) => compareBytes(a.name, b.name))) writer.add(child)
    writer.end()
    const ids = pages.map((page) => this.chunk(page, 'tree'))
    return ids.length === 0 ? self : { ...self, chunks: concatBytes(...ids) }
  }

  /** A tree from nested objects: bytes are files, entries are taken as they are. */
  tree(name: string, node: { [name: string]: Node }): Entry {
    const children = Object.entries(node).map(([child, value]): Entry => {
      if (value instanceof Uint8Array) {
        return { ...metadata(child, 'file'), size: value.length, ...this.content(value) }
      }
      if (isEntry(value)) return value
      return this.tree(child, value)
    })
    return this.directory(metadata(name, 'directory'), children)
  }

  /** A real folder with all its metadata. */
  folder(path: Buffer, name: Uint8Array = new Uint8Array()): Entry {
    const stat = lstatSync(path, { bigint: true })
    const self = captureEntry(path, stat, name)
    if (self.type === 'file') {
      const bytes = readFileSync(path)
      const parts: Uint8Array[] = []
      let at = 0
      for (const { offset, length } of self.holes ?? []) {
        parts.push(bytes.subarray(at, offset))
        at = offset + length
      }
      parts.push(bytes.subarray(at))
      return { ...self, ...this.content(Uint8Array.from(concatBytes(...parts))) }
    }
    if (self.type !== 'directory') return self
    const names = readdirSync(path, { encoding: 'buffer' })
    const children = names.map((child) =>
      this.folder(Buffer.concat([path, Buffer.from('/'), child]), child),
    )
    return this.directory(self, children)
  }

  /** Commits `root` as a snapshot; returns its id. */
  async commit(root: Entry, paths: string[] = ['/home/data']): Promise<string> {
    await this.flush()
    const last = this.envelopes.at(-1)
    const vault = vaultSigner(this.bundle)
    const seq = this.envelopes.length
    const prev = last === undefined ? NO_ENTRY : logEntryId(last)
    const snapshot: Snapshot = {
      time: 1_700_000_000_000 + seq,
      source: 'data',
      paths: paths.map(utf8),
      hostname: 'host',
      username: 'user',
      tags: [],
      root: { ...root, name: new Uint8Array() },
      stats: { files: 0, directories: 0, others: 0, bytes: 0, errors: 0 },
      indexPacks: [],
      program: 'test',
      excludes: [],
      partial: false,
    }
    const { bundle } = this
    const random = this.#random
    const sealed = sealSnapshot({ bundle, seq, prev, snapshot, random })
    const entry: LogEntry = {
      vault: vault.publicKey,
      seq,
      prev,
      at: snapshot.time,
      kind: 'snapshot',
      sealed,
    }
    const envelope = signLogEntry(entry, vault)
    this.envelopes.push(envelope)
    return toHex(logEntryId(envelope))
  }

  /** Puts everything pending into packs on the hosts. */
  async flush(): Promise<void> {
    for (const packClass of ['data', 'meta'] as const) {
      const mine = this.#pending.filter(({ kind }) => (kind === 'data') === (packClass === 'data'))
      while (mine.length > 0) {
        let bytes = 0
        let count = 0
        for (const one of mine) {
          if (count > 0 && bytes + one.bytes.length > PACK_BYTES) break
          bytes += one.bytes.length
          count += 1
        }
        await this.#pack(packClass, mine.splice(0, count))
      }
    }
    this.#pending.length = 0
  }

  async #pack(packClass: 'data' | 'meta', pending: Pending[]): Promise<void> {
    const { k, m } = this.code
    const vault = vaultSigner(this.bundle)
    const salt = this.#random.bytes(32)
    const { dataKey } = this.bundle
    const buffer = new Uint8Array(k * 4 * 1024 * 1024)
    const builder = new PackBuilder({ buffer, dataKey, vault: vault.publicKey, packClass, salt })
    for (const kind of ['data', 'tree', 'list'] as const) {
      const mine = pending.filter((one) => one.kind === kind)
      for (let at = 0; at < mine.length; at += BLOB_CHUNKS) {
        addBlob(builder, kind, mine.slice(at, at + BLOB_CHUNKS))
      }
    }
    const shardLength = shardLengthFor(builder.minLength(), k)
    const { directory } = builder.finish(k * shardLength)
    const shards = new Uint8Array((k + m) * shardLength)
    shards.set(buffer.subarray(0, k * shardLength))
    plainCodec().encode(this.code, shardLength, shards)
    const pack = blake3(shards.subarray(0, k * shardLength))
    const each = Array.from({ length: k + m }, (_, i) =>
      shards.slice(i * shardLength, (i + 1) * shardLength),
    )
    const envelope = signStripe(
      {
        vault: vault.publicKey,
        vaultSalt: this.bundle.salt,
        pack,
        k,
        m,
        shardLength,
        shardHashes: each.map((shard) => blake3(shard)),
        class: packClass,
        protectedUntil: 2_000_000_000_000,
        created: 1_700_000_000_000,
      },
      vault,
    )
    // every pack starts with another host, so that each holds data and parity
    const hosts = this.pool.all
    const holders = each.map((bytes, index) => {
      const host = hosts[(index + this.packs.length) % hosts.length]
      assert(host !== undefined, 'a host for each shard')
      host.keep({ pack: toHex(pack), index, bytes, envelope })
      return { index, host: host.id }
    })
    this.packs.push(pack)
    const stripe = { pack, envelope, salt, packClass }
    await this.index.recordPack({ stripe, blobs: directory.blobs, holders })
  }
}

function isEntry(value: Node): value is Entry {
  return 'name' in value && value['name'] instanceof Uint8Array
}

function addBlob(builder: PackBuilder, kind: BlobKind, chunks: Pending[]): void {
  const raw = concatBytes(...chunks.map(({ bytes }) => bytes))
  let offset = 0
  const entries = chunks.map(({ id, bytes }) => {
    const at = offset
    offset += bytes.length
    return { id, offset: at, length: bytes.length }
  })
  const target = new Uint8Array(raw.length)
  const { compression, length } = compressBlob(raw, { level: 1, target })
  const sealedInput = target.subarray(0, length)
  const blob = { kind, compression, sealedInput, rawLength: raw.length, chunks: entries }
  assert(builder.add(blob), 'the test pack has room')
}
