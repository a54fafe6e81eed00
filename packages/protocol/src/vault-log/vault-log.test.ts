import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex, utf8 } from '../bytes.ts'
import { ed25519Signer, signEnvelope } from '../envelope/index.ts'
import { encodeCbor } from '../cbor/index.ts'
import { isMoyaiError, MoyaiError } from '../errors.ts'
import { deriveVaultBundle, vaultSigner } from '../keys/index.ts'
import { encodeSnapshot, type Snapshot } from '../snapshot/index.ts'
import {
  followChain,
  isForkProof,
  logEntryId,
  nextPlace,
  NO_ENTRY,
  openLogEntry,
  openSnapshot,
  sealSnapshot,
  signLogEntry,
  witness,
  type LogEntry,
} from './index.ts'

const VECTORS = new URL('../../../../test/vectors/vault-log/', import.meta.url)

const secret = new Uint8Array(32).fill(1)
const bundle = deriveVaultBundle(secret, new Uint8Array(16).fill(2))
const signer = vaultSigner(bundle)
const vault = signer.publicKey
const random = { bytes: (length: number) => new Uint8Array(length).fill(9) }

const snapshot: Snapshot = {
  time: 1_790_000_000_000,
  source: 'home',
  paths: [utf8('/home/alice')],
  hostname: 'tokyo',
  username: 'alice',
  tags: ['daily'],
  root: {
    name: new Uint8Array(0),
    type: 'directory',
    mode: 0o755,
    uid: 1000,
    gid: 1000,
    mtime: 1n,
    size: 0,
    chunks: new Uint8Array(32).fill(7),
  },
  stats: { files: 1, directories: 1, others: 0, bytes: 5, errors: 0 },
  indexPacks: [new Uint8Array(32).fill(8)],
  program: 'moyai 0.1.0',
  excludes: [],
  partial: false,
}

function entryAt(seq: number, prev: Uint8Array, at = 1000 + seq): Uint8Array {
  return signLogEntry({ vault, seq, prev, at, kind: 'snapshot', sealed: utf8('box') }, signer)
}

function chainOf(length: number): Uint8Array[] {
  const chain: Uint8Array[] = []
  let prev = NO_ENTRY
  for (let seq = 0; seq < length; seq++) {
    const envelope = entryAt(seq, prev)
    chain.push(envelope)
    prev = logEntryId(envelope)
  }
  return chain
}

const headOf = (envelope: Uint8Array): { vault: Uint8Array; seq: number; id: Uint8Array } => ({
  vault,
  seq: openLogEntry(envelope).seq,
  id: logEntryId(envelope),
})

test('an entry comes back, and every changed bit of its envelope is refused', () => {
  const envelope = entryAt(0, NO_ENTRY)
  const entry: LogEntry = {
    vault,
    seq: 0,
    prev: NO_ENTRY,
    at: 1000,
    kind: 'snapshot',
    sealed: utf8('box'),
  }
  assert.deepEqual(openLogEntry(envelope), entry)
  for (let bit = 0; bit < envelope.length * 8; bit++) {
    const changed = new Uint8Array(envelope)
    changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
    assert.throws(() => openLogEntry(changed), MoyaiError, `bit ${bit}`)
  }
  for (let length = 0; length < envelope.length; length++) {
    assert.throws(() => openLogEntry(envelope.subarray(0, length)), MoyaiError)
  }
})

test('random bytes under a good signature never cause anything but a MoyaiError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (payload) => {
      assert.throws(() => openLogEntry(signEnvelope('vault-log', payload, signer)), MoyaiError)
      assert.throws(() => openLogEntry(payload), MoyaiError)
    }),
  )
})

test('a witness takes the next entry only, and names gaps, forks and what it knows', () => {
  const chain = chainOf(4) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  const [first, second, third, fourth] = chain
  const decide = (head: Uint8Array | undefined, envelope: Uint8Array, stored?: Uint8Array) => {
    const known = head === undefined ? undefined : headOf(head)
    const decision = witness({ head: known, envelope, stored })
    return decision.accept ? 'accept' : decision.refuse
  }
  assert.equal(decide(undefined, first), 'accept')
  assert.equal(decide(first, second), 'accept')
  assert.equal(decide(undefined, second), 'LOG_GAP')
  assert.equal(decide(first, third), 'LOG_GAP')
  assert.equal(decide(second, second), 'LOG_KNOWN')
  assert.equal(decide(fourth, second), 'LOG_KNOWN')
  assert.equal(decide(fourth, second, logEntryId(second)), 'LOG_KNOWN')
  const otherSecond = entryAt(1, logEntryId(first), 7777)
  assert.equal(decide(second, otherSecond), 'LOG_FORK')
  assert.equal(decide(fourth, otherSecond, logEntryId(second)), 'LOG_FORK')
  assert.equal(decide(second, entryAt(2, logEntryId(otherSecond))), 'LOG_FORK')
  assert.equal(decide(first, entryAt(0, NO_ENTRY, 5)), 'LOG_FORK')
})

test('a fork is proven by two entries, and honest entries prove nothing', () => {
  const [first, second, third] = chainOf(3) as [Uint8Array, Uint8Array, Uint8Array]
  const other = entryAt(1, logEntryId(first), 7777)
  assert.equal(isForkProof(second, other), true)
  assert.equal(isForkProof(other, third), true)
  assert.equal(isForkProof(third, other), true)
  assert.equal(isForkProof(first, second), false)
  assert.equal(isForkProof(second, second), false)
  assert.equal(isForkProof(first, third), false)
  const stranger = ed25519Signer(new Uint8Array(32).fill(5))
  const foreign = signLogEntry(
    { ...openLogEntry(second), vault: stranger.publicKey, at: 1 },
    stranger,
  )
  assert.equal(isForkProof(second, foreign), false)
})

test('a pulled chain is followed as far as it holds, and another vault is refused', () => {
  const chain = chainOf(5)
  assert.equal(followChain(vault, undefined, chain).accepted.length, 5)
  assert.equal(
    followChain(vault, headOf(chain[1] as Uint8Array), chain.slice(2)).accepted.length,
    3,
  )
  const gap = followChain(vault, undefined, [chain[0], chain[2]] as Uint8Array[])
  assert.deepEqual([gap.accepted.length, gap.refused], [1, 'LOG_GAP'])
  const stranger = ed25519Signer(new Uint8Array(32).fill(5))
  const foreign = signLogEntry(
    { ...openLogEntry(chain[1] as Uint8Array), vault: stranger.publicKey },
    stranger,
  )
  const mixed = [chain[0] as Uint8Array, foreign]
  assert.throws(() => followChain(vault, undefined, mixed), { code: 'MALFORMED' })
  assert.throws(() => followChain(stranger.publicKey, undefined, chain), { code: 'MALFORMED' })
  assert.deepEqual(nextPlace(undefined), { seq: 0, prev: NO_ENTRY })
})

test('a snapshot opens only at its place, only with its keys, and says little by its size', () => {
  const place = { seq: 3, prev: new Uint8Array(32).fill(4) }
  const sealed = sealSnapshot({ bundle, ...place, snapshot, random })
  const entry: LogEntry = { vault, ...place, at: 1, kind: 'snapshot', sealed }
  assert.deepEqual(openSnapshot(bundle, entry), snapshot)
  const mismatch = { code: 'SEAL_MISMATCH' }
  assert.throws(() => openSnapshot(bundle, { ...entry, seq: 4 }), mismatch)
  assert.throws(() => openSnapshot(bundle, { ...entry, prev: NO_ENTRY }), mismatch)
  const other = deriveVaultBundle(secret, new Uint8Array(16).fill(3))
  assert.throws(() => openSnapshot(other, entry), mismatch)
  assert.throws(() => openSnapshot(bundle, { ...entry, kind: 'pin' }), { code: 'UNKNOWN_VERSION' })
  const longer = { ...snapshot, tags: ['daily', 'a tag that is a little longer'] }
  assert.notEqual(encodeSnapshot(longer).length, encodeSnapshot(snapshot).length)
  assert.equal(sealSnapshot({ bundle, ...place, snapshot: longer, random }).length, sealed.length)
})

test('the vectors of the vault log hold', () => {
  type Case = {
    name: string
    envelope: string
    expect: string
    id?: string
    entry?: { vault: string; seq: number; prev: string; at: number; kind: string; sealed: string }
  }
  type Step = {
    name: string
    head: string | null
    envelope: string
    stored?: string
    decide: string
  }
  const vectors = JSON.parse(readFileSync(new URL('entries.json', VECTORS), 'utf8')) as {
    seed: string
    cases: Case[]
    witness: Step[]
  }
  for (const one of vectors.cases) {
    const envelope = fromHex(one.envelope)
    if (one.expect === 'ok') {
      const { vault: v, prev, sealed, ...rest } = openLogEntry(envelope)
      const entry = { ...rest, vault: toHex(v), prev: toHex(prev), sealed: toHex(sealed) }
      assert.deepEqual(entry, one.entry, one.name)
      assert.equal(toHex(logEntryId(envelope)), one.id, one.name)
    } else {
      assert.throws(() => openLogEntry(envelope), { code: one.expect }, one.name)
    }
  }
  for (const step of vectors.witness) {
    const head = step.head === null ? undefined : headOfVector(fromHex(step.head))
    const stored = step.stored === undefined ? undefined : fromHex(step.stored)
    const decision = witness({ head, envelope: fromHex(step.envelope), stored })
    assert.equal(decision.accept ? 'accept' : decision.refuse, step.decide, step.name)
  }
})

function headOfVector(envelope: Uint8Array): { vault: Uint8Array; seq: number; id: Uint8Array } {
  const { vault: of, seq } = openLogEntry(envelope)
  return { vault: of, seq, id: logEntryId(envelope) }
}

test('a payload that is not an entry is refused with its own code, signature or not', () => {
  const plain = { v: 1, vault, seq: 1, prev: NO_ENTRY, at: 0, kind: 'snapshot', sealed: utf8('') }
  const open = (value: Record<string, unknown>): string => {
    try {
      openLogEntry(signEnvelope('vault-log', encodeCbor(value as never), signer))
      return 'ok'
    } catch (error) {
      return isMoyaiError(error) ? error.code : 'not ours'
    }
  }
  assert.equal(open({ ...plain, seq: 0 }), 'ok')
  assert.equal(open(plain), 'MALFORMED')
  assert.equal(open({ ...plain, seq: 0, prev: utf8('x'.repeat(32)) }), 'MALFORMED')
  assert.equal(open({ ...plain, seq: 0, v: 2 }), 'UNKNOWN_VERSION')
  assert.equal(open({ ...plain, seq: 0, kind: 'Snapshot' }), 'MALFORMED')
  assert.equal(open({ ...plain, seq: 0, kind: 'retention-policy' }), 'ok')
  assert.equal(open({ ...plain, seq: 0, more: 1 }), 'MALFORMED')
})
