/** Writes placement.json beside this file: `node test/vectors/placement/generate.ts`. */

import { writeFileSync } from 'node:fs'
import { DEFAULT_POLICY, isMoyaiError, planCode, survives } from '@moyai/protocol'
import type { HostFacts, Policy } from '@moyai/protocol'

function pool(places: string[]): HostFacts[] {
  return places.map((place, i) => {
    const [site = '', provider = 'self', org = `org-${i}`, hours = ''] = place.split('/')
    const id = (i + 1).toString(16).padStart(64, '0')
    const alwaysOn = hours === 'always-on'
    return { id, org, site, provider, online: true, freeBytes: 1e12, alwaysOn }
  })
}

const POOLS: [name: string, places: string[], policy?: Policy][] = [
  ['the owner alone', ['a']],
  ['two hosts', ['a', 'b']],
  ['three hosts', ['a', 'b', 'c']],
  ['four hosts', ['a', 'b', 'c', 'd']],
  ['six hosts, three sites, two providers', ['a/x', 'a/y', 'b/x', 'b/y', 'c/x', 'c/y']],
  ['six hosts in one site', ['a', 'a', 'a', 'a', 'a', 'a']],
  ['six hosts of one provider', ['a/x', 'b/x', 'c/x', 'd/x', 'e/x', 'f/x']],
  ['nine hosts, nine sites', ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']],
  ['nine hosts, two sites', ['z', 'a', 'b', 'a', 'b', 'a', 'b', 'a', 'b']],
  [
    'twelve hosts, two sites may vanish',
    ['z', 'a', 'b', 'c', 'd', 'e', 'f', 'a', 'b', 'c', 'd', 'e'],
    { ...DEFAULT_POLICY, site: 2 },
  ],
  ['six hosts of one organisation, three sites', Array.from('aabbcc', (site) => `${site}/self/x`)],
  [
    'nine hosts of two organisations, which share one of three sites',
    [...Array.from('abbb', (site) => `${site}/self/x`), ...Array.from('bbccc', (s) => `${s}/self/y`)],
  ],
  [
    'twelve hosts in four sites, four of them always on',
    Array.from('abcdabcdabcd', (site, i) => `${site}/self/x/${i < 5 ? 'always-on' : ''}`),
  ],
  ['two hosts of seven stand apart', Array.from('aaaaaabc')],
]

const plans = POOLS.map(([name, places, policy = DEFAULT_POLICY]) => {
  const hosts = pool(places)
  const owner = hosts[0]?.id ?? ''
  const plan = (kind: 'data' | 'meta') => {
    const { code, margin, caps, met } = planCode({ hosts, owner, class: kind, policy })
    return { code: `${code.k}+${code.m}`, margin, caps, met }
  }
  try {
    return { name, hosts, owner, policy, data: plan('data'), meta: plan('meta'), expect: 'ok' }
  } catch (error) {
    if (!isMoyaiError(error)) throw error
    return { name, hosts, owner, policy, expect: error.code }
  }
})

const six = pool(['a/x', 'a/y', 'b/x', 'b/y', 'c/x', 'c/y'])
const LOSSES: [name: string, holders: number[]][] = [
  ['all five shards', [1, 2, 3, 4, 5]],
  ['one shard gone', [1, 2, 3, 4]],
  ['two shards gone', [1, 2, 3]],
  ['no loss left', [4, 5]],
  ['lost', [4]],
]
const survivals = LOSSES.map(([name, holders]) => {
  const shards = holders.map((holder) => ({ index: holder - 1, host: six[holder]?.id ?? '' }))
  const code = { k: 2, m: 3 }
  return { name, shards, hosts: six, code, result: survives({ shards, hosts: six, code }) }
})

const comment =
  'plans: the code for data and for meta stripes of an owner in a pool, its margin, its caps and whether it keeps the' +
  ' whole policy, or the error in expect. survivals: how many' +
  ' whole domains of each kind may vanish in the worst case. See spec/placement.md.'
writeFileSync(
  new URL('placement.json', import.meta.url),
  `${JSON.stringify({ comment, plans, survivals }, undefined, 2)}\n`,
)
