/** Where hosts listen: what is news, and what cannot be. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ed25519Signer } from '@moyai/protocol'

import { ManualClock } from '../clock.ts'
import { openMemoryDatabase } from '../database/index.ts'
import { AddressBook } from './address-book.ts'

test('goal: a newer record with the own key of this host, which it did not make, betrays a copy', async () => {
  const self = ed25519Signer(new Uint8Array(32).fill(7))
  const clock = new ManualClock()
  const open = (): Promise<AddressBook> =>
    AddressBook.open({ self, isMember: () => true }, { database: openMemoryDatabase(), clock })
  const original = await open()
  const copy = await open()
  await original.publish(['/ip4/192.0.2.1/tcp/4001'])
  await clock.advance(1000)
  await original.publish(['/ip4/192.0.2.2/tcp/4001'])
  await original.publish(['/ip4/192.0.2.2/tcp/4001'])
  assert.equal(original.elsewhere, undefined, 'what it published itself is no copy')
  await clock.advance(1000)
  await copy.publish(['/ip4/198.51.100.9/tcp/4001'])
  await original.add(copy.list().map(({ envelope }) => envelope))
  assert.deepEqual(original.elsewhere, ['/ip4/198.51.100.9/tcp/4001'])
})
