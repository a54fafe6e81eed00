import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import { utf8 } from '@moyai/protocol'
import * as fc from 'fast-check'

import { CONFIG_KEYS, configText, parseConfig } from './config.ts'
import { nearest } from './nearest.ts'
import { parseBytes, parseDuration } from './quantity.ts'

const parse = (text: string): ReturnType<typeof parseConfig> => parseConfig(utf8(text))

test('goal: an empty file is a whole configuration of documented defaults', () => {
  const config = parse('')
  assert.equal(config.host.provider, 'self')
  assert.equal(config.storage.offerBytes, 100e9)
  assert.deepEqual(config.network.listen, ['/ip4/0.0.0.0/tcp/4001'])
  assert.equal(config.store.code, undefined)
})

test('goal: what is written is read', () => {
  const config = parse(`
    [host]
    name = "front-desk"
    class = "always-on"
    [storage]
    offer = "1.5 TiB"
    reserve = 0
    surplus-after = "2w"
    [store]
    code = "4+2"
    [log]
    files = 2`)
  assert.equal(config.host.name, 'front-desk')
  assert.equal(config.host.class, 'always-on')
  assert.equal(config.storage.offerBytes, 1.5 * 2 ** 40)
  assert.equal(config.storage.reserveBytes, 0)
  assert.equal(config.storage.surplusAfterMs, 14 * 86_400_000)
  assert.deepEqual(config.store.code, { k: 4, m: 2 })
  assert.equal(config.log.filesMax, 2)
})

test('goal: an unknown key is refused by name, with the nearest known one', () => {
  const cases: [string, RegExp, RegExp][] = [
    ['[storage]\nofer = "1GB"', /unknown key 'storage\.ofer'/, /'storage\.offer'/],
    ['[hots]\nname = "a"', /unknown key 'hots\.name'/, /'host\.name'/],
    ['[network]\nanounce = []', /unknown key 'network\.anounce'/, /'network\.announce'/],
    ['[host]\nlisten = []', /unknown key 'host\.listen'/, /'network\.listen'/],
    ['colour = "blue"', /unknown key 'colour'/, /docs\/reference\/config\.md/],
  ]
  for (const [text, message, hint] of cases) {
    assert.throws(() => parse(text), { code: 'CONFIG_INVALID', message, hint }, text)
  }
})

test('goal: a wrong value is refused with its key and what would be right', () => {
  const cases: [string, RegExp][] = [
    ['[host]\nclass = "server"', /'host\.class' must be one of always-on, desktop, laptop/],
    ['[host]\nname = "no/slash"', /'host\.name' must be 1 to 63 visible characters/],
    ['[storage]\noffer = "lots"', /'storage\.offer' 'lots' is not a size/],
    ['[storage]\nsurplus-after = 30', /'storage\.surplus-after' must be a length of time/],
    ['[storage]\noffer = true', /'storage\.offer' must be a size/],
    ['[network]\nlisten = "x"', /'network\.listen' must be a list/],
    ['[network]\nlisten = ["0.0.0.0:4001"]', /must contain addresses such as/],
    ['[log]\nfiles = 0', /'log\.files' must be a whole number from 1 to 100/],
    ['[store]\ncode = "4"', /'store\.code' must be "auto", or a code such as "4\+2"/],
    ['[store]\ncode = "0+2"', /'store\.code' must be/],
    ['[store]\ncode = "4+0"', /'store\.code' must be/],
    ['[store]\ncode = "12+3"', /'store\.code' must be .* of at most 14 shards/],
    ['host = 3', /'host' must be a section/],
    ['[host\nname = 1', /line 1: not valid TOML|line 2: not valid TOML/],
  ]
  for (const [text, message] of cases) {
    assert.throws(() => parse(text), { code: 'CONFIG_INVALID', message }, text)
  }
  assert.throws(() => parseConfig(Uint8Array.of(0xff, 0xfe)), { code: 'CONFIG_INVALID' })
})

test('goal: no text whatever makes the parser throw anything but CONFIG_INVALID', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), (text) => {
      try {
        parse(text)
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'CONFIG_INVALID')
      }
    }),
  )
})

test('goal: a generated config.toml explains every key and reads back as given', () => {
  const text = configText({
    'host.name': '受付 1 “a”',
    'network.listen': ['/ip4/127.0.0.1/tcp/0'],
    'log.files': 9,
  })
  const config = parse(text)
  assert.equal(config.host.name, '受付 1 “a”')
  assert.deepEqual(config.network.listen, ['/ip4/127.0.0.1/tcp/0'])
  assert.equal(config.log.filesMax, 9)
  for (const { key } of CONFIG_KEYS) assert.match(text, new RegExp(`${key.split('.')[1]} = `))
  // Uncommenting the defaults changes nothing.
  const all = parse(configText({}).replaceAll(/^# ([a-z-]+ = .*)$/gm, '$1'))
  assert.deepEqual(all, parse(''))
  assert.throws(() => configText({ 'host.name': 'no:good' }), { code: 'CONFIG_INVALID' })
  assert.throws(() => configText({ 'host.nam': 'x' }), { code: 'CONFIG_INVALID' })
})

test('goal: the reference page and the code list the same keys with the same defaults', () => {
  const page = readFileSync(
    new URL('../../../../docs/reference/config.md', import.meta.url),
    'utf8',
  )
  const documented = [...page.matchAll(/^\| `([a-z.-]+)` \| `(.*?)` \| (.*) \|$/gm)]
  assert.deepEqual(
    documented.map(([, key, absent, about]) => [key, absent, about]),
    CONFIG_KEYS.map(({ key, absent, about }) => [key, JSON.stringify(absent), about]),
  )
  assert.doesNotThrow(() => parse(/```toml\n([^`]*)```/.exec(page)?.[1] ?? 'missing'))
})

test('goal: sizes and times are read as people write them', () => {
  assert.equal(parseBytes('500GB'), 500e9)
  assert.equal(parseBytes('4 KiB'), 4096)
  assert.equal(parseBytes('12'), 12)
  assert.equal(parseDuration('24h'), 86_400)
  assert.equal(parseDuration('1.5d'), 129_600)
  for (const text of ['', '-1GB', '1XB', '1e3', '9999999TB', 'GB']) {
    assert.throws(() => parseBytes(text), { code: 'USAGE' }, text)
  }
  for (const text of ['', '24', '0h', '3 years']) {
    assert.throws(() => parseDuration(text), { code: 'USAGE' }, text)
  }
})

test('goal: only a word that is near is suggested', () => {
  assert.equal(nearest('offr', ['storage.offer', 'host.name']), 'storage.offer')
  assert.equal(nearest('zzzzzzzz', ['storage.offer', 'host.name']), undefined)
  assert.equal(nearest('x'.repeat(10_000), ['storage.offer']), undefined)
})
