/** Writes the vectors of spec/join.md: `node test/vectors/invite/generate.ts`. */

import { writeFileSync } from 'node:fs'
import {
  blake3,
  concatBytes,
  decodeJoinRequest,
  encodeCbor,
  encodeInvite,
  deriveVaultBundle,
  ed25519Signer,
  encodeBundle,
  encodeJoinRequest,
  encodePackageRequest,
  guardSigner,
  inviteKeys,
  sealHostPackage,
  signDelegation,
  toHex,
  type CborMap,
  type Invite,
} from '@moyai/protocol'

const fill = (value: number, length = 32): Uint8Array => new Uint8Array(length).fill(value)
const invite: Invite = {
  host: fill(1),
  secret: fill(2, 16),
  pool: fill(3),
  expires: 1_790_000_000,
  addresses: ['/ip4/192.0.2.1/tcp/4001', '/dns4/nas.example.com/tcp/4001'],
  sameOrg: false,
}
const token = encodeInvite(invite)
const { id, proofKey } = inviteKeys(invite.secret)

/** A token with any body, and the checksum that belongs to it. */
function tokenOf(body: Uint8Array): string {
  const bytes = concatBytes(body, blake3(body).subarray(0, 4))
  return `moyai1-${Buffer.from(bytes).toString('base64url')}`
}
const plain = Buffer.from(token.slice('moyai1-'.length), 'base64url').subarray(0, -4)
const bent = (name: string, body: Uint8Array): unknown => ({
  name,
  token: tokenOf(body),
  expect: 'BAD_TOKEN',
})
const withAddresses = (name: string, addresses: string[], sameOrg = false): unknown => ({
  name,
  token: encodeInvite({ ...invite, addresses, sameOrg }),
  expect: 'ok',
  secret: toHex(invite.secret),
  id: toHex(id),
  addresses,
  sameOrg,
})
/** The body up to its addresses, and these bytes behind it. */
const followedBy = (...bytes: number[]): Uint8Array =>
  concatBytes(plain.subarray(0, 86), Uint8Array.from(bytes))
const short = (length: number): number[] => Array.from({ length }, () => 1)

const tokens = [
  { name: 'an invite', token, expect: 'ok', secret: toHex(invite.secret), id: toHex(id) },
  withAddresses('an invite without addresses', []),
  withAddresses('a further host of the organisation', ['/ip4/192.0.2.1/tcp/4001'], true),
  withAddresses('addresses of every kind', [
    '/ip6/2001:db8::1/tcp/4001',
    '/dns/nas.example.com/tcp/65535',
    '/ip4/192.0.2.1/udp/4001/quic-v1',
    '/ip6/2001:DB8::1/tcp/4001',
  ]),
  { name: 'nothing', token: '', expect: 'BAD_TOKEN' },
  { name: 'a prefix', token: 'moyai1-', expect: 'BAD_TOKEN' },
  { name: 'another prefix', token: token.replace('moyai1-', 'moyai2-'), expect: 'BAD_TOKEN' },
  { name: 'cut off', token: token.slice(0, -1), expect: 'BAD_TOKEN' },
  { name: 'a character more', token: `${token}A`, expect: 'BAD_TOKEN' },
  { name: 'padding', token: `${token}=`, expect: 'BAD_TOKEN' },
  { name: 'a space inside', token: `${token.slice(0, 30)} ${token.slice(30)}`, expect: 'BAD_TOKEN' },
  { name: 'too long', token: `moyai1-${'A'.repeat(9000)}`, expect: 'BAD_TOKEN' },
  bent('a later version', concatBytes(Uint8Array.of(3), plain.subarray(1))),
  bent('unknown flags', concatBytes(Uint8Array.of(2, 2), plain.subarray(2))),
  bent('a body that is too short', plain.subarray(0, 85)),
  bent('an address of an unknown kind', followedBy(7, 1, 2, 3)),
  bent('an address that ends too early', followedBy(4, 192, 0, 2)),
  bent('an address that has a shorter form', followedBy(0, 24, ...Buffer.from('/ip4/192.0.2.1/tcp/40011'))),
  bent('an address that is none', followedBy(0, 3, 97, 98, 99)),
  bent('an empty address', followedBy(0, 0)),
  bent('five addresses', followedBy(...Array.from({ length: 5 }, () => [4, ...short(6)]).flat())),
]

const joiner = fill(4)
const request = encodeJoinRequest({
  invite,
  joiner,
  time: 1_790_000_000_000,
  statement: fill(5, 80),
  address: fill(6, 80),
})
const keysRequest = encodePackageRequest({ invite, joiner, time: 1_790_000_000_000 })
const { body, proof } = decodeJoinRequest(request)
const parties = {
  pool: toHex(invite.pool),
  inviter: toHex(invite.host),
  joiner: toHex(joiner),
  proofKey: toHex(proofKey),
}
const hex = toHex(request)
const changed = (name: string, expect: string, value: CborMap): unknown => ({
  name,
  request: toHex(encodeCbor({ v: 1, body, proof, ...value })),
  expect,
  ...parties,
})
const joins = [
  { name: 'a request', request: hex, expect: 'ok', ...parties, proven: true },
  { name: 'another joiner', request: hex, expect: 'ok', ...parties, joiner: toHex(fill(9)), proven: false },
  { name: 'another inviter', request: hex, expect: 'ok', ...parties, inviter: toHex(fill(9)), proven: false },
  { name: 'another pool', request: hex, expect: 'ok', ...parties, pool: toHex(fill(9)), proven: false },
  { name: 'another secret', request: hex, expect: 'ok', ...parties, proofKey: toHex(fill(9)), proven: false },
  { name: 'a request for keys', request: toHex(keysRequest), expect: 'ok', ...parties, proven: true },
  { name: 'cut by one byte', request: hex.slice(0, -2), expect: 'MALFORMED', ...parties },
  { name: 'a byte too many', request: `${hex}00`, expect: 'MALFORMED', ...parties },
  changed('a later version', 'UNKNOWN_VERSION', { v: 2 }),
  changed('a proof that is none', 'MALFORMED', { proof: fill(1, 31) }),
  changed('a body that is none', 'MALFORMED', { body: fill(0xff, 5) }),
  changed('an unknown key', 'MALFORMED', { more: 1 }),
]

function write(name: string, cases: unknown): void {
  const json = { format: 'invite', spec: 'spec/join.md', cases }
  const file = new URL(`${name}.json`, import.meta.url)
  writeFileSync(file, `${JSON.stringify(json, undefined, 2)}\n`)
}

write('tokens', tokens)
write('join-requests', joins)

const guard = guardSigner(fill(7))
const delegate = ed25519Signer(fill(8)).publicKey
const delegation = signDelegation(
  { org: guard.publicKey, delegate, may: ['certify-host', 'invite'], at: 1_790_000_000_000 },
  guard,
)
const keys = { identitySeed: fill(8), bundle: deriveVaultBundle(fill(7), fill(9, 16)), delegation }
const fixed = { bytes: (length: number): Uint8Array => fill(10, length) }
const sealed = sealHostPackage(invite, keys, fixed)
const flipped = sealed.slice()
flipped[80] = (flipped[80] as number) ^ 1
const of = {
  secret: toHex(invite.secret),
  pool: toHex(invite.pool),
  inviter: toHex(invite.host),
}
const packaged = (name: string, expect: string, box: Uint8Array, change = {}): unknown => ({
  name,
  ...of,
  ...change,
  sealed: toHex(box),
  expect,
})
write('packages', [
  {
    ...(packaged('the keys of a host', 'ok', sealed) as object),
    identitySeed: toHex(keys.identitySeed),
    bundle: toHex(encodeBundle(keys.bundle)),
    delegation: toHex(delegation),
  },
  packaged('another secret', 'SEAL_MISMATCH', sealed, { secret: toHex(fill(9, 16)) }),
  packaged('another pool', 'SEAL_MISMATCH', sealed, { pool: toHex(fill(9)) }),
  packaged('another inviter', 'SEAL_MISMATCH', sealed, { inviter: toHex(fill(9)) }),
  packaged('a changed bit', 'SEAL_MISMATCH', flipped),
  packaged('cut short', 'TRUNCATED', sealed.subarray(0, 79)),
  packaged('too long', 'TOO_LARGE', new Uint8Array(3000)),
  packaged(
    'a delegation to another host',
    'IDENTITY_MISMATCH',
    sealHostPackage(invite, { ...keys, identitySeed: fill(11) }, fixed),
  ),
  packaged(
    'a bundle of another organisation',
    'IDENTITY_MISMATCH',
    sealHostPackage(invite, { ...keys, bundle: deriveVaultBundle(fill(1), fill(9, 16)) }, fixed),
  ),
])
