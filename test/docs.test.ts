// Goal: the reference pages and the code say the same, in both directions.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import { ERROR_EXIT_CODES, EXIT, VERSION } from '@moyai/protocol'

function page(name: string): string {
  return readFileSync(new URL(`../docs/reference/${name}`, import.meta.url), 'utf8')
}

test('every error code is documented with its exit code, and no other', () => {
  const rows = [...page('errors.md').matchAll(/^\| ([A-Z_]+) \| (\d+) \|/gm)]
  const documented = Object.fromEntries(rows.map(([, code, exit]) => [code, Number(exit)]))
  assert.deepEqual(documented, { ...ERROR_EXIT_CODES })
})

test('every exit code is documented, and no other', () => {
  const rows = [...page('exit-codes.md').matchAll(/^\| (\d+) \|/gm)]
  assert.deepEqual(new Set(rows.map(([, code]) => Number(code))), new Set(Object.values(EXIT)))
})

test('every manifest has the version that the program says it is', () => {
  for (const folder of ['', 'packages/protocol/', 'packages/daemon/', 'packages/cli/', 'test/']) {
    const manifest = readFileSync(new URL(`../${folder}package.json`, import.meta.url), 'utf8')
    assert.equal((JSON.parse(manifest) as { version: string }).version, VERSION, folder)
  }
})
