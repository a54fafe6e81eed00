/** Interrupted, resumed and stalled retrieves. */

import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'

import { utf8 } from '@moyai/protocol'
import type { RetrieveSummary } from '@moyai/protocol'

import { temporaryName } from './target/target-file.ts'
import { hangAfter } from './testing/fake-pool.ts'
import { FakeVault, metadata, seededRandom } from './testing/fake-vault.ts'

const scratch = fs.mkdtempSync(join(tmpdir(), 'moyai-interrupt-'))
after(() => fs.rmSync(scratch, { recursive: true, force: true }))
const random = seededRandom('interruption')

function retrieve(vault: FakeVault, to: string, signal: AbortSignal): Promise<RetrieveSummary> {
  const filters = { includes: [], excludes: [], overwrite: 'always' as const }
  const params = { snapshot: 'latest', to, ...filters, verify: false, dryRun: false }
  return vault.service.retrieve(params, { signal })
}

test('an interrupted retrieve goes on where it was', async () => {
  // Goal: what was written is found again, verified, and not fetched twice; no half file has its
  // name.
  const vault = new FakeVault({ k: 2, m: 1 })
  const content = random.bytes(5_000_000)
  await vault.commit(vault.tree('', { big: content, small: random.bytes(100) }))
  const to = join(scratch, 'resume')
  const stop = new AbortController()
  const undo = hangAfter(vault.pool.all, 9, () => setTimeout(() => stop.abort(), 500))
  await assert.rejects(retrieve(vault, to, stop.signal), { code: 'ABORTED' })
  assert.ok(!fs.existsSync(join(to, 'big')))
  const left = temporaryName(utf8('big')).toString()
  assert.ok(fs.readdirSync(to).includes(left), 'a temporary file of the interrupted run')
  undo()
  // whatever is wrong in it is replaced
  const fd = fs.openSync(join(to, left), 'r+')
  fs.writeSync(fd, Buffer.from('garbage'), 0, 7, 0)
  fs.closeSync(fd)
  const summary = await retrieve(vault, to, new AbortController().signal)
  assert.equal(summary.error_count, 0)
  assert.ok(summary.bytes_fetched < 5_000_000, `${summary.bytes_fetched}`)
  assert.deepEqual(new Uint8Array(fs.readFileSync(join(to, 'big'))), content)
  assert.deepEqual(fs.readdirSync(to).map(String), ['big', 'small'])
  await vault.service.close()
})

test('hosts that take a request and never answer are gone round', async () => {
  // Goal: a stall costs seconds, not the file.
  const vault = new FakeVault({ k: 2, m: 2 })
  const content = random.bytes(900_000)
  await vault.commit(vault.tree('', { file: content }))
  for (const host of vault.pool.all.slice(0, 2)) host.fault = 'hang'
  const to = join(scratch, 'hang')
  const begun = performance.now()
  const summary = await retrieve(vault, to, new AbortController().signal)
  assert.equal(summary.error_count, 0)
  assert.deepEqual(new Uint8Array(fs.readFileSync(join(to, 'file'))), content)
  assert.ok(performance.now() - begun < 20_000)
  await vault.service.close()
})

test('many small files and large folders come back, within windows', async () => {
  // Goal: more entries than one batch and one window, and folders of several pages.
  const vault = new FakeVault({ k: 2, m: 1 })
  const entries = Array.from({ length: 4500 }, (_, i) => {
    const bytes = random.bytes(1 + (i % 50))
    return { ...metadata(`file-${i}`, 'file'), size: bytes.length, ...vault.content(bytes) }
  })
  await vault.commit(vault.directory(metadata('', 'directory'), entries))
  const to = join(scratch, 'many')
  const summary = await retrieve(vault, to, new AbortController().signal)
  assert.equal(summary.error_count, 0)
  assert.equal(summary.files_restored, 4500)
  assert.equal(fs.readdirSync(to).length, 4500)
  await vault.service.close()
})
