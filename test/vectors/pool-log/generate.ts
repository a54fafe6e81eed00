/** Writes the vectors of spec/pool-log.md: `node test/vectors/pool-log/generate.ts`. */

import { writeFileSync } from 'node:fs'
import {
  ed25519Signer,
  encodeCbor,
  evaluatePool,
  envelopePayload,
  decodeCbor,
  openStatement,
  poolId,
  signDelegation,
  signEnvelope,
  signGenesis,
  signHost,
  signHostClaim,
  signOrganisation,
  statementId,
  toHex,
  type CborMap,
  type HostClaim,
  type Signer,
} from '@moyai/protocol'

type Member = { host: Signer; vault: Signer; org: Uint8Array; delegation: Uint8Array }

const AT = 1_790_000_000_000
const signerOf = (fill: number, kind: number): Signer =>
  ed25519Signer(new Uint8Array(32).fill(fill).fill(kind, 0, 1))

function member(fill: number, may = ['certify-host', 'invite']): Member {
  const guard = signerOf(fill, 1)
  const host = signerOf(fill, 2)
  const org = guard.publicKey
  const delegation = signDelegation({ org, delegate: host.publicKey, may, at: AT }, guard)
  return { host, vault: signerOf(fill, 3), org, delegation }
}

const alice = member(10)
const bob = member(20)
const mallory = member(66)
const guest = member(40, ['certify-host'])
const genesis = signGenesis(
  { name: 'boats', nonce: new Uint8Array(16), delegation: alice.delegation, at: AT },
  alice.host,
)
const pool = poolId(genesis)

function claimOf(of: Member, change: Partial<HostClaim> = {}): Uint8Array {
  const claim: HostClaim = {
    pool,
    host: of.host.publicKey,
    name: 'tokyo',
    org: of.org,
    site: 'tokyo',
    provider: 'self',
    class: 'desktop',
    vault: of.vault.publicKey,
    vaultSalt: new Uint8Array(16),
    offeredBytes: 500_000_000_000,
    at: AT,
    ...change,
  }
  return signHostClaim(claim, { host: of.host, vault: of.vault })
}

function certify(of: Member, at: number, change: Partial<HostClaim> = {}): Uint8Array {
  return signHost({ pool, claim: claimOf(of, change), delegation: of.delegation, at }, of.host)
}

function admit(org: Member, by: Member, at: number): Uint8Array {
  const invite = new Uint8Array(32).fill(1)
  return signOrganisation({ pool, org: org.org, invite, delegation: by.delegation, at }, by.host)
}

const hostStatement = certify(alice, AT + 1)
const plain = decodeCbor(envelopePayload(hostStatement), { bytesMax: 8192 }) as CborMap

const ok = (name: string, envelope: Uint8Array): unknown => ({
  name,
  envelope: toHex(envelope),
  expect: 'ok',
  id: toHex(statementId(envelope)),
  kind: openStatement(envelope).statement.kind,
})
const bad = (name: string, expect: string, envelope: Uint8Array): unknown => ({
  name,
  envelope: toHex(envelope),
  expect,
})
const bent = (name: string, expect: string, change: CborMap): unknown =>
  bad(name, expect, signEnvelope('pool-log', encodeCbor({ ...plain, ...change }), alice.host))

const flipped = new Uint8Array(hostStatement)
flipped[10] = (flipped[10] as number) ^ 0x80
const statements = [
  ok('genesis', genesis),
  ok('an organisation admitted', admit(bob, alice, AT + 2)),
  ok('a host certified', hostStatement),
  bad('no bytes', 'TRUNCATED', new Uint8Array(0)),
  bad('a signature and nothing', 'MALFORMED', new Uint8Array(64)),
  bad('a changed signature', 'BAD_SIGNATURE', flipped),
  bad('cut by one byte', 'MALFORMED', hostStatement.subarray(0, -1)),
  bad('a byte too many', 'MALFORMED', new Uint8Array([...hostStatement, 0])),
  bad('more than 8 KiB', 'TOO_LARGE', new Uint8Array(8193)),
  bad(
    'signed for another purpose',
    'BAD_SIGNATURE',
    signEnvelope('join', encodeCbor(plain), alice.host),
  ),
  bent('an unknown kind', 'UNKNOWN_VERSION', { kind: 'revoke' }),
  bent('a later version', 'UNKNOWN_VERSION', { v: 2 }),
  bent('no kind', 'MALFORMED', { kind: 1 }),
  bent('an unknown key', 'MALFORMED', { more: 1 }),
  bent("signed by another than 'by'", 'BAD_SIGNATURE', { by: bob.host.publicKey }),
  bent('a delegation to another host', 'MALFORMED', { delegation: bob.delegation }),
  bent('a claim for another pool', 'MALFORMED', { claim: claimOf(alice, { pool: alice.org }) }),
  bent('a claim of another organisation', 'MALFORMED', { claim: claimOf(bob) }),
  bent('a claim that is none', 'MALFORMED', { claim: new Uint8Array(100) }),
  bad(
    'an invitation by a host that may only certify',
    'MALFORMED',
    admit(bob, guest, AT),
  ),
]

function evaluated(name: string, envelopes: Uint8Array[]): unknown {
  const state = evaluatePool(envelopes, pool)
  return {
    name,
    pool: toHex(pool),
    statements: envelopes.map(toHex),
    state: {
      name: state.name,
      organisations: [...state.organisations.keys()],
      hosts: Object.fromEntries([...state.hosts].map(([id, host]) => [id, host.name])),
      rejected: state.rejected.map(({ id, reason }) => ({ id: toHex(id), reason })),
    },
  }
}

const admission = admit(bob, alice, AT + 2)
const tomorrow = signEnvelope('pool-log', encodeCbor({ v: 1, kind: 'revoke', pool }), alice.host)
const pools = [
  evaluated('nothing', []),
  evaluated('a genesis', [genesis]),
  evaluated('a founder and one admitted', [
    genesis,
    hostStatement,
    admission,
    certify(bob, AT + 3, { name: 'osaka' }),
  ]),
  evaluated('the same backwards', [
    certify(bob, AT + 3, { name: 'osaka' }),
    admission,
    hostStatement,
    genesis,
  ]),
  evaluated('no genesis', [hostStatement, admission]),
  evaluated('two hosts of one name', [genesis, hostStatement, admission, certify(bob, AT + 3)]),
  evaluated('a stranger', [genesis, hostStatement, certify(mallory, AT), admit(mallory, mallory, AT)]),
  evaluated('a kind of tomorrow', [genesis, tomorrow]),
]

function write(name: string, cases: unknown): void {
  const json = { format: 'pool-log', spec: 'spec/pool-log.md', cases }
  const file = new URL(`${name}.json`, import.meta.url)
  writeFileSync(file, `${JSON.stringify(json, undefined, 2)}\n`)
}

write('statements', statements)
write('pools', pools)
