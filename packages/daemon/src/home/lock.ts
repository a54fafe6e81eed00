/**
 * One daemon per home.
 *
 * The lock is the operating system's, on an open file (flock) or pipe, so it vanishes with its
 * process however that ends: there is no stale lock and nothing to clean up after SIGKILL. The
 * process id inside is only for the message.
 */

import { createHash } from 'node:crypto'
import { closeSync, ftruncateSync, openSync, readFileSync, realpathSync, writeSync } from 'node:fs'
import { createServer } from 'node:net'

import koffi from 'koffi'
import { MoyaiError } from '@moyai/protocol'

import { fileError, systemErrorCode } from '../file-system/index.ts'

const LOCK_EXCLUSIVE = 2
const LOCK_NOT_BLOCKING = 4

/** A lock that is held until it is disposed of. */
export type HomeLock = AsyncDisposable

function locked(path: string, process: string): MoyaiError {
  const who = /^\d{1,10}$/.test(process) ? ` (process ${process})` : ''
  return new MoyaiError('HOME_LOCKED', `another moyai daemon${who} is using ${path}`, {
    hint: 'stop it first, or choose another folder with MOYAI_HOME',
  })
}

function flock(descriptor: number): { ok: boolean; error: number } {
  const call = koffi.load(null).func('int flock(int descriptor, int operation)')
  const result: unknown = call(descriptor, LOCK_EXCLUSIVE | LOCK_NOT_BLOCKING)
  return { ok: result === 0, error: koffi.errno() }
}

function lockFile(home: string): HomeLock {
  const path = `${home}/lock`
  let descriptor: number
  try {
    descriptor = openSync(path, 'a+', 0o600)
  } catch (error) {
    throw fileError(error, 'opening', path)
  }
  const { ok, error } = flock(descriptor)
  if (!ok) {
    const holder = readFileSync(path, 'utf8').slice(0, 20).trim()
    closeSync(descriptor)
    if (error === koffi.os.errno['EWOULDBLOCK'] || error === koffi.os.errno['EAGAIN']) {
      throw locked(home, holder)
    }
    throw new MoyaiError('DISK', `${path} cannot be locked (error ${error})`, {
      hint: 'put MOYAI_HOME on a local disk: some network file systems have no locks',
    })
  }
  ftruncateSync(descriptor)
  writeSync(descriptor, `${process.pid}\n`)
  return {
    // The file stays: removing it would let a second daemon lock a new file while a third waits on
    // the old one.
    async [Symbol.asyncDispose](): Promise<void> {
      closeSync(descriptor)
    },
  }
}

function lockPipe(home: string): Promise<HomeLock> {
  const name = createHash('sha256').update(realpathSync(home).toLowerCase()).digest('hex')
  const server = createServer((socket) => socket.destroy())
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const busy = ['EADDRINUSE', 'EACCES'].includes(systemErrorCode(error))
      reject(busy ? locked(home, '') : fileError(error, 'locking', home))
    })
    server.listen(`\\\\.\\pipe\\moyai-lock-${name.slice(0, 32)}`, () => {
      server.unref()
      resolve({
        [Symbol.asyncDispose]: () =>
          new Promise<void>((done) => {
            server.close(() => done())
          }),
      })
    })
  })
}

/**
 * Takes the lock of the folder `home`, which must be there. HOME_LOCKED when somebody has it, DISK.
 */
export async function lockHome(home: string): Promise<HomeLock> {
  return process.platform === 'win32' ? lockPipe(home) : lockFile(home)
}
