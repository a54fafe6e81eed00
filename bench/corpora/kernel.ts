/**
 * Two neighbouring versions of the Linux kernel's source, from Debian's packages. What is
 * downloaded and unpacked is kept in a folder and found there the next time.
 */

import { readdirSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

import type { Runner } from '../processes.ts'

const PACKAGE = 'linux-source-6.1'
/** A tree of 140 MB, packed as the package manager has it, over a slow line. */
const DOWNLOAD_BOUND_MS = 1_800_000
const UNPACK_BOUND_MS = 600_000
const LOOKUP_BOUND_MS = 60_000

export type KernelTrees = {
  /** The older tree and the newer one, absolute. */
  one: string
  two: string
  /** What they are, for people. */
  label: string
  /** Package files: compressed data as it is. */
  packed: readonly string[]
}

const natural = (a: string, b: string): number => a.localeCompare(b, 'en', { numeric: true })

/** Trees that the caller has. */
export function givenTrees(one: string, two: string): KernelTrees {
  return { one, two, label: 'two given trees', packed: [] }
}

/** The two trees below `folder`; fetched with apt where they are not there yet. */
export async function kernelTrees(runner: Runner, folder: string): Promise<KernelTrees> {
  await mkdir(folder, { recursive: true })
  let versions = unpacked(folder)
  if (versions.length < 2) {
    for (const version of await published(runner)) await fetchTree(runner, folder, version)
    versions = unpacked(folder)
  }
  const [one, two] = versions.slice(-2)
  if (one === undefined || two === undefined) throw new Error('two kernel trees were not found')
  const tree = (version: string): string => join(folder, `src-${version}`)
  const packed = [one, two].flatMap((version) => packedFiles(folder, version))
  return { one: tree(one), two: tree(two), label: `${PACKAGE} ${one} and ${two}`, packed }
}

function unpacked(folder: string): string[] {
  const names = readdirSync(folder).filter((name) => /^src-\d[^/]*$/.test(name))
  return names.map((name) => name.slice(4)).sort(natural)
}

/** The package and the archive in it. */
function packedFiles(folder: string, version: string): string[] {
  const inner = join(`deb-${version}`, 'usr', 'src')
  const names = readdirSync(folder).filter((name) => name === debName(version))
  try {
    names.push(...readdirSync(join(folder, inner)).map((name) => join(inner, name)))
  } catch {
    // Only the unpacked tree was kept.
  }
  return names.map((name) => join(folder, name))
}

function debName(version: string): string {
  return `${PACKAGE}_${version.replaceAll(':', '%3a')}_all.deb`
}

/** The newest version of the package, and the newest of the upstream version before it. */
async function published(runner: Runner): Promise<string[]> {
  const hint = 'without apt, give two trees: --tree DIR --tree2 DIR'
  const { stdout } = await runner
    .must(['apt-cache', 'madison', PACKAGE], { boundMs: LOOKUP_BOUND_MS })
    .catch((error: unknown) => {
      throw new Error(`the kernel's packages cannot be looked up; ${hint}`, { cause: error })
    })
  const column = stdout.split('\n').map((line) => line.split('|')[1]?.trim() ?? '')
  const versions = column.filter((version) => version !== '').sort(natural)
  const newest = versions.at(-1)
  const upstream = newest?.replace(/-[^-]*$/, '-')
  const before = versions.findLast((version) => !version.startsWith(upstream ?? ''))
  if (newest === undefined || before === undefined) {
    throw new Error(`there are no two versions of ${PACKAGE}; ${hint}`)
  }
  return [before, newest]
}

async function fetchTree(runner: Runner, folder: string, version: string): Promise<void> {
  const tree = join(folder, `src-${version}`)
  if (unpacked(folder).includes(version)) return
  const deb = join(folder, debName(version))
  if (!readdirSync(folder).includes(debName(version))) {
    const download = ['apt-get', 'download', `${PACKAGE}=${version}`]
    await runner.must(download, { cwd: folder, boundMs: DOWNLOAD_BOUND_MS })
  }
  const contents = join(folder, `deb-${version}`)
  await runner.must(['dpkg', '-x', deb, contents], { boundMs: UNPACK_BOUND_MS })
  const archives = join(contents, 'usr', 'src')
  const archive = (await readdir(archives)).find((name) => name.startsWith(`${PACKAGE}.tar.`))
  if (archive === undefined) throw new Error(`${debName(version)} has no source archive`)
  // Under its own name only when it is whole.
  const half = `${tree}.part`
  await rm(half, { recursive: true, force: true })
  await mkdir(half)
  const unpack = ['tar', '-xf', join(archives, archive), '-C', half, '--strip-components=1']
  await runner.must(unpack, { boundMs: UNPACK_BOUND_MS })
  await rename(half, tree)
}
