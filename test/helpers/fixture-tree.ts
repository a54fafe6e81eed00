/** Trees to store: small, but with everything in them that has ever broken a backup program. */

import { execFileSync } from 'node:child_process'
import { link, mkdir, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { chmodSync, lutimesSync, openSync, writeSync, closeSync } from 'node:fs'
import { join } from 'node:path'

/** Bytes that no compressor shortens, the same for the same seed (xorshift32). */
export function noise(length: number, seed: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4))
  let state = (seed * 2_654_435_761) >>> 0 || 1
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    words[i] = state
  }
  return Buffer.from(words.buffer, 0, length)
}

/** Text that compresses well. */
export function prose(length: number, seed: number): Buffer {
  const line = `line of text number ${seed}, much like the others; `
  return Buffer.alloc(length, line)
}

/**
 * A tree of about 30 MB: a few hundred small files, big ones of noise and text, duplicates, empty
 * files and folders, strange names, links of both kinds, a sparse file, odd modes and times, a
 * fifo.
 */
export async function makeTree(root: string): Promise<void> {
  await mkdir(root, { recursive: true })
  for (let folder = 0; folder < 10; folder++) {
    const path = join(root, `customer-${folder}`)
    await mkdir(join(path, 'invoices'), { recursive: true })
    for (let file = 0; file < 25; file++) {
      const length = (folder * 977 + file * 4099) % 40_000
      const bytes = file % 3 === 0 ? noise(length, folder * 100 + file) : prose(length, file)
      await writeFile(join(path, 'invoices', `invoice-${file}.txt`), bytes)
    }
  }
  await mkdir(join(root, 'empty folder'))
  await writeFile(join(root, 'empty file'), '')
  await writeFile(join(root, 'photos.raw'), noise(12_000_000, 7))
  await writeFile(join(root, 'copy of photos.raw'), noise(12_000_000, 7))
  await writeFile(join(root, 'mail.mbox'), prose(6_000_000, 3))
  await writeFile(join(root, 'chunk-sized'), noise(256 * 1024, 11))
  await strangeThings(root)
}

async function strangeThings(root: string): Promise<void> {
  const strange = join(root, 'strange')
  await mkdir(strange)
  const names = [
    'new\nline',
    'tab\there',
    ' leading space',
    'ünïcödé 舫い',
    '-rf',
    '"quotes\'',
    '.hidden',
  ]
  for (const name of names) await writeFile(join(strange, name), name)
  // Not valid UTF-8: only raw bytes can name it.
  const raw = Buffer.concat([Buffer.from(`${strange}/`), Buffer.from([0xff, 0xfe, 0x41])])
  closeSync(openSync(raw, 'w'))
  await symlink('../mail.mbox', join(strange, 'link to mail'))
  await symlink('/nowhere/at/all', join(strange, 'dangling'))
  await link(join(root, 'chunk-sized'), join(strange, 'second name'))
  await writeFile(join(strange, 'program'), '#!/bin/sh\n')
  chmodSync(join(strange, 'program'), 0o4755)
  await writeFile(join(strange, 'private'), 'for my eyes only')
  chmodSync(join(strange, 'private'), 0o400)
  await writeFile(join(strange, 'sparse'), 'start')
  await truncate(join(strange, 'sparse'), 50_000_000)
  const sparse = openSync(join(strange, 'sparse'), 'r+')
  writeSync(sparse, Buffer.from('in the middle'), 0, 13, 30_000_000)
  closeSync(sparse)
  await writeFile(join(strange, 'old'), 'from before the epoch')
  await utimes(join(strange, 'old'), new Date(1_000_000_000_123), new Date(978_307_200_987))
  lutimesSync(join(strange, 'dangling'), 1_111_111_111, 1_222_222_222)
  if (process.platform !== 'win32') execFileSync('mkfifo', [join(strange, 'pipe')])
}
