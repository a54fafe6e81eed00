/** Changing one setting leaves the rest of a person's file alone. */

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { utf8 } from '@moyai/protocol'

import { configText, parseConfig } from './config.ts'
import { withSetting } from './edit-config.ts'

const UPLOAD = { section: 'network', name: 'upload' }
const uploadOf = (text: string): string => parseConfig(utf8(text)).network.upload.text

test('goal: the line is replaced, uncommented or added, wherever it belongs', () => {
  const files = [
    '',
    configText({ 'host.name': 'front-desk' }),
    '[network]\nupload = "1MB/s"   # slow line\n[log]\nfiles = 2\n',
    '# mine\n[host]\nname = "a"\n\n[network]\nlisten = []\n\n[log]\nfiles = 2\n',
    '[network]\n# upload = "unlimited"\nupload = "3MB/s"\n',
    '[host]\nname = "upload = 1"',
    '[network] # here\n',
  ]
  for (const file of files) {
    const edited = withSetting(file, UPLOAD, '2MB/s')
    assert.equal(uploadOf(edited), '2MB/s', file)
    assert.equal(parseConfig(utf8(edited)).host.name, parseConfig(utf8(file)).host.name)
    assert.equal(parseConfig(utf8(edited)).log.filesMax, parseConfig(utf8(file)).log.filesMax)
    assert.equal(uploadOf(withSetting(edited, UPLOAD, 'unlimited')), 'unlimited')
    const kept = file.split('\n').filter((line) => !/upload/.test(line))
    assert.deepEqual(
      edited.split('\n').filter((line) => kept.includes(line) && line !== ''),
      kept.filter((line) => line !== ''),
    )
  }
})

test('goal: a file that cannot be changed safely is not changed', () => {
  const several = '[network]\nupload = """\n1MB/s"""\n'
  assert.throws(() => withSetting(several, UPLOAD, '2MB/s'), {
    code: 'CONFIG_INVALID',
    hint: /hand/,
  })
  assert.throws(() => withSetting('[netwrk]', UPLOAD, '2MB/s'), { code: 'CONFIG_INVALID' })
})
