/** Corpora of few large files: a disk image, compressed data, and one archive. */

import { appendFile, copyFile, mkdir, open, readFile, rm, truncate } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { folderSize } from '../folders.ts'
import { keyStream, seededRandom } from '../seeded.ts'
import type { Corpus, CorpusOptions } from './corpus.ts'
import { filesBelow } from './text.ts'

const MIB = 1024 * 1024
const BLOCK_BYTES = 4096
const CHANGED_BLOCKS = 50
const CHANGED_BYTES_MAX = 64 * 1024
const WRITE_BYTES = 8 * MIB
const TAR_BOUND_MS = 300_000

/** Overwrites `CHANGED_BLOCKS` places of a file with bytes that no round before had. */
async function changeBlocks(path: string, bytes: number, round: number): Promise<void> {
  const random = seededRandom(round * 7919)
  const stream = keyStream(`change ${round}`)
  const file = await open(path, 'r+')
  try {
    for (let i = 0; i < CHANGED_BLOCKS; i++) {
      const length = BLOCK_BYTES * Math.ceil((random() * CHANGED_BYTES_MAX) / BLOCK_BYTES)
      const block = Math.floor((random() * (bytes - CHANGED_BYTES_MAX)) / BLOCK_BYTES)
      await file.write(stream(length), 0, length, block * BLOCK_BYTES)
    }
  } finally {
    await file.close()
  }
}

/**
 * A disk as a virtual machine has it: files at block boundaries, ranges that were zeroed, and
 * ranges that nobody ever wrote. Of each 64 MiB, 40 are files and 8 written zeros.
 */
export async function imageCorpus(o: CorpusOptions): Promise<Corpus> {
  const total = o.quick ? 256 * MIB : 4096 * MIB
  const source = join(o.folder, 'source')
  await mkdir(source)
  const path = join(source, 'disk.img')
  const file = await open(path, 'w')
  try {
    await file.truncate(total)
    const writer = blockWriter(o)
    for (let start = 0; start < total; start += 64 * MIB) {
      o.runner.signal.throwIfAborted()
      await writer(file, start, 40 * MIB)
      await file.write(Buffer.alloc(8 * MIB), 0, 8 * MIB, start + 40 * MIB)
    }
  } finally {
    await file.close()
  }
  return {
    name: 'image',
    title: `one image of ${total / 1024 / MIB} GiB`,
    about:
      `a disk image of the kernel's files and packages, five eighths of it data, one eighth zeros, the rest ` +
      `holes; the small change overwrites ${CHANGED_BLOCKS} places of up to 64 KiB`,
    source,
    size: await folderSize(source),
    oneFile: 'disk.img',
    sparse: true,
    change: (round) => changeBlocks(path, total, round),
    // The next round begins with an image as good as this one.
    reset: async () => undefined,
  }
}

/** Writes the kernel's files, packages in between, then noise, each from where it left off. */
function blockWriter(
  o: CorpusOptions,
): (file: FileHandle, start: number, bytes: number) => Promise<void> {
  const noise = keyStream('image')
  async function* contents(): AsyncGenerator<Buffer> {
    const packed = [...o.trees.packed]
    let sinceLast = 0
    for await (const path of filesBelow(o.trees.one)) {
      const content = await readFile(path)
      sinceLast += content.length
      yield content
      if (sinceLast < 256 * MIB) continue
      sinceLast = 0
      const next = packed.shift()
      if (next !== undefined) yield await readFile(next)
    }
    for (;;) yield noise(WRITE_BYTES)
  }
  const source = contents()
  let rest: Buffer = Buffer.alloc(0)
  return async (file, start, bytes) => {
    for (let at = start; at < start + bytes;) {
      if (rest.length === 0) rest = (await source.next()).value as Buffer
      const part = rest.subarray(0, start + bytes - at)
      rest = rest.subarray(part.length)
      if (part.length > 0) await file.write(part, 0, part.length, at)
      at += Math.ceil(part.length / BLOCK_BYTES) * BLOCK_BYTES
    }
  }
}

/** Packages as they were published, and noise like compressed pictures and films. */
export async function mediaCorpus(o: CorpusOptions): Promise<Corpus> {
  const total = o.quick ? 64 * MIB : 1024 * MIB
  const source = join(o.folder, 'source')
  await mkdir(source)
  let bytes = 0
  if (!o.quick) {
    for (const [i, path] of o.trees.packed.entries()) {
      await copyFile(path, join(source, `${i}-${basename(path)}`))
    }
    bytes = (await folderSize(source)).bytes
  }
  const noise = keyStream('media')
  const random = seededRandom(1)
  const write = async (name: string, length: number): Promise<void> => {
    for (let done = 0; done < length; done += WRITE_BYTES) {
      const part = noise(Math.min(WRITE_BYTES, length - done))
      await appendFile(join(source, name), part)
    }
  }
  let number = 0
  while (bytes < total) {
    const length = Math.min(total - bytes, Math.ceil((1 + random() ** 3 * 63) * MIB))
    await write(`film-${number++}.mkv`, length)
    bytes += length
  }
  const grown = join(source, 'film-0.mkv')
  const grownBytes = await open(grown).then(async (file) => {
    const { size } = await file.stat()
    await file.close()
    return size
  })
  return {
    name: 'media',
    title: `${Math.round(total / MIB)} MiB of compressed data`,
    about:
      "the kernel's packages and seeded noise in files of 1 to 64 MiB; the small change adds a file of 16 MiB " +
      'and appends 1 MiB to another',
    source,
    size: await folderSize(source),
    oneFile: `film-${Math.floor(number / 2)}.mkv`,
    sparse: false,
    change: async () => {
      await write('added.mkv', 16 * MIB)
      await appendFile(grown, noise(MIB))
    },
    reset: async () => {
      await rm(join(source, 'added.mkv'), { force: true })
      await truncate(grown, grownBytes)
    },
  }
}

/** The beginning of an archive of the kernel, as one file: what Tahoe-LAFS can take part in. */
export async function fileCorpus(o: CorpusOptions): Promise<Corpus> {
  const total = o.quick ? 16 * MIB : 256 * MIB
  const source = join(o.folder, 'source')
  await mkdir(source)
  const path = join(source, 'linux.tar')
  const script = 'tar --sort=name -C "$1" -cf - . 2> /dev/null | head -c "$2" > "$3"'
  const argv = ['bash', '-c', script, 'bash', o.trees.one, String(total), path]
  await o.runner.must(argv, { boundMs: TAR_BOUND_MS })
  const { bytes, files } = await folderSize(source)
  return {
    name: 'file',
    title: `one file of ${Math.round(bytes / MIB)} MiB`,
    about:
      "the beginning of a tar archive of the kernel's source (Tahoe-LAFS keeps files, not trees, and is slow with many " +
      `of them); the small change overwrites ${CHANGED_BLOCKS} places of up to 64 KiB`,
    source,
    size: { bytes, files },
    oneFile: 'linux.tar',
    sparse: false,
    change: (round) => changeBlocks(path, bytes, round),
    reset: async () => undefined,
  }
}
