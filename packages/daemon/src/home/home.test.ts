import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import {
  deriveVaultBundle,
  guardSigner,
  isMoyaiError,
  openDelegation,
  phraseToSecret,
  vaultSigner,
} from '@moyai/protocol'

import { ManualClock } from '../clock.ts'
import {
  failingAt,
  FaultyDisk,
  makeFolders,
  readFile,
  SimulatedDisk,
  survivors,
  type Disk,
  type DiskFault,
} from '../file-system/index.ts'
import { SeededRandom, systemRandom } from '../random.ts'
import { initHome, type InitOptions } from './init-home.ts'
import { lockHome } from './lock.ts'
import { openHome } from './open-home.ts'

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'moyai-home-'))
  try {
    await run(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function options(home: string, more: Partial<InitOptions> = {}): InitOptions {
  return { home, settings: {}, random: systemRandom, clock: new ManualClock(), ...more }
}

test('goal: init makes a home whose keys are those of the phrase', async () => {
  await withFolder(async (folder) => {
    const home = join(folder, 'deep', 'home')
    const phraseFile = join(folder, 'phrase.txt')
    const settings = { name: 'a', site: 'b', provider: 'c', class: 'laptop', offer: '5GB' } as const
    const made = await initHome(options(home, { settings, phraseFile }))
    assert.equal(readFileSync(phraseFile, 'utf8'), `${made.phrase}\n`)
    await using opened = await openHome(home)
    const secret = phraseToSecret(made.phrase ?? '')
    assert.deepEqual(opened.bundle, deriveVaultBundle(secret, opened.bundle.salt))
    assert.deepEqual(made.vault, vaultSigner(opened.bundle).publicKey)
    assert.deepEqual(made.org, guardSigner(secret).publicKey)
    assert.deepEqual(made.host, opened.identity.publicKey)
    assert.deepEqual(openDelegation(opened.delegation).delegate, made.host)
    assert.equal(opened.config.host.class, 'laptop')
    assert.equal(opened.config.storage.offerBytes, 5e9)
    assert.deepEqual(opened.warnings, [])
    for (const secretFile of [join(home, 'identity.key'), join(home, 'vault.keys'), phraseFile]) {
      assert.equal(statSync(secretFile).mode & 0o777, 0o600, secretFile)
    }
    assert.equal(statSync(home).mode & 0o777, 0o700)
  })
})

test('goal: neither the phrase nor the organisation secret is anywhere in the home', async () => {
  await withFolder(async (folder) => {
    const { phrase = '' } = await initHome(options(folder))
    const secret = Buffer.from(phraseToSecret(phrase))
    const words = phrase.split(' ').slice(0, 3).join(' ')
    for (const name of readdirSync(folder)) {
      if (statSync(join(folder, name)).isDirectory()) continue
      const bytes = readFileSync(join(folder, name))
      assert.ok(!bytes.includes(words) && !bytes.includes(secret), name)
    }
  })
})

test('goal: one phrase on two hosts gives one organisation and two vaults', async () => {
  await withFolder(async (folder) => {
    const first = await initHome(options(join(folder, '1')))
    const second = await initHome(options(join(folder, '2'), { phrase: first.phrase ?? '' }))
    assert.deepEqual(second.org, first.org)
    assert.notDeepEqual(second.vault, first.vault)
    assert.notDeepEqual(second.host, first.host)
    await assert.rejects(initHome(options(join(folder, '3'), { phrase: 'no phrase' })), {
      code: 'BAD_PHRASE',
    })
  })
})

test('goal: init never writes over a home, a part of one, settings, or a phrase', async () => {
  await withFolder(async (folder) => {
    const home = join(folder, 'home')
    await initHome(options(home))
    await assert.rejects(initHome(options(home)), { code: 'ALREADY_INITIALISED' })
    for (const gone of ['format', 'identity.key', 'vault.keys']) {
      rmSync(join(home, gone))
      await assert.rejects(initHome(options(home)), { code: 'ALREADY_INITIALISED' }, gone)
    }
    const phraseFile = join(folder, 'phrase')
    writeFileSync(phraseFile, 'precious')
    const other = join(folder, 'other')
    await assert.rejects(initHome(options(other, { phraseFile })), { code: 'TARGET_EXISTS' })
    assert.equal(readFileSync(phraseFile, 'utf8'), 'precious')
    await assert.rejects(openHome(other), { code: 'NO_VAULT' })
    await assert.rejects(initHome(options(other, { settings: { offer: 'much' } })), {
      code: 'CONFIG_INVALID',
    })
    await initHome(options(other))
  })
})

test('goal: a home that is none, damaged or of another format is refused', async () => {
  await withFolder(async (folder) => {
    await assert.rejects(openHome(join(folder, 'none')), { code: 'NO_VAULT' })
    await assert.rejects(openHome(folder), { code: 'NO_VAULT' })
    assert.deepEqual(readdirSync(folder), [], 'a wrong MOYAI_HOME is not littered')
    const [a, b] = [join(folder, 'a'), join(folder, 'b')]
    await initHome(options(a))
    await initHome(options(b))
    const keys = readFileSync(join(a, 'vault.keys'))
    writeFileSync(join(a, 'vault.keys'), readFileSync(join(b, 'vault.keys')))
    await assert.rejects(openHome(a), { code: 'IDENTITY_MISMATCH' })
    for (let byte = 0; byte < keys.length; byte += 7) {
      const flipped = Buffer.from(keys)
      flipped[byte] = (flipped[byte] as number) ^ 1
      writeFileSync(join(a, 'vault.keys'), flipped)
      await assert.rejects(openHome(a), { code: 'DISK' })
    }
    for (const length of [0, 31, keys.length - 1]) {
      writeFileSync(join(a, 'vault.keys'), keys.subarray(0, length))
      await assert.rejects(openHome(a), { code: 'DISK' })
    }
    writeFileSync(join(a, 'vault.keys'), keys)
    const identity = readFileSync(join(a, 'identity.key'))
    writeFileSync(join(a, 'identity.key'), identity.subarray(1))
    await assert.rejects(openHome(a), { code: 'DISK' })
    writeFileSync(join(a, 'identity.key'), identity)
    writeFileSync(join(a, 'format'), 'moyai home 2\n')
    await assert.rejects(openHome(a), { code: 'UNKNOWN_VERSION' })
    writeFileSync(join(a, 'format'), 'moyai home 1\n')
    writeFileSync(join(a, 'config.toml'), '[host]\nnaem = "x"')
    await assert.rejects(openHome(a), { code: 'CONFIG_INVALID' })
    rmSync(join(a, 'config.toml'))
    chmodSync(join(a, 'vault.keys'), 0o644)
    await using opened = await openHome(a)
    assert.match(opened.warnings.join(), /vault\.keys: chmod 600/)
  })
})

test('goal: the keys alone are a home', async () => {
  await withFolder(async (folder) => {
    const { vault } = await initHome(options(folder))
    for (const name of readdirSync(folder)) {
      if (!['identity.key', 'vault.keys', 'org.delegation'].includes(name)) {
        rmSync(join(folder, name), { recursive: true })
      }
    }
    await using opened = await openHome(folder)
    assert.deepEqual(vaultSigner(opened.bundle).publicKey, vault)
  })
})

test('goal: one process at a time; the lock of a killed process is free at once', async () => {
  await withFolder(async (folder) => {
    const home = join(folder, 'home')
    await initHome(options(home))
    const first = await openHome(home)
    const busy = { code: 'HOME_LOCKED', message: new RegExp(`process ${process.pid}`) }
    await assert.rejects(openHome(home), busy)
    await assert.rejects(lockHome(home), busy)
    await first[Symbol.asyncDispose]()
    const script = `
      import { lockHome } from ${JSON.stringify(new URL('./lock.ts', import.meta.url).href)}
      await lockHome(${JSON.stringify(home)})
      process.stdout.write('locked')
      setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exited = new Promise((resolve) => child.once('exit', resolve))
    await new Promise((resolve) => child.stdout.once('data', resolve))
    await assert.rejects(openHome(home), {
      code: 'HOME_LOCKED',
      message: new RegExp(`process ${child.pid}`),
    })
    child.kill('SIGKILL')
    await exited
    await using again = await openHome(home)
    assert.ok(again.identity)
  })
})

/** What happens to an init: the way its one failing operation fails, and what comes after. */
type Mishap = { effect: DiskFault['effect']; fatal: boolean; power: boolean }

const MISHAPS: Mishap[] = (['none', 'half', 'whole'] as const).flatMap((effect) =>
  [false, true].flatMap((fatal) => [false, true].map((power) => ({ effect, fatal, power }))),
)

for (const mishap of MISHAPS) {
  const { effect, fatal, power } = mishap
  const how = `effect ${effect}${fatal ? ', killed' : ''}${power ? ', power cut' : ''}`
  test(`goal: whatever disk operation of init fails, no phrase is lost (${how})`, async () => {
    let at = 1
    while (await initFailsAt(at, mishap)) at++
    assert.ok(at > 60, 'every operation of an init has failed once')
  })
}

async function noLock(): Promise<AsyncDisposable> {
  return { [Symbol.asyncDispose]: async () => undefined }
}

function initOn(disk: Disk, seed: string): ReturnType<typeof initHome> {
  const random = new SeededRandom(seed)
  const place = { home: '/home', phraseFile: '/safe/phrase', disk, lock: noLock }
  return initHome({ ...place, settings: {}, random, clock: new ManualClock() })
}

async function assertPhraseOpens(disk: Disk): Promise<void> {
  const { bytes } = await readFile(disk, '/safe/phrase', 4096)
  await using home = await openHome('/home', { disk, lock: noLock })
  const secret = phraseToSecret(new TextDecoder().decode(bytes))
  assert.deepEqual(home.bundle, deriveVaultBundle(secret, home.bundle.salt))
}

/** False when the init had fewer than `at` operations, so that nothing failed. */
async function initFailsAt(at: number, o: Mishap): Promise<boolean> {
  const disk = new SimulatedDisk()
  await makeFolders(disk, '/safe')
  const faulty = new FaultyDisk(disk, failingAt(at, o))
  const result = await initOn(faulty, 'first').catch((error: unknown) => error)
  if (o.power) disk.powerLoss(survivors(at % 4))
  const where = `operation ${at}`
  if (isMoyaiError(result, 'DISK')) {
    // Either the home does not count and init works again, or it counts and the phrase file opens
    // it.
    const opened = await openHome('/home', { disk, lock: noLock }).catch((error: unknown) => error)
    if (isMoyaiError(opened)) {
      assert.equal(opened.code, 'NO_VAULT', where)
      await initOn(disk, 'second')
    }
  } else assert.ok(!(result instanceof Error), where)
  await assertPhraseOpens(disk)
  // What init has said to be there stays there.
  disk.powerLoss()
  await assertPhraseOpens(disk)
  return faulty.count >= at
}
