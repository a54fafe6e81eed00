import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../bytes.ts'
import { encodeCbor } from '../cbor/index.ts'
import { isMoyaiError, MoyaiError } from '../errors.ts'
import { encodeBundle } from '../keys/index.ts'
import { fromBase64Url, toBase64Url } from './base64url.ts'
import {
  decodeInvite,
  decodeJoinRequest,
  decodeJoinResponse,
  encodeInvite,
  encodeJoinRequest,
  encodeJoinResponse,
  inviteKeys,
  openHostPackage,
  verifyJoinProof,
  type HostPackage,
  type Invite,
  type JoinResponse,
} from './index.ts'

const VECTORS = new URL('../../../../test/vectors/invite/', import.meta.url)

const fill = (value: number, length = 32): Uint8Array => new Uint8Array(length).fill(value)
const invite: Invite = {
  host: fill(1),
  secret: fill(2, 16),
  pool: fill(3),
  expires: 1_790_000_000,
  addresses: ['/ip4/192.0.2.1/tcp/4001', '/dns4/nas.example.com/tcp/4001'],
  sameOrg: false,
}
const joiner = fill(4)
const request = {
  invite,
  joiner,
  time: 1_790_000_000_000,
  statement: fill(5, 900),
  address: fill(6, 200),
}

test('base64url comes back, agrees with the platform, and has one text for one value', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const text = toBase64Url(bytes)
      assert.equal(text, Buffer.from(bytes).toString('base64url'))
      assert.deepEqual(fromBase64Url(text), bytes)
    }),
  )
  for (const bad of ['A', 'AB', 'AAB', 'AA==', 'A+AA', 'A A', 'ä']) {
    assert.equal(fromBase64Url(bad), undefined, bad)
  }
})

test('a token comes back, and survives the white space of a mail', () => {
  const token = encodeInvite(invite)
  assert.match(token, /^moyai1-[A-Za-z0-9_-]+$/)
  assert.deepEqual(decodeInvite(token), invite)
  assert.deepEqual(decodeInvite(`\n  ${token}\r\n`), invite)
})

test('a token with three addresses is shorter than a line of a chat', () => {
  const addresses = ['/ip4/203.0.113.77/tcp/4001', '/ip4/192.168.178.21/tcp/4001']
  assert.equal(encodeInvite({ ...invite, addresses }).length, 146)
  const third = [...addresses, '/ip6/2001:db8:1234:5600:1a2b:3c4d:5e6f:7a8b/tcp/4001']
  assert.equal(encodeInvite({ ...invite, addresses: third }).length, 171)
})

test('any address comes back from a token, in one form', () => {
  const byte = fc.nat(255)
  const port = fc.nat(65_535)
  const address = fc.oneof(
    fc
      .tuple(byte, byte, byte, byte, port)
      .map(([...o]) => `/ip4/${o.slice(0, 4).join('.')}/tcp/${o[4]}`),
    fc.tuple(fc.ipV6(), port).map(([ip, at]) => `/ip6/${ip}/tcp/${at}`),
    fc.tuple(fc.domain(), port).map(([name, at]) => `/dns4/${name}/tcp/${at}`),
    fc.tuple(fc.ipV4(), port).map(([ip, at]) => `/ip4/${ip}/udp/${at}/quic-v1`),
    fc.constantFrom(
      '/memory/x',
      '/ip4/1.2.3/tcp/4',
      '/ip4/01.2.3.4/tcp/4',
      '/ip6/::/tcp/0',
      '/dns/a/tcp/70000',
    ),
  )
  fc.assert(
    fc.property(fc.array(address, { maxLength: 4 }), (addresses) => {
      const token = encodeInvite({ ...invite, addresses })
      assert.deepEqual(decodeInvite(token), { ...invite, addresses })
    }),
  )
  const five = Array.from({ length: 5 }, () => '/ip4/192.0.2.1/tcp/1')
  assert.throws(() => encodeInvite({ ...invite, addresses: five }), { code: 'TOO_LARGE' })
})

test('a token with any character changed, or cut off anywhere, is a BAD_TOKEN that says what to do', () => {
  const token = encodeInvite(invite)
  for (let at = 0; at < token.length; at++) {
    const other = token[at] === 'A' ? 'B' : 'A'
    const changed = token.slice(0, at) + other + token.slice(at + 1)
    assert.throws(
      () => decodeInvite(changed),
      (error) => isMoyaiError(error, 'BAD_TOKEN') && error.hint !== undefined,
    )
    assert.throws(() => decodeInvite(token.slice(0, at)), { code: 'BAD_TOKEN' })
  }
  fc.assert(
    fc.property(fc.string({ maxLength: 100 }), (text) => {
      assert.throws(() => decodeInvite(`moyai1-${text}`), { code: 'BAD_TOKEN' })
    }),
  )
})

test('a join proof holds for its secret, parties and body, and for nothing else', () => {
  const bytes = encodeJoinRequest(request)
  const received = decodeJoinRequest(bytes)
  const { id, proofKey } = inviteKeys(invite.secret)
  assert.deepEqual(received.invite, id)
  assert.equal(received.kind, 'join')
  assert.deepEqual(received.kind === 'join' && received.statement, request.statement)
  const parties = { pool: invite.pool, inviter: invite.host, joiner, proofKey }
  assert.equal(verifyJoinProof(received, parties), true)
  assert.equal(verifyJoinProof(received, { ...parties, joiner: fill(9) }), false)
  assert.equal(verifyJoinProof(received, { ...parties, inviter: fill(9) }), false)
  assert.equal(verifyJoinProof(received, { ...parties, pool: fill(9) }), false)
  const otherKey = inviteKeys(fill(7, 16)).proofKey
  assert.equal(verifyJoinProof(received, { ...parties, proofKey: otherKey }), false)
  const other = decodeJoinRequest(encodeJoinRequest({ ...request, time: 1 }))
  assert.equal(verifyJoinProof({ ...received, body: other.body }, parties), false)
})

test('neither the secret nor the proof key travels', () => {
  const hex = toHex(encodeJoinRequest(request))
  assert.equal(hex.includes(toHex(invite.secret)), false)
  assert.equal(hex.includes(toHex(inviteKeys(invite.secret).proofKey)), false)
})

test('responses come back; a refusal has a code of ours', () => {
  const admitted: JoinResponse = {
    kind: 'admitted',
    statements: [fill(1, 100), fill(2, 200)],
    addresses: [fill(3, 100)],
    time: 5,
  }
  assert.deepEqual(decodeJoinResponse(encodeJoinResponse(admitted)), admitted)
  const refused: JoinResponse = { kind: 'refused', code: 'INVITE_EXPIRED', text: 'too late' }
  assert.deepEqual(decodeJoinResponse(encodeJoinResponse(refused)), refused)
  const long: JoinResponse = { ...refused, text: `\uFEFF${'x'.repeat(600)}\ud800` }
  assert.deepEqual(decodeJoinResponse(encodeJoinResponse(long)), {
    ...refused,
    text: 'x'.repeat(511),
  })
  const strange = encodeCbor({ v: 1, kind: 'refused', code: 'constructor', text: '' })
  assert.deepEqual(decodeJoinResponse(strange), { kind: 'refused', code: 'HOST_REFUSED', text: '' })
})

test('requests and responses cut short, and random bytes, give a MoyaiError', () => {
  const small = encodeJoinRequest({ ...request, statement: fill(5, 64), address: fill(6, 64) })
  for (let length = 0; length < small.length; length++) {
    assert.throws(() => decodeJoinRequest(small.subarray(0, length)), MoyaiError)
  }
  const response = encodeJoinResponse({ kind: 'refused', code: 'BUSY', text: 'later' })
  for (let length = 0; length < response.length; length++) {
    assert.throws(() => decodeJoinResponse(response.subarray(0, length)), MoyaiError)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      assert.throws(() => decodeJoinRequest(bytes), MoyaiError)
      assert.throws(() => decodeJoinResponse(bytes), MoyaiError)
    }),
  )
  assert.throws(() => decodeJoinRequest(new Uint8Array(40_000)), { code: 'TOO_LARGE' })
})

test('the vectors of invites and joins hold', () => {
  type Token = {
    name: string
    token: string
    expect: string
    secret?: string
    id?: string
    addresses?: string[]
    sameOrg?: boolean
  }
  type Join = { name: string; request: string; expect: string; proofKey: string } & {
    pool: string
    inviter: string
    joiner: string
    proven?: boolean
  }
  const read = <T>(name: string): T[] => {
    const json = readFileSync(new URL(name, VECTORS), 'utf8')
    return (JSON.parse(json) as { cases: T[] }).cases
  }
  type Package = { name: string; secret: string; pool: string; inviter: string } & {
    sealed: string
    expect: string
    identitySeed?: string
    bundle?: string
    delegation?: string
  }
  for (const one of read<Package>('packages.json')) {
    const [secret, pool, host] = [one.secret, one.pool, one.inviter].map(fromHex)
    const of = { secret, pool, host } as Pick<Invite, 'secret' | 'pool' | 'host'>
    const open = (): HostPackage => openHostPackage(of, fromHex(one.sealed))
    if (one.expect === 'ok') {
      assert.equal(toHex(open().identitySeed), one.identitySeed)
      assert.equal(toHex(encodeBundle(open().bundle)), one.bundle)
      assert.equal(toHex(open().delegation), one.delegation)
    } else assert.throws(open, { code: one.expect }, one.name)
  }
  for (const one of read<Token>('tokens.json')) {
    if (one.expect === 'ok') {
      const decoded = decodeInvite(one.token)
      assert.equal(toHex(decoded.secret), one.secret, one.name)
      assert.equal(toHex(inviteKeys(decoded.secret).id), one.id, one.name)
      assert.equal(encodeInvite(decoded), one.token, one.name)
      if (one.addresses !== undefined) assert.deepEqual(decoded.addresses, one.addresses, one.name)
      if (one.sameOrg !== undefined) assert.equal(decoded.sameOrg, one.sameOrg, one.name)
    } else assert.throws(() => decodeInvite(one.token), { code: one.expect }, one.name)
  }
  for (const one of read<Join>('join-requests.json')) {
    if (one.expect === 'ok') {
      const proven = verifyJoinProof(decodeJoinRequest(fromHex(one.request)), {
        pool: fromHex(one.pool),
        inviter: fromHex(one.inviter),
        joiner: fromHex(one.joiner),
        proofKey: fromHex(one.proofKey),
      })
      assert.equal(proven, one.proven, one.name)
    } else assert.throws(() => decodeJoinRequest(fromHex(one.request)), { code: one.expect })
  }
})
