/**
 * The bounded reader and writer against real libp2p streams over TCP, and the traps that they
 * avoid.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Stream } from '@libp2p/interface'
import { isMoyaiError } from '@moyai/protocol'
import * as fc from 'fast-check'
import { READER_HIGH_BYTES, YAMUX_WINDOW_BYTES_MAX } from './limits.ts'
import { StreamReader, StreamWriter } from './stream-io.ts'
import { eventually } from '../testing/eventually.ts'
import { connectStream, openNode } from './testing/nodes.ts'

const MIB = 1024 * 1024

function patterned(length: number, from = 0): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = ((from + i) * 31 + ((from + i) >> 8)) & 0xff
  return bytes
}

test('goal: every split of writes and reads gives the same bytes, and the end is told at a boundary', async () => {
  await using a = await openNode(1)
  await using b = await openNode(2)
  const sizes = fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(sizes, sizes, async (writes, reads) => {
      const { near, far } = await connectStream(a.node, b.node)
      const writer = new StreamWriter(near)
      const reader = new StreamReader(far)
      const total = writes.reduce((sum, size) => sum + size, 0)
      const sending = (async () => {
        let at = 0
        for (const size of writes) {
          await writer.write(patterned(size, at))
          at += size
        }
        await near.close()
      })()
      let at = 0
      for (let turn = 0; at < total; turn++) {
        const wanted = Math.min(reads[turn % reads.length] as number, total - at)
        const bytes = await reader.read(wanted)
        assert.ok(bytes !== undefined)
        assert.equal(Buffer.compare(bytes.subarray(), patterned(wanted, at)), 0)
        at += wanted
      }
      assert.equal(await reader.read(1), undefined)
      await sending
      far.abort(new Error('test over'))
    }),
    { numRuns: 10 },
  )
})

test('goal: an end within a read is TRUNCATED, a reset is STREAM_CLOSED', async () => {
  await using a = await openNode(1)
  await using b = await openNode(2)
  const cut = await connectStream(a.node, b.node)
  const reader = new StreamReader(cut.far)
  await new StreamWriter(cut.near).write(new Uint8Array(10))
  await cut.near.close()
  await assert.rejects(reader.read(11), (error) => isMoyaiError(error, 'TRUNCATED'))

  const broken = await connectStream(a.node, b.node)
  const reading = new StreamReader(broken.far).read(1)
  broken.near.abort(new Error('test'))
  await assert.rejects(reading, (error) => isMoyaiError(error, 'STREAM_CLOSED'))
  const writer = new StreamWriter(broken.near)
  await assert.rejects(writer.write(new Uint8Array(1)), (error) =>
    isMoyaiError(error, 'STREAM_CLOSED'),
  )
})

/** Writes through `write` until nothing moves any more; the bytes that the sender accepted. */
async function fillUntilStuck(write: (bytes: Uint8Array) => Promise<void>): Promise<number> {
  const state = { accepted: 0, failed: false }
  const filling = (async () => {
    const chunk = new Uint8Array(256 * 1024)
    while (state.accepted < 64 * MIB) {
      await write(chunk)
      state.accepted += chunk.length
    }
  })()
  filling.catch(() => {
    state.failed = true
  })
  let before = -1
  let calm = 0
  await eventually('the sender stands still', () => {
    calm = state.accepted === before && state.accepted > 0 ? calm + 1 : 0
    before = state.accepted
    return calm > 40
  })
  assert.equal(state.failed, false)
  return state.accepted
}

test('goal (trap 1): the writer waits for the network every time; onDrain() does so only once', async () => {
  await using a = await openNode(1)
  await using b = await openNode(2)
  const { near, far } = await connectStream(a.node, b.node)
  const reader = new StreamReader(far)
  await Promise.all([reader.read(1), new StreamWriter(near).write(new Uint8Array(1))])

  // Method: nobody reads on. The writer must stop after a window and what the layers below hold.
  const writer = new StreamWriter(near)
  const accepted = await fillUntilStuck((bytes) => writer.write(bytes))
  assert.ok(accepted < 16 * MIB, `${accepted} bytes were accepted for a reader that stands still`)
  assert.ok(near.writeBufferLength <= 256 * 1024, 'at most one message is queued')
  near.abort(new Error('test over'))
})

test('goal (trap 1): onDrain() of the installed libp2p still resolves at once, which is why we do not use it', async () => {
  await using a = await openNode(1)
  await using b = await openNode(2)
  const { near, far } = await connectStream(a.node, b.node)
  far.addEventListener('message', () => {})
  const chunk = new Uint8Array(1 * MIB)
  // The first wait works.
  while (near.send(chunk)) continue
  await near.onDrain()
  far.pause()
  // From now on nobody reads, and yet waiting ends while the queue grows.
  let turns = 0
  while (turns < 8 && near.status === 'open') {
    near.send(chunk)
    await Promise.race([near.onDrain(), eventually('stuck', () => false, 500).catch(() => {})])
    turns += 1
  }
  assert.ok(near.writeBufferLength > 2 * MIB, 'libp2p changed: look at trap 1 again')
  near.abort(new Error('test over'))
})

test('goal (trap 3): a reader that stands still bounds what is kept; `for await` does not', async () => {
  await using a = await openNode(1)
  await using b = await openNode(2)
  const { near, far } = await connectStream(a.node, b.node)
  const reader = new StreamReader(far)
  const writer = new StreamWriter(near)
  const first = reader.read(1)
  const accepted = await fillUntilStuck((bytes) => writer.write(bytes))
  await first
  assert.ok(reader.bufferedBytes <= READER_HIGH_BYTES + 256 * 1024)
  const kept = reader.bufferedBytes + far.readBufferLength
  assert.ok(kept <= READER_HIGH_BYTES + YAMUX_WINDOW_BYTES_MAX, `${kept} bytes are kept`)
  assert.ok(accepted < 16 * MIB)
  assert.equal(far.status, 'open', 'a slow reader is not reset (trap 5)')
  // And nothing was lost: everything that was accepted can be read.
  for (let at = 1; at < accepted - 256 * 1024; at += 256 * 1024) {
    assert.equal((await reader.read(256 * 1024))?.byteLength, 256 * 1024)
  }
  near.abort(new Error('test over'))

  const raw = await connectStream(a.node, b.node)
  const iterator = raw.far[Symbol.asyncIterator]()
  const taken = iterator.next()
  await new StreamWriter(raw.near).write(new Uint8Array(8 * MIB))
  await taken
  assert.equal(raw.far.readBufferLength, 0, 'libp2p changed: look at trap 3 again')
  raw.near.abort(new Error('test over'))
})

test('goal (trap 6): a pause while resume() hands data over holds, and the stream is never reset', async () => {
  await using a = await openNode(1)
  await using b = await openNode(2)
  const { near, far } = await connectStream(a.node, b.node)
  // Method: a tiny reader pauses and resumes at almost every message of 12 MiB, in uneven steps.
  const reader = new StreamReader(far, { highBytes: 64 * 1024, lowBytes: 1024 })
  const writer = new StreamWriter(near)
  const total = 12 * MIB
  const sending = (async () => {
    const chunk = patterned(MIB)
    for (let at = 0; at < total; at += chunk.length) await writer.write(chunk)
    await near.close()
  })()
  let at = 0
  let most = 0
  while (at < total) {
    const wanted = Math.min(1 + ((at * 7919) % (60 * 1024)), total - at)
    const bytes = await reader.read(wanted)
    assert.ok(bytes !== undefined)
    assert.equal(bytes.get(0), patterned(1, at % MIB)[0])
    most = Math.max(most, far.readBufferLength + reader.bufferedBytes)
    at += wanted
  }
  await sending
  assert.ok(most <= 2 * YAMUX_WINDOW_BYTES_MAX + 64 * 1024, `${most} bytes were buffered`)
})

test('goal (trap 5): with a window above the read buffer, libp2p resets a reader that pauses', async () => {
  await using a = await openNode(1)
  await using b = await openNode(2)
  const { near, far } = await connectStream(a.node, b.node)
  // The defaults in small: the buffer is a quarter of the window that the sender may fill.
  far.maxReadBufferLength = 64 * 1024
  far.addEventListener('message', () => {})
  far.pause()
  const sending = new StreamWriter(near).write(new Uint8Array(MIB))
  await assert.rejects(sending, (error) => isMoyaiError(error, 'STREAM_CLOSED'))
  const closed: Stream['status'] = far.status
  assert.equal(closed, 'aborted')
})
