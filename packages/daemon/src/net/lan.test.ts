/** What mDNS answers are taken for, and how many. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PeerDiscovery, PeerInfo } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { peerIdOfHex } from './identity.ts'
import { Lan } from './lan.ts'
import { LAN_ADDRESSES_MAX, LAN_HOSTS_MAX } from './limits.ts'

function setUp(): { lan: Lan; answer: (host: string, addresses: string[]) => void } {
  const discovery = new EventTarget() as PeerDiscovery
  const lan = new Lan(discovery)
  const answer = (host: string, addresses: string[]): void => {
    const detail: PeerInfo = { id: peerIdOfHex(host), multiaddrs: addresses.map(multiaddr) }
    discovery.dispatchEvent(new CustomEvent('peer', { detail }))
  }
  return { lan, answer }
}

const hostOf = (number: number): string => number.toString(16).padStart(64, '0')

test('goal: answers are places on the LAN, few each, of few hosts, and only news is told', () => {
  const { lan, answer } = setUp()
  let told = 0
  lan.onFound = () => (told += 1)
  answer(hostOf(1), ['/ip4/192.168.1.7/tcp/4001', '/ip4/8.8.8.8/tcp/53'])
  assert.deepEqual(lan.of(hostOf(1)), ['/ip4/192.168.1.7/tcp/4001'], 'no door of the Internet')
  answer(hostOf(1), ['/ip4/192.168.1.7/tcp/4001'])
  assert.equal(told, 1)
  answer(hostOf(1), ['/ip4/192.168.1.8/tcp/4001'])
  assert.equal(told, 2, 'it moved')
  answer(
    hostOf(2),
    Array.from({ length: 100 }, (_, i) => `/ip4/10.0.0.${i}/tcp/4001`),
  )
  assert.equal(lan.of(hostOf(2)).length, LAN_ADDRESSES_MAX)
  for (let i = 3; i < LAN_HOSTS_MAX + 3; i++) answer(hostOf(i), ['/ip4/10.0.0.1/tcp/1'])
  assert.deepEqual(lan.of(hostOf(1)), [], 'the oldest is forgotten')
  assert.deepEqual(lan.of(hostOf(3)), ['/ip4/10.0.0.1/tcp/1'])
})
