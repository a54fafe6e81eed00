/** Writes the vectors of spec/pool-log.md: `node test/vectors/pool-log/generate.ts`. */

import { writeFileSync } from 'node:fs'
import {
  AWAY_MS_MAX,
  ed25519Signer,
  encodeCbor,
  evaluatePool,
  envelopePayload,
  decodeCbor,
  openStatement,
  poolId,
  signAway,
  signDelegation,
  signEnvelope,
  signGenesis,
  signHost,
  signHostClaim,
  signLabel,
  signLost,
  signOrganisation,
  signPolicy,
  signRetire,
  signRevocationOrder,
  signRevoke,
  statementId,
  policyText,
  toHex,
  type CborMap,
  type HostCertificate,
  type HostClaim,
  type Signer,
} from '@moyai/protocol'

type Member = {
  guard: Signer
  host: Signer
  vault: Signer
  org: Uint8Array
  delegation: Uint8Array
}
type Acting = { pool: Uint8Array; delegation: Uint8Array; at: number }

const AT = 1_790_000_000_000
const signerOf = (fill: number, kind: number): Signer =>
  ed25519Signer(new Uint8Array(32).fill(fill).fill(kind, 0, 1))

function member(
  fill: number,
  may = ['certify-host', 'invite'],
  o: { org?: number; at?: number } = {},
): Member {
  const guard = signerOf(o.org ?? fill, 1)
  const host = signerOf(fill, 2)
  const org = guard.publicKey
  const delegation = signDelegation({ org, delegate: host.publicKey, may, at: o.at ?? AT }, guard)
  return { guard, host, vault: signerOf(fill, 3), org, delegation }
}

const alice = member(10)
const bob = member(20)
const mallory = member(66)
const guest = member(40, ['certify-host'])
/** Hosts of the organisation of alice: one that came after her, and one after that. */
const anna = member(11, ['certify-host', 'invite'], { org: 10, at: AT + 1 })
const arno = member(12, ['certify-host', 'invite'], { org: 10, at: AT + 2 })
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
const annaStatement = certify(anna, AT + 2, { name: 'kobe' })
const arnoStatement = certify(arno, AT + 3, { name: 'nara' })
const first = { seq: 1, after: [] as Uint8Array[] }
const acting = (by: Member, at = AT + 9): Acting => ({
  pool,
  delegation: by.delegation,
  at,
})
const labelled = (by: Member, of: Member, set: object, place = first, at = AT + 9): Uint8Array =>
  signLabel({ ...acting(by, at), host: of.host.publicKey, set, ...place }, by.host)
const retired = (by: Member, of: Member, yes: boolean, place = first): Uint8Array =>
  signRetire({ ...acting(by), host: of.host.publicKey, retired: yes, ...place }, by.host)
const away = (by: Member, of: Member, until: number, place = first): Uint8Array =>
  signAway({ ...acting(by), host: of.host.publicKey, until, ...place }, by.host)
const lost = (by: Member, of: Member, yes: boolean, place = first): Uint8Array =>
  signLost({ ...acting(by), host: of.host.publicKey, lost: yes, ...place }, by.host)
const policy = (by: Member, host: number, place = first): Uint8Array =>
  signPolicy({ ...acting(by), policy: { host, site: 1, provider: 1, org: 0 }, ...place }, by.host)
const revoked = (by: Member, of: Member, keep: Uint8Array[] = []): Uint8Array =>
  signRevoke(
    { ...acting(by), host: of.host.publicKey, keep, target: of.delegation },
    by.host,
  )
const ordered = (by: Member, of: Member, keep: Uint8Array[] = [], guard = by.guard): Uint8Array => {
  const content = { ...acting(by), host: of.host.publicKey, keep }
  return signRevoke({ ...content, order: signRevocationOrder(content, guard) }, by.host)
}
const ofBob = signRevocationOrder({ pool, host: anna.host.publicKey, keep: [] }, bob.guard)
const plainOf = (envelope: Uint8Array): CborMap =>
  decodeCbor(envelopePayload(envelope), { bytesMax: 8192 }) as CborMap
/** A statement of alice with some keys changed and signed anew. */
const rewritten = (envelope: Uint8Array, change: CborMap): Uint8Array =>
  signEnvelope('pool-log', encodeCbor({ ...plainOf(envelope), ...change }), alice.host)
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
  bent('an unknown kind', 'UNKNOWN_VERSION', { kind: 'tomorrow' }),
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
  ok('a label', labelled(alice, anna, { site: 'annex', offeredBytes: 1 })),
  ok('a retirement', retired(alice, anna, true)),
  ok('an announced absence', away(alice, anna, AT + 9 + AWAY_MS_MAX)),
  ok('an absence that ended', away(alice, anna, 0)),
  ok("another organisation's host declared lost", lost(bob, anna, true)),
  ok('a policy', policy(alice, 3)),
  ok('a revocation by a senior', revoked(alice, anna, [statementId(annaStatement)])),
  ok('a revocation by the host itself', revoked(anna, anna)),
  ok('a revocation by the guard key', ordered(anna, alice)),
  bad('no label in a label', 'MALFORMED', rewritten(labelled(alice, anna, { site: 'x' }), { set: {} })),
  bad(
    'a label of another kind',
    'MALFORMED',
    rewritten(labelled(alice, anna, { site: 'x' }), { set: { colour: 'red' } }),
  ),
  bad('an absence of more than 90 days', 'MALFORMED', away(alice, anna, AT + 10 + AWAY_MS_MAX)),
  bad('an absence without an end', 'MALFORMED', withoutUntil(away(alice, anna, 1))),
  bad('a loss by a host that may only certify', 'MALFORMED', lost(guest, anna, true)),
  bad('a loss that is neither', 'MALFORMED', rewritten(lost(alice, anna, true), { lost: 1 })),
  bad('a place before the first', 'MALFORMED', rewritten(policy(alice, 3), { seq: 0 })),
  bad(
    'a place that replaces seventeen',
    'MALFORMED',
    rewritten(policy(alice, 3), { after: Array.from({ length: 17 }, () => pool) }),
  ),
  bad(
    'a policy of seventeen hosts',
    'MALFORMED',
    rewritten(policy(alice, 3), { policy: { host: 17, site: 0, provider: 0, org: 0 } }),
  ),
  bad('a policy by a host that may only certify', 'MALFORMED', policy(guest, 3)),
  bad('a revocation without a proof', 'MALFORMED', withoutProof(revoked(alice, anna))),
  bad(
    'a revocation with two proofs',
    'MALFORMED',
    rewritten(ordered(alice, anna), { target: anna.delegation }),
  ),
  bad('a revocation of a senior', 'MALFORMED', revoked(anna, alice)),
  bad("a revocation of another organisation's host", 'MALFORMED', revoked(alice, bob)),
  bad(
    "a revocation with another organisation's guard key",
    'BAD_SIGNATURE',
    rewritten(ordered(alice, anna), {
      order: { ...ofBob, org: anna.org },
    }),
  ),
  bad(
    'an order of the guard key with something added',
    'BAD_SIGNATURE',
    rewritten(ordered(alice, anna), { keep: [pool] }),
  ),
]

function withoutUntil(envelope: Uint8Array): Uint8Array {
  const { until: _, ...rest } = plainOf(envelope)
  return signEnvelope('pool-log', encodeCbor(rest), alice.host)
}

function withoutProof(envelope: Uint8Array): Uint8Array {
  const { target: _, ...rest } = plainOf(envelope)
  return signEnvelope('pool-log', encodeCbor(rest), alice.host)
}

/** `name, site, provider, class`, and whether it is retired, away or lost. */
function describe(host: HostCertificate): string {
  const { name, site, provider, retiredAt } = host
  return [
    name,
    site,
    provider,
    host.class,
    ...(retiredAt === undefined ? [] : ['retired']),
    ...(host.awayUntil === undefined ? [] : [`away until ${host.awayUntil}`]),
    ...(host.lost === undefined ? [] : ['lost']),
  ].join()
}

function evaluated(name: string, envelopes: Uint8Array[]): unknown {
  const state = evaluatePool(envelopes, pool)
  return {
    name,
    pool: toHex(pool),
    statements: envelopes.map(toHex),
    state: {
      name: state.name,
      organisations: [...state.organisations.keys()],
      hosts: Object.fromEntries([...state.hosts].map(([id, host]) => [id, describe(host)])),
      revoked: [...state.revoked.keys()],
      policy: state.policy === undefined ? null : policyText(state.policy),
      rejected: state.rejected.map(({ id, reason }) => ({ id: toHex(id), reason })),
    },
  }
}

const admission = admit(bob, alice, AT + 2)
const tomorrow = signEnvelope('pool-log', encodeCbor({ v: 1, kind: 'tomorrow', pool }), alice.host)
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
  ...together(),
]

/** Sets in which admins act at once, against one another, or after they were revoked. */
function together(): unknown[] {
  const base = [genesis, hostStatement, annaStatement, arnoStatement]
  const site = labelled(alice, arno, { site: 'one' }, first, AT + 99)
  const other = labelled(anna, arno, { site: 'two', class: 'laptop' }, first, AT)
  const both = [statementId(site), statementId(other)]
  const decided = labelled(anna, arno, { site: 'three' }, { seq: 2, after: both }, AT)
  const out = retired(alice, arno, true)
  const back = retired(anna, arno, false, { seq: 2, after: [statementId(out)] })
  const returned = away(anna, anna, 0, {
    seq: 2,
    after: [statementId(away(alice, anna, AT + 1000))],
  })
  const gone = lost(alice, arno, true)
  const weak = policy(arno, 0, { seq: 7, after: [] })
  const kept = policy(arno, 3)
  const keep = [statementId(arnoStatement), statementId(kept)]
  return [
    evaluated('labels set at once', [...base, site, other]),
    evaluated('labels set by whoever saw both, with a slow clock', [decided, other, site, ...base]),
    evaluated('a label by another organisation', [
      ...base,
      admission,
      labelled(bob, arno, { site: 'bobs' }),
    ]),
    evaluated('a retired host', [...base, out]),
    evaluated('a retirement taken back', [back, ...base, out]),
    evaluated('an absence announced, and one that ended', [
      ...base,
      away(alice, arno, AT + 1000),
      away(alice, anna, AT + 1000),
      returned,
    ]),
    evaluated("an absence announced by another organisation", [
      ...base,
      admission,
      away(bob, arno, AT + 1000),
    ]),
    evaluated('a host declared lost by another organisation', [
      ...base,
      admission,
      lost(bob, arno, true),
      lost(bob, bob, true),
    ]),
    evaluated('a loss declared by two, and taken back by who saw one of them', [
      ...base,
      admission,
      gone,
      lost(bob, arno, true),
      lost(alice, arno, false, { seq: 2, after: [statementId(gone)] }),
    ]),
    evaluated('a loss declared from outside the pool', [...base, lost(mallory, arno, true)]),
    evaluated('two policies at once', [...base, policy(alice, 1), policy(anna, 3)]),
    evaluated('a revoked host, and what of it was kept', [
      ...base,
      weak,
      kept,
      revoked(anna, arno, keep),
    ]),
    evaluated('a revoked host that was certified again', [
      ...base,
      revoked(anna, arno, keep),
      certify(arno, AT + 50, { name: 'tokyo' }),
    ]),
    evaluated('a revocation by a revoked host', [...base, revoked(anna, arno), revoked(alice, anna)]),
    evaluated('revocations of one another by the guard key', [
      ...base,
      ordered(anna, alice),
      ordered(alice, anna, [statementId(annaStatement)]),
    ]),
    evaluated('the guard key keeps less than a host did', [
      ...base,
      kept,
      revoked(anna, arno, keep),
      ordered(anna, arno, [statementId(arnoStatement)]),
    ]),
    evaluated("an order of a guard key over another organisation's host", [
      ...base,
      admission,
      ordered(alice, anna, [], bob.guard),
    ]),
    evaluated('an order passed on by another organisation', [
      ...base,
      admission,
      ordered(bob, anna, [], alice.guard),
    ]),
    evaluated('a revocation by a stranger', [genesis, hostStatement, revoked(mallory, mallory)]),
  ]
}

function write(name: string, cases: unknown): void {
  const json = { format: 'pool-log', spec: 'spec/pool-log.md', cases }
  const file = new URL(`${name}.json`, import.meta.url)
  writeFileSync(file, `${JSON.stringify(json, undefined, 2)}\n`)
}

write('statements', statements)
write('pools', pools)
