// Goal: the rules of CONTRIBUTING.md that a machine can check hold for every source file of the repository.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const LINE_COLUMNS_MAX = 100
const FILE_LINES_MAX = 500

/** Which workspace packages each package may import. */
const ALLOWED_IMPORTS: Record<string, readonly string[]> = {
  'packages/protocol': [],
  'packages/daemon': ['@moyai/protocol'],
  'packages/cli': ['@moyai/protocol'],
  test: ['@moyai/protocol', '@moyai/daemon', '@moyai/cli'],
}

/**
 * The command runs the daemon in its own process (a signal must reach it) and makes the home with the daemon's code:
 * the only two places where cli reaches into daemon, and only when they run.
 */
const CLI_MAY_LOAD_DAEMON = [
  'packages/cli/src/commands/daemon.ts',
  'packages/cli/src/commands/init.ts',
]

/** Ambient time, randomness and I/O: forbidden in protocol. [pattern, use instead] */
const BANNED_IN_PROTOCOL: ReadonlyArray<readonly [RegExp, string]> = [
  [/\bDate\.now\b|\bnew Date\b|\bperformance\.now\b/, 'the injected clock'],
  [/\bMath\.random\b|\bgetRandomValues\b|\brandomBytes\b/, 'the injected random source'],
  [/\bset(?:Timeout|Interval|Immediate)\(/, 'a returned deadline'],
  [/\bprocess\.|\bfetch\(/, 'an injected port'],
  [/from 'node:(?!crypto'|zlib')/, 'a pure module (node:crypto and node:zlib apart)'],
]

/** [pattern, use instead] */
const BANNED: ReadonlyArray<readonly [RegExp, string]> = [
  [/FIXME|TODO|XXX\b|console\.(?:log|debug)/, 'nothing: finish it, or file it'],
  [/\bas any\b|: any\b/, 'unknown, then narrow'],
  [/@ts-ignore/, '@ts-expect-error with a reason'],
  [/\b(?:test|it|suite|describe)\.(?:skip|only|todo)\(/, 'a test that runs'],
]

function tidyLine(path: string, line: string, core: boolean): string[] {
  const problems: string[] = []
  // A sentence in a template or string cannot be wrapped without hurting it.
  const text = /['"`]/.test(line) || line.includes('https://')
  if (!text && Array.from(line).length > LINE_COLUMNS_MAX)
    problems.push(`over ${LINE_COLUMNS_MAX} columns`)
  for (const [pattern, instead] of core ? [...BANNED, ...BANNED_IN_PROTOCOL] : BANNED) {
    if (pattern.test(line)) problems.push(`${pattern.source} is banned, use ${instead}`)
  }
  const specifier = /(?:from |import\()'([^']+)'/.exec(line)?.[1]
  const owner = Object.keys(ALLOWED_IMPORTS).find((root) => path.startsWith(`${root}/`))
  if (specifier === undefined || owner === undefined) return problems
  const name = specifier.split('/').slice(0, 2).join('/')
  const loadsDaemon = line.includes('await import(') && CLI_MAY_LOAD_DAEMON.includes(path)
  if (name.startsWith('@moyai/') && !loadsDaemon && !ALLOWED_IMPORTS[owner]?.includes(name)) {
    problems.push(`${owner} must not import ${specifier}`)
  }
  if (specifier.startsWith('.') && specifier.includes('packages/')) {
    problems.push('reach other packages by name')
  }
  if (specifier.startsWith('.') && !specifier.endsWith('.ts')) {
    problems.push('relative imports name the .ts file')
  }
  return problems
}

function tidyFile(path: string, content: string): string[] {
  const isTest = path.endsWith('.test.ts')
  const core = path.startsWith('packages/protocol/src/') && !isTest
  const lines = content.split('\n')
  const problems = lines.flatMap((line, index) =>
    tidyLine(path, line, core).map((problem) => `${path}:${index + 1}: ${problem}`),
  )
  if (lines.length > FILE_LINES_MAX && !isTest)
    problems.push(`${path}: over ${FILE_LINES_MAX} lines`)
  return problems
}

test('every source file keeps the rules', () => {
  const listed = execFileSync('git', ['ls-files', '*.ts'], { cwd: ROOT, encoding: 'utf8' })
  const paths = listed
    .trim()
    .split('\n')
    .filter((path) => !path.endsWith('.wasm.ts') && !path.includes('/assembly/'))
    .filter((path) => path !== 'test/tidy.test.ts' && existsSync(`${ROOT}${path}`))
  const problems = paths.flatMap((path) => tidyFile(path, readFileSync(`${ROOT}${path}`, 'utf8')))
  assert.ok(paths.length > 10, 'the files were found')
  assert.deepEqual(problems, [])
})

test('the check itself catches what it bans', () => {
  const bad = "import { ShardStore } from '@moyai/daemon'\nconst now = Date.now()\n"
  assert.deepEqual(tidyFile('packages/protocol/src/bad.ts', bad), [
    'packages/protocol/src/bad.ts:1: packages/protocol must not import @moyai/daemon',
    'packages/protocol/src/bad.ts:2: \\bDate\\.now\\b|\\bnew Date\\b|\\bperformance\\.now\\b is banned, use the injected clock',
  ])
  const loaded = "const { x } = await import('@moyai/daemon')"
  assert.equal(tidyFile('packages/cli/src/commands/store.ts', loaded).length, 1)
  assert.equal(tidyFile('packages/cli/src/commands/daemon.ts', loaded).length, 0)
})
