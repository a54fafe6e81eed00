import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Excludes } from './exclude.ts'

test('Goal: patterns mean what they mean in gitignore. Method: a table of cases.', () => {
  const cases: [patterns: string[], path: string, directory: boolean, excluded: boolean][] = [
    [['*.tmp'], 'a.tmp', false, true],
    [['*.tmp'], 'x/y/a.tmp', false, true],
    [['*.tmp'], 'a.tmp2', false, false],
    [['/a.tmp'], 'a.tmp', false, true],
    [['/a.tmp'], 'x/a.tmp', false, false],
    [['cache/'], 'x/cache', true, true],
    [['cache/'], 'x/cache', false, false],
    [['x/*.o'], 'x/a.o', false, true],
    [['x/*.o'], 'y/x/a.o', false, false],
    [['**/x/*.o'], 'y/x/a.o', false, true],
    [['**/x/*.o'], 'x/a.o', false, true],
    [['x/**'], 'x/a/b', false, true],
    [['x/**'], 'x', true, false],
    [['a/**/b'], 'a/b', false, true],
    [['a/**/b'], 'a/c/d/b', false, true],
    [['a/**/b'], 'ac/b', false, false],
    [['?.c'], 'a.c', false, true],
    [['?.c'], 'ab.c', false, false],
    [['[ab].c'], 'b.c', false, true],
    [['[!ab].c'], 'b.c', false, false],
    [['[a-c].c'], 'c.c', false, true],
    [['*.log', '!keep.log'], 'x/keep.log', false, false],
    [['!keep.log', '*.log'], 'keep.log', false, true],
    [['# comment', ''], '# comment', false, false],
    [['\\#a'], '#a', false, true],
    [['\\!a'], '!a', false, true],
    [['a.b'], 'axb', false, false],
    [['(a|b)+$'], '(a|b)+$', false, true],
    [['/data/home/x'], 'x', false, true],
    [['/data/home/x'], 'y/x', false, false],
    [['日本.txt'], Buffer.from('d/日本.txt').toString('latin1'), false, true],
    [['trailing   '], 'trailing', false, true],
    [['['], '[', false, true],
  ]
  for (const [patterns, path, directory, excluded] of cases) {
    const excludes = new Excludes(patterns, '/data/home')
    assert.equal(excludes.excluded(path, directory), excluded, `${patterns.join(' ')} on ${path}`)
  }
})

test('Goal: too many patterns and too long ones are refused.', () => {
  assert.throws(() => new Excludes(Array.from({ length: 10_001 }, () => 'a')), { code: 'USAGE' })
  assert.throws(() => new Excludes(['a'.repeat(4097)]), { code: 'USAGE' })
})
