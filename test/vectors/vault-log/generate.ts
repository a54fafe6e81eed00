/** Writes the vectors of spec/vault-log.md: `node test/vectors/vault-log/generate.ts`. */

import { writeFileSync } from 'node:fs'
import {
  ed25519Signer,
  encodeCbor,
  logEntryId,
  NO_ENTRY,
  openLogEntry,
  signEnvelope,
  signLogEntry,
  toHex,
  utf8,
  type CborMap,
} from '@moyai/protocol'

const seed = new Uint8Array(32).fill(0x2a)
const signer = ed25519Signer(seed)
const vault = signer.publicKey

function entryAt(seq: number, prev: Uint8Array, at = 1_790_000_000_000 + seq): Uint8Array {
  const sealed = utf8('not a box: witnesses do not look inside')
  return signLogEntry({ vault, seq, prev, at, kind: 'snapshot', sealed }, signer)
}

const first = entryAt(0, NO_ENTRY)
const second = entryAt(1, logEntryId(first))
const third = entryAt(2, logEntryId(second))
const otherSecond = entryAt(1, logEntryId(first), 1_790_000_099_999)

function ok(name: string, envelope: Uint8Array): unknown {
  const entry = openLogEntry(envelope)
  return {
    name,
    envelope: toHex(envelope),
    expect: 'ok',
    id: toHex(logEntryId(envelope)),
    entry: {
      vault: toHex(entry.vault),
      seq: entry.seq,
      prev: toHex(entry.prev),
      at: entry.at,
      kind: entry.kind,
      sealed: toHex(entry.sealed),
    },
  }
}

const plain: CborMap = {
  v: 1,
  vault,
  seq: 0,
  prev: NO_ENTRY,
  at: 0,
  kind: 'snapshot',
  sealed: utf8('box'),
}
const signed = (name: string, expect: string, change: CborMap): unknown => ({
  name,
  envelope: toHex(signEnvelope('vault-log', encodeCbor({ ...plain, ...change }), signer)),
  expect,
})
const flipped = new Uint8Array(first)
flipped[0] = (flipped[0] as number) ^ 1

const cases = [
  ok('the first entry', first),
  ok('the second entry', second),
  ok(
    'a kind of a later version',
    signEnvelope('vault-log', encodeCbor({ ...plain, kind: 'retention-policy' }), signer),
  ),
  { name: 'no room for a signature', envelope: '00'.repeat(63), expect: 'TRUNCATED' },
  { name: 'a signature and nothing', envelope: '00'.repeat(64), expect: 'MALFORMED' },
  { name: 'cut by one byte', envelope: toHex(first).slice(0, -2), expect: 'MALFORMED' },
  { name: 'a byte too many', envelope: `${toHex(first)}00`, expect: 'MALFORMED' },
  { name: 'a changed signature', envelope: toHex(flipped), expect: 'BAD_SIGNATURE' },
  {
    name: 'a signature for another purpose',
    envelope: toHex(signEnvelope('receipt', encodeCbor(plain), signer)),
    expect: 'BAD_SIGNATURE',
  },
  {
    name: "another vault's signature",
    envelope: toHex(
      signEnvelope('vault-log', encodeCbor(plain), ed25519Signer(new Uint8Array(32).fill(1))),
    ),
    expect: 'BAD_SIGNATURE',
  },
  signed('a later version', 'UNKNOWN_VERSION', { v: 2 }),
  signed('an unknown key', 'MALFORMED', { more: 1 }),
  signed('a first entry with one before it', 'MALFORMED', { prev: new Uint8Array(32).fill(1) }),
  signed('a second entry with none before it', 'MALFORMED', { seq: 1 }),
  signed('a kind in capitals', 'MALFORMED', { kind: 'Snapshot' }),
  signed('a place below zero', 'MALFORMED', { seq: -1 }),
  signed('a place beyond the limit', 'MALFORMED', { seq: 1_000_000_001, prev: vault }),
]
const step = (
  name: string,
  head: Uint8Array | undefined,
  envelope: Uint8Array,
  decide: string,
  stored?: Uint8Array,
): unknown => ({
  name,
  head: head === undefined ? null : toHex(head),
  envelope: toHex(envelope),
  ...(stored === undefined ? {} : { stored: toHex(logEntryId(stored)) }),
  decide,
})
const steps = [
  step('the first entry, nothing known', undefined, first, 'accept'),
  step('the next entry', first, second, 'accept'),
  step('a later entry, nothing known', undefined, second, 'LOG_GAP'),
  step('an entry too far ahead', first, third, 'LOG_GAP'),
  step('the head again', second, second, 'LOG_KNOWN'),
  step('an entry of the past', third, second, 'LOG_KNOWN', second),
  step('another entry at the place of the head', second, otherSecond, 'LOG_FORK'),
  step('another entry in the past', third, otherSecond, 'LOG_FORK', second),
  step('a next entry that follows another history', otherSecond, third, 'LOG_FORK'),
]

const json = { format: 'vault-log', spec: 'spec/vault-log.md', seed: toHex(seed), cases, witness: steps }
const file = new URL('entries.json', import.meta.url)
writeFileSync(file, `${JSON.stringify(json, undefined, 2)}\n`)
