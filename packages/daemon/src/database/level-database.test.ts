import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { FaultyDatabase } from './faulty-database.ts'
import { openLevelDatabase } from './level-database.ts'
import { openMemoryDatabase } from './memory-database.ts'

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

async function withFolder(run: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-level-'))
  try {
    await run(join(folder, 'database'))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test('goal: a second opening is refused in words', async () => {
  await withFolder(async (path) => {
    await using first = await openLevelDatabase(path)
    await first.table('a').put(bytes(1), bytes(1))
    await assert.rejects(openLevelDatabase(path), { code: 'HOME_LOCKED' })
  })
})

test('goal: a damaged database is DISK with the way out', async () => {
  await withFolder(async (path) => {
    const database = await openLevelDatabase(path)
    await database.table('a').put(bytes(1), bytes(1))
    await database.close()
    for (const name of readdirSync(path)) {
      if (/^(MANIFEST|CURRENT)/.test(name)) writeFileSync(join(path, name), 'garbage')
    }
    await assert.rejects(openLevelDatabase(path), { code: 'DISK', hint: /rebuilt|check the disk/ })
  })
})

test('goal: after the first failed operation everything fails', async () => {
  for (const written of [false, true]) {
    const inner = openMemoryDatabase()
    const faulty = new FaultyDatabase(inner, { at: 2, written })
    const table = faulty.table('a')
    await table.put(bytes(1), bytes(1))
    await assert.rejects(faulty.batch([table.putting(bytes(2), bytes(2))]), { code: 'DISK' })
    await assert.rejects(table.get(bytes(1)), { code: 'DISK' })
    const there = await inner.table('a').get(bytes(2))
    assert.equal(there !== undefined, written)
  }
})

test('goal: what was acknowledged is there after SIGKILL at any moment', async () => {
  await withFolder(async (path) => {
    const module = new URL('./level-database.ts', import.meta.url).href
    const script = `
      import { openLevelDatabase } from ${JSON.stringify(module)}
      const database = await openLevelDatabase(${JSON.stringify(path)})
      const table = database.table('a')
      for (let i = 0; ; i++) {
        await table.put(Uint8Array.of(i >> 8, i & 255), new Uint8Array(100))
        process.stdout.write(i + '\\n')
      }`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let acknowledged = -1
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.stdout.on('data', (data: Buffer) => {
      const last = String(data).trim().split('\n').at(-1)
      acknowledged = Math.max(acknowledged, Number(last))
      if (acknowledged >= 50) child.kill('SIGKILL')
    })
    await exited
    await using database = await openLevelDatabase(path)
    for (let i = 0; i <= acknowledged; i++) {
      const value = await database.table('a').get(bytes(i >> 8, i & 255))
      assert.equal(value?.length, 100, `entry ${i} of ${acknowledged}`)
    }
  })
})
