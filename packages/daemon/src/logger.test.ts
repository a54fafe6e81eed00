import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { MoyaiError } from '@moyai/protocol'

import { createLogger, errorFields, LogFile } from './logger.ts'

function withFolder(run: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-log-'))
  try {
    run(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test('goal: an event is one JSON line with level, time, message and fields', () => {
  const lines: string[] = []
  const logger = createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } })
  logger.debug({ a: 1 }, 'not shown')
  logger.info({ host: 'abc', ...errorFields(new MoyaiError('DISK', 'it broke')) }, 'something')
  assert.equal(lines.length, 1)
  const event = JSON.parse(lines[0] as string) as Record<string, unknown>
  assert.equal(event['level'], 'info')
  assert.equal(event['msg'], 'something')
  assert.equal(event['code'], 'DISK')
  assert.match(String(event['time']), /^\d{4}-\d\d-\d\dT/)
})

test('goal: secrets are blotted out, one level down too', () => {
  const lines: string[] = []
  const logger = createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } })
  const marker = 'abandon-ability-able'
  logger.info({ phrase: marker, token: marker, inner: { seed: marker, dataKey: marker } }, 'x')
  assert.ok(!lines.join('').includes(marker), lines.join(''))
})

test('goal: the files stay within their number and size whatever is logged', () => {
  withFolder((folder) => {
    const path = join(folder, 'log')
    using destination = new LogFile({ folder: path, fileBytesMax: 2000, filesMax: 3 })
    const logger = createLogger({ level: 'info', destination })
    for (let i = 0; i < 200; i++) logger.info({ i, filler: 'x'.repeat(i) }, 'an event')
    logger.info({ filler: 'y'.repeat(100_000) }, 'too long')
    const names = readdirSync(path).sort()
    assert.deepEqual(names, ['daemon.log', 'daemon.log.1', 'daemon.log.2'])
    for (const name of names) {
      assert.ok(statSync(join(path, name)).size <= 2000, name)
      assert.equal(statSync(join(path, name)).mode & 0o077, 0)
      for (const line of readFileSync(join(path, name), 'utf8').trim().split('\n')) JSON.parse(line)
    }
    assert.match(readFileSync(join(path, 'daemon.log'), 'utf8'), /event too long/)
  })
})

test('goal: a log that cannot be written never throws, and says later what is missing', () => {
  withFolder((folder) => {
    const path = join(folder, 'log')
    writeFileSync(path, 'a file where the folder should be')
    using destination = new LogFile({ folder: path, fileBytesMax: 2000, filesMax: 3 })
    const logger = createLogger({ level: 'info', destination })
    logger.info({}, 'lost')
    logger.info({}, 'lost, too')
    rmSync(path)
    logger.info({}, 'kept')
    const text = readFileSync(join(path, 'daemon.log'), 'utf8')
    assert.match(text, /"events dropped","count":2/)
    assert.match(text, /"kept"/)
  })
})
