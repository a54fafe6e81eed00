import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { compareBytes, fromHex, toHex } from '../bytes.ts'
import { ed25519Signer } from '../envelope/index.ts'
import { isMoyaiError } from '../errors.ts'
import { AUDIT_COST_BYTES, AUDIT_ROUND_MS, TIME_MAX } from '../limits.ts'
import {
  type AuditDay,
  type AuditReport,
  auditorOf,
  auditShare,
  type AuditVerdict,
  challengedGroup,
  isPattern,
  noteVerdict,
  openAuditAnswer,
  openAuditReport,
  signAuditAnswer,
  type SignedAuditAnswer,
  signAuditReport,
  tallyOf,
  TALLY_DAYS,
  trustAfter,
  type TrustState,
} from './index.ts'

const DAY_MS = 86_400_000
const host = ed25519Signer(new Uint8Array(32).fill(2))
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })
const time = fc.integer({ min: 0, max: TIME_MAX })
const place = { pack: hash, index: fc.nat(47) }
const plain = { noNullPrototype: true }

const item = fc.oneof(
  fc.record(
    { ...place, group: fc.nat(255), claim: fc.constant('held' as const), proof: hash },
    plain,
  ),
  fc.record(
    {
      ...place,
      group: fc.nat(255),
      claim: fc.constantFrom('missing' as const, 'damaged' as const),
    },
    plain,
  ),
)
const answers: fc.Arbitrary<SignedAuditAnswer> = fc.record(
  {
    pool: hash,
    vault: hash,
    host: fc.constant(host.publicKey),
    auditor: hash,
    nonce: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    at: time,
    items: fc.array(item, { minLength: 1, maxLength: 16 }),
  },
  plain,
)
const holders = fc
  .uniqueArray(
    fc.record(
      {
        host: hash,
        proved: fc.nat(99),
        late: fc.nat(99),
        proxied: fc.nat(9),
        failedDays: fc.nat(15),
        failed: fc.array(fc.record(place, plain), { maxLength: 32 }),
      },
      plain,
    ),
    { maxLength: 5, selector: (one) => toHex(one.host) },
  )
  .map((all) =>
    all
      .map((one) => ({ ...one, asked: one.proved + one.late + one.failed.length }))
      .sort((a, b) => compareBytes(a.host, b.host)),
  )
const reports: fc.Arbitrary<AuditReport> = fc
  .record(
    {
      pool: hash,
      auditor: fc.constant(host.publicKey),
      vault: hash,
      from: time,
      to: time,
      whole: fc.boolean(),
      holders,
    },
    plain,
  )
  .filter(({ from, to }) => from <= to)

describe('audit: answers and reports', () => {
  it('agree with the vectors, failures included', () => {
    // Goal: another implementation of spec/audit.md can be checked with the same file.
    const url = new URL('../../../../test/vectors/audit/audit.json', import.meta.url)
    const { cases } = JSON.parse(readFileSync(url, 'utf8')) as {
      cases: { tag: string; name: string; envelope: string; content?: unknown; expect: string }[]
    }
    for (const { tag, name, envelope, content, expect } of cases) {
      const open = tag === 'audit' ? openAuditReport : openAuditAnswer
      if (expect === 'ok') {
        const text = JSON.stringify(open(fromHex(envelope)), (_, value: unknown) =>
          value instanceof Uint8Array ? toHex(value) : value,
        )
        assert.deepEqual(JSON.parse(text), content, name)
      } else {
        assert.throws(
          () => open(fromHex(envelope)),
          (error) => isMoyaiError(error) && error.code === expect,
          name,
        )
      }
    }
  })

  it('come back as they were signed, and neither opens as the other', () => {
    fc.assert(
      fc.property(answers, reports, (answer, report) => {
        const one = signAuditAnswer(answer, host)
        const other = signAuditReport(report, host)
        assert.deepEqual(openAuditAnswer(one), answer)
        assert.deepEqual(openAuditReport(other), report)
        assert.throws(() => openAuditAnswer(other), isMoyaiError)
        assert.throws(() => openAuditReport(one), isMoyaiError)
      }),
      { numRuns: 50 },
    )
  })

  it('refuse any junk', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (junk) => {
        assert.throws(() => openAuditAnswer(junk), isMoyaiError)
        assert.throws(() => openAuditReport(junk), isMoyaiError)
      }),
    )
  })
})

describe('audit: who asks for what', () => {
  it('chooses groups of the shard, all of them', () => {
    const chosen = new Set<number>()
    for (let i = 0; i < 256; i++) {
      const group = challengedGroup(Uint8Array.of(0, 0, i, 255 - i), 256 * 1024)
      assert.ok(group >= 0 && group < 16)
      chosen.add(group)
    }
    assert.equal(chosen.size, 16)
  })

  it('has one auditor for each place, never the audited one, whatever the order of holders', () => {
    fc.assert(
      fc.property(
        hash,
        fc.uniqueArray(hash.map(toHex), { minLength: 1, maxLength: 14 }),
        (pack, all) => {
          for (const audited of all) {
            const auditor = auditorOf(pack, all, audited)
            assert.equal(auditor, auditorOf(pack, all.toReversed(), audited))
            assert.notEqual(auditor, audited)
            assert.equal(auditor === undefined, all.length === 1)
          }
        },
      ),
      { numRuns: 50 },
    )
  })

  it('goes round in five days of any shape, or as fast as the budget allows', () => {
    // Method: whatever the times between shares, those of a round's time sum up to all shards.
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100_000 }),
        fc.array(fc.integer({ min: 1, max: 3 * DAY_MS }), { minLength: 1, maxLength: 60 }),
        (shards, gaps) => {
          const bytesPerDay = Number.MAX_SAFE_INTEGER
          let asked = 0
          let passed = 0
          for (const sinceMs of gaps) {
            const share = auditShare({ shards, sinceMs, bytesPerDay })
            assert.ok(share >= 1 && share <= shards)
            asked += share
            passed += sinceMs
          }
          assert.ok(
            asked >= Math.floor((shards * Math.min(passed, AUDIT_ROUND_MS)) / AUDIT_ROUND_MS),
          )
        },
      ),
    )
    const bytesPerDay = 100 * AUDIT_COST_BYTES
    assert.equal(auditShare({ shards: 1e6, sinceMs: DAY_MS, bytesPerDay }), 100)
    assert.equal(auditShare({ shards: 1e6, sinceMs: DAY_MS / 2, bytesPerDay }), 50)
    assert.equal(auditShare({ shards: 0, sinceMs: undefined, bytesPerDay }), 0)
  })
})

describe('audit: trust', () => {
  const verdicts = fc.constantFrom<AuditVerdict>('proved', 'failed', 'late', 'proxied')
  type Step = { verdict: AuditVerdict; shard: string; hours: number }
  const step: fc.Arbitrary<Step> = fc.record({
    verdict: verdicts,
    shard: fc.constantFrom('a', 'b', 'c', 'd'),
    hours: fc.nat(40),
  })

  function run(steps: readonly Step[]): { state: TrustState; days: AuditDay[] } {
    let state: TrustState = { provedInRow: 0, rowSince: 0 }
    let days: AuditDay[] = []
    let now = 1_795_408_000_000
    for (const { verdict, shard, hours } of steps) {
      now += hours * 3_600_000
      days = noteVerdict(days, { verdict, shard, now })
      const after = trustAfter(state, { verdict, tally: tallyOf(days), now })
      state = after.state
      if (after.isForgiven) days = []
    }
    return { state, days }
  }

  it('is never lost by being late, and never by less than a pattern', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const late = run(steps.map((one) => ({ ...one, verdict: 'late' as const })))
        assert.equal(late.state.untrustedSince, undefined)
        const two = run(steps.map((one) => ({ ...one, shard: one.shard > 'b' ? 'b' : one.shard })))
        const answered = steps.filter(({ verdict }) => verdict !== 'late').length
        const proxied = steps.filter(({ verdict }) => verdict === 'proxied').length
        if (answered < 20 && proxied < 2) assert.equal(two.state.untrustedSince, undefined)
        assert.ok(two.days.length <= TALLY_DAYS)
      }),
    )
  })

  it('is lost by three shards on two days, two proxied answers, or a fifth of twenty', () => {
    const failed = (shard: string, hours: number): Step => ({ verdict: 'failed', shard, hours })
    const proved = (hours: number): Step => ({ verdict: 'proved', shard: 'z', hours })
    const isLost = (steps: Step[]): boolean => run(steps).state.untrustedSince !== undefined
    assert.ok(!isLost([failed('a', 0), failed('b', 0), failed('c', 0)]))
    assert.ok(!isLost([failed('a', 0), failed('a', 24), failed('a', 24)]))
    assert.ok(isLost([failed('a', 0), failed('b', 0), failed('c', 24)]))
    assert.ok(!isLost([failed('a', 0), failed('b', 0), failed('c', 24 * 20)]))
    const proxied: Step = { verdict: 'proxied', shard: 'a', hours: 1 }
    assert.ok(!isLost([proxied]))
    assert.ok(isLost([proxied, proxied]))
    const good = Array.from({ length: 16 }, () => proved(0))
    assert.ok(isLost([...good, failed('a', 0), failed('b', 0), failed('c', 0), failed('d', 0)]))
    assert.ok(
      !isLost([...good, ...good, failed('a', 0), failed('b', 0), failed('c', 0), failed('d', 0)]),
    )
  })

  it('comes back after fifty proofs in a row over a week, and not before', () => {
    const proxied: Step = { verdict: 'proxied', shard: 'a', hours: 1 }
    const proved = (count: number, hours: number): Step[] =>
      Array.from({ length: count }, () => ({ verdict: 'proved', shard: 'z', hours }))
    const lost = [proxied, proxied]
    const isLost = (steps: Step[]): boolean =>
      run([...lost, ...steps]).state.untrustedSince !== undefined
    assert.ok(isLost(proved(49, 24)))
    assert.ok(isLost(proved(160, 1)))
    assert.ok(!isLost(proved(50, 4)))
    assert.ok(isLost([...proved(49, 4), proxied, ...proved(49, 4)]))
    const back = run([...lost, ...proved(50, 4)])
    assert.deepEqual(back.days, [])
    assert.ok(!isPattern(tallyOf(back.days)))
  })
})
