import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../bytes.ts'
import { encodeCbor, type CborValue } from '../cbor/index.ts'
import { ed25519Signer, signEnvelope, type Signer } from '../envelope/index.ts'
import { MoyaiError } from '../errors.ts'
import { policyText } from '../placement/hosts.ts'
import {
  evaluatePool,
  isLabel,
  mayAct,
  openAddressRecord,
  openDelegation,
  openHostClaim,
  openStatement,
  poolId,
  signAddressRecord,
  signDelegation,
  signGenesis,
  signHost,
  signHostClaim,
  signOrganisation,
  statementId,
  type HostCertificate,
  type HostClaim,
  type OpenedStatements,
} from './index.ts'

const VECTORS = new URL('../../../../test/vectors/pool-log/', import.meta.url)
const RIGHTS = ['certify-host', 'invite']

/** An organisation of one host, with all its keys. */
type Member = {
  guard: Signer
  host: Signer
  vault: Signer
  delegation: Uint8Array
  org: Uint8Array
}

const signerOf = (fill: number, kind: number): Signer =>
  ed25519Signer(new Uint8Array(32).fill(fill).fill(kind, 0, 1))

function member(fill: number, may: string[] = RIGHTS): Member {
  const guard = signerOf(fill, 1)
  const host = signerOf(fill, 2)
  const org = guard.publicKey
  const delegation = signDelegation({ org, delegate: host.publicKey, may, at: 1 }, guard)
  return { guard, host, vault: signerOf(fill, 3), delegation, org }
}

const alice = member(10)
const bob = member(20)
const carol = member(30)
const mallory = member(66)

const genesis = signGenesis(
  { name: 'boats', nonce: new Uint8Array(16), delegation: alice.delegation, at: 100 },
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
    offeredBytes: 500e9,
    at: 150,
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

const namesOf = (statements: Iterable<Uint8Array>): string[] =>
  [...evaluatePool(statements, pool).hosts.values()].map((host) => host.name).toSorted()

test('a pool grows from its genesis: who is admitted can admit, and certify hosts', () => {
  const statements = [
    genesis,
    certify(alice, 110),
    admit(bob, alice, 120),
    certify(bob, 130, { name: 'osaka', site: 'osaka', class: 'always-on' }),
    admit(carol, bob, 140),
    certify(carol, 150, { name: 'kobe', class: 'laptop' }),
  ]
  const state = evaluatePool(statements, pool)
  assert.equal(state.name, 'boats')
  assert.deepEqual(state.id, pool)
  assert.deepEqual(state.rejected, [])
  assert.deepEqual(
    new Set(state.organisations.keys()),
    new Set([alice, bob, carol].map((one) => toHex(one.org))),
  )
  const osaka = state.hosts.get(toHex(bob.host.publicKey))
  assert.equal(osaka?.name, 'osaka')
  assert.equal(osaka?.site, 'osaka')
  assert.equal(osaka?.class, 'always-on')
  assert.deepEqual(osaka?.vault, bob.vault.publicKey)
  assert.deepEqual(state.organisations.get(toHex(carol.org))?.admittedBy, bob.org)
})

test('the result does not depend on order or repetition, whatever is in the set', () => {
  const all = [
    genesis,
    certify(alice, 110),
    certify(alice, 115, { offeredBytes: 1 }),
    admit(bob, alice, 120),
    admit(bob, carol, 119),
    certify(bob, 120),
    admit(carol, bob, 140),
    certify(carol, 120),
    certify(mallory, 5),
    admit(mallory, mallory, 1),
    signGenesis(
      { name: 'other', nonce: new Uint8Array(16).fill(1), delegation: bob.delegation, at: 1 },
      bob.host,
    ),
    new Uint8Array(0),
    new Uint8Array(100),
    new Uint8Array(9000),
  ]
  const expected = evaluatePool(all, pool)
  const opened: OpenedStatements = new Map()
  assert.equal(expected.hosts.size, 3)
  assert.equal(expected.rejected.length, 6)
  fc.assert(
    fc.property(
      fc.shuffledSubarray(all, { minLength: all.length }),
      fc.subarray(all),
      (order, again) => {
        assert.deepEqual(evaluatePool([...order, ...again], pool), expected)
        assert.deepEqual(evaluatePool([...order, ...again], pool, opened), expected)
      },
    ),
    { numRuns: 12 },
  )
})

test('subsets are safe, too: nobody is in without a chain to the genesis', () => {
  const chain = [genesis, admit(bob, alice, 120), admit(carol, bob, 130), certify(carol, 140)]
  assert.deepEqual(namesOf(chain), ['tokyo'])
  for (let missing = 0; missing < chain.length; missing++) {
    const without = chain.filter((_, index) => index !== missing)
    assert.deepEqual(namesOf(without), [], `without statement ${missing}`)
  }
})

test('a stranger gets nothing by signing for himself, for others, or with lent delegations', () => {
  const base = [genesis, certify(alice, 110)]
  const cases: [string, () => Uint8Array][] = [
    ['certifies his own host', () => certify(mallory, 1)],
    ['admits himself', () => admit(mallory, mallory, 1)],
    [
      "uses another's delegation",
      () =>
        signHost(
          { pool, claim: claimOf(mallory), delegation: alice.delegation, at: 1 },
          mallory.host,
        ),
    ],
    [
      'admits himself with a delegation that is not his',
      () =>
        signOrganisation(
          { pool, org: mallory.org, invite: pool, delegation: alice.delegation, at: 1 },
          mallory.host,
        ),
    ],
    ["certifies as another organisation's", () => certify(mallory, 1, { org: alice.org })],
    ['claims for another pool', () => certify(mallory, 1, { pool: new Uint8Array(32) })],
    ['sends a kind of tomorrow', () => kindOfTomorrow()],
  ]
  for (const [what, make] of cases) {
    const state = evaluatePool([...base, make()], pool)
    assert.equal(state.hosts.size, 1, what)
    assert.equal(state.organisations.size, 1, what)
    assert.equal(state.rejected.length, 1, what)
  }
  const unknown = evaluatePool([...base, kindOfTomorrow()], pool)
  assert.equal(unknown.rejected[0]?.reason, 'unknown kind')
})

function kindOfTomorrow(): Uint8Array {
  return signEnvelope('pool-log', encodeCbor({ v: 1, kind: 'tomorrow', pool }), mallory.host)
}

test('rights are those of the delegation', () => {
  const guest = member(40, ['certify-host'])
  const statements = [genesis, admit(guest, alice, 110), certify(guest, 120)]
  assert.deepEqual(namesOf(statements), ['tokyo'])
  const state = evaluatePool([...statements, admit(carol, guest, 130)], pool)
  assert.equal(state.organisations.has(toHex(carol.org)), false)
  const delegation = openDelegation(guest.delegation)
  assert.equal(mayAct(delegation, guest.host.publicKey, 'certify-host'), true)
  assert.equal(mayAct(delegation, guest.host.publicKey, 'invite'), false)
  assert.equal(mayAct(delegation, alice.host.publicKey, 'certify-host'), false)
})

test('an admitted organisation cannot list the host or the vault of another as its own', () => {
  const base = [genesis, certify(alice, 110), admit(mallory, alice, 111)]
  const theft: HostClaim = {
    ...openHostClaim(claimOf(alice)),
    org: mallory.org,
    site: 'elsewhere',
  }
  // The claim must be signed by the host and by the vault: with keys of its own it can do neither.
  const forged = encodeCbor({ v: 1, ...theft, vaultProof: new Uint8Array(64) })
  const claim = signEnvelope('join', forged, mallory.host)
  const statement = signHost({ pool, claim, delegation: mallory.delegation, at: 1 }, mallory.host)
  const state = evaluatePool([...base, statement], pool)
  assert.equal(state.hosts.get(toHex(alice.host.publicKey))?.site, 'tokyo')
  assert.equal(state.rejected.length, 1)
  const vaultTheft = encodeCbor({
    v: 1,
    ...openHostClaim(claimOf(mallory)),
    vault: alice.vault.publicKey,
    vaultProof: new Uint8Array(64),
  })
  assert.throws(() => openHostClaim(signEnvelope('join', vaultTheft, mallory.host)), {
    code: 'BAD_SIGNATURE',
  })
})

test('the newest certificate of a host counts, and a host stays with its organisation', () => {
  const moved = { site: 'nagoya' }
  const statements = [genesis, certify(alice, 110), certify(alice, 200, moved)]
  const [host] = evaluatePool(statements, pool).hosts.values()
  assert.deepEqual([host?.site, host?.since, host?.at], ['nagoya', 110, 200])
  const bobWithAlicesHost = { ...bob, host: alice.host }
  const delegation = signDelegation(
    { org: bob.org, delegate: alice.host.publicKey, may: RIGHTS, at: 1 },
    bob.guard,
  )
  const state = evaluatePool(
    [...statements, admit(bob, alice, 210), certify({ ...bobWithAlicesHost, delegation }, 300)],
    pool,
  )
  assert.equal(state.hosts.size, 1)
  assert.equal(state.rejected[0]?.reason, 'of a host that belongs to another organisation')
})

test('names stay unique: who was first keeps the name, case of ASCII letters aside', () => {
  const statements = [
    genesis,
    certify(alice, 110, { name: 'nas' }),
    admit(bob, alice, 111),
    certify(bob, 112, { name: 'NAS' }),
    admit(carol, alice, 113),
    certify(carol, 114, { name: 'nas' }),
  ]
  assert.deepEqual(namesOf(statements), ['NAS#2', 'nas', 'nas#3'])
})

test('labels have visible characters of any script and no separators', () => {
  for (const good of ['a', 'Büro', '大阪', 'rack 2', 'kobe-2', 'a.b_c', '🗿', 'x'.repeat(63)]) {
    assert.equal(isLabel(good), true, good)
  }
  const bad = ['', ' a', 'a ', '-a', 'a\n', 'a#2', 'a:b', 'a/b', '\u202ea', 'a\u200bb', '\ufeffa']
  for (const text of [...bad, 'x'.repeat(64), 'a\u0000', 'a\u00a0b', '\ud800', '\u{e0041}']) {
    assert.equal(isLabel(text), false, JSON.stringify(text))
  }
})

test('statements, claims, delegations and addresses come back, and no bit of them can change', () => {
  const record = {
    host: alice.host.publicKey,
    addresses: ['/ip4/192.0.2.1/tcp/4001', '/dns4/nas.example.com/tcp/4001'],
    seq: 3,
    at: 5,
  }
  assert.deepEqual(openAddressRecord(signAddressRecord(record, alice.host)), record)
  assert.throws(() => signAddressRecord({ ...record, addresses: ['nonsense'] }, alice.host), {
    code: 'MALFORMED',
  })
  const opened = openStatement(certify(alice, 110))
  assert.equal(opened.statement.kind, 'host')
  assert.equal(opened.claim?.name, 'tokyo')
  const formats: [Uint8Array, (envelope: Uint8Array) => unknown][] = [
    [certify(alice, 110), openStatement],
    [claimOf(alice), openHostClaim],
    [alice.delegation, openDelegation],
    [signAddressRecord(record, alice.host), openAddressRecord],
  ]
  for (const [envelope, open] of formats) {
    open(envelope)
    for (let at = 0; at < envelope.length; at++) {
      const changed = new Uint8Array(envelope)
      changed[at] = (changed[at] as number) ^ (1 << (at % 8))
      assert.throws(() => open(changed), MoyaiError, `byte ${at}`)
      assert.throws(() => open(envelope.subarray(0, at)), MoyaiError, `cut at ${at}`)
    }
  }
})

test('random payloads under good signatures never cause anything but a MoyaiError', () => {
  const value: fc.Arbitrary<CborValue> = fc.letrec<{ value: CborValue }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.boolean(),
      fc.integer(),
      fc.string({ maxLength: 5 }).filter((text) => !text.startsWith('\uFEFF')),
      fc.uint8Array({ maxLength: 70 }),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(
        fc.constantFrom('v', 'kind', 'by', 'at', 'delegation', 'claim', 'pool', 'org'),
        fc.oneof(tie('value'), fc.constantFrom('genesis', 'host', 1)),
        { noNullPrototype: true },
      ),
    ),
  })).value
  fc.assert(
    fc.property(value, fc.uint8Array({ maxLength: 90 }), (payload, bytes) => {
      const signed = signEnvelope('pool-log', encodeCbor(payload), mallory.host)
      for (const envelope of [signed, bytes]) {
        assert.throws(() => openStatement(envelope), MoyaiError)
        assert.throws(() => openHostClaim(envelope), MoyaiError)
        assert.throws(() => openDelegation(envelope), MoyaiError)
        assert.throws(() => openAddressRecord(envelope), MoyaiError)
        assert.equal(evaluatePool([genesis, envelope], pool).rejected.length, 1)
      }
    }),
    { numRuns: 150 },
  )
})

/** `name, site, provider, class`, and whether it is retired. */
function described(host: HostCertificate): string {
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

test('the vectors of the pool log hold', () => {
  type Case = { name: string; envelope: string; expect: string; id?: string; kind?: string }
  type Pool = {
    name: string
    pool: string
    statements: string[]
    state: {
      name: string
      organisations: string[]
      hosts: Record<string, string>
      revoked: string[]
      policy: string | null
      rejected: { id: string; reason: string }[]
    }
  }
  const read = <T>(name: string): T[] => {
    const json = readFileSync(new URL(name, VECTORS), 'utf8')
    return (JSON.parse(json) as { cases: T[] }).cases
  }
  for (const one of read<Case>('statements.json')) {
    const envelope = fromHex(one.envelope)
    if (one.expect === 'ok') {
      assert.equal(openStatement(envelope).statement.kind, one.kind, one.name)
      assert.equal(toHex(statementId(envelope)), one.id, one.name)
    } else assert.throws(() => openStatement(envelope), { code: one.expect }, one.name)
  }
  for (const one of read<Pool>('pools.json')) {
    const state = evaluatePool(one.statements.map(fromHex), fromHex(one.pool))
    assert.deepEqual(
      {
        name: state.name,
        organisations: [...state.organisations.keys()],
        hosts: Object.fromEntries([...state.hosts].map(([id, host]) => [id, described(host)])),
        revoked: [...state.revoked.keys()],
        policy: state.policy === undefined ? null : policyText(state.policy),
        rejected: state.rejected.map(({ id, reason }) => ({ id: toHex(id), reason })),
      },
      one.state,
      one.name,
    )
  }
})
