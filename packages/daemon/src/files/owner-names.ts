/**
 * Names of users and groups, from /etc/passwd and /etc/group.
 *
 * Only local accounts: a directory service is asked through NSS, which Node does not reach; an
 * entry then carries numbers alone, which are always stored. The files are read again when their
 * modification time changes.
 */

import { readFileSync, statSync } from 'node:fs'

/** A larger account file than this is not parsed: 100 000 accounts of 80 bytes are 8 MB. */
const ACCOUNT_FILE_BYTES_MAX = 32 * 1024 * 1024
/** How long a parsed file is used without looking at it again. */
const RECHECK_MS = 5000

class AccountFile {
  readonly #path: string
  #checkedAt = Number.NEGATIVE_INFINITY
  #stamp = ''
  #byId = new Map<number, string>()
  #byName = new Map<string, number>()

  constructor(path: string) {
    this.#path = path
  }

  name(id: number): string | undefined {
    this.#refresh()
    return this.#byId.get(id)
  }

  id(name: string): number | undefined {
    this.#refresh()
    return this.#byName.get(name)
  }

  #refresh(): void {
    const now = performance.now()
    if (now - this.#checkedAt < RECHECK_MS) return
    this.#checkedAt = now
    try {
      const stat = statSync(this.#path)
      const stamp = `${stat.mtimeMs}:${stat.size}:${stat.ino}`
      if (stamp === this.#stamp || stat.size > ACCOUNT_FILE_BYTES_MAX) return
      this.#parse(readFileSync(this.#path, 'utf8'))
      this.#stamp = stamp
    } catch {
      // no such file (Windows, a bare container): there are no names to know
      this.#byId = new Map()
      this.#byName = new Map()
    }
  }

  /**
   * Lines `name:x:id:…`; the first line wins for an id that has several names, as in the C library.
   */
  #parse(text: string): void {
    const byId = new Map<number, string>()
    const byName = new Map<string, number>()
    for (const line of text.split('\n')) {
      const [name, , idText] = line.split(':')
      if (name === undefined || name === '' || idText === undefined || !/^\d+$/.test(idText)) {
        continue
      }
      const id = Number(idText)
      if (!byId.has(id)) byId.set(id, name)
      if (!byName.has(name)) byName.set(name, id)
    }
    this.#byId = byId
    this.#byName = byName
  }
}

/** User and group names by number and back. */
export class OwnerNames {
  readonly #users: AccountFile
  readonly #groups: AccountFile

  constructor(passwd = '/etc/passwd', group = '/etc/group') {
    this.#users = new AccountFile(passwd)
    this.#groups = new AccountFile(group)
  }

  user(uid: number): string | undefined {
    return this.#users.name(uid)
  }

  group(gid: number): string | undefined {
    return this.#groups.name(gid)
  }

  /**
   * This machine's uid of `name`, else `uid` itself: the same person may have another number here.
   */
  uidFor(name: string | undefined, uid: number): number {
    if (name === undefined || this.#users.name(uid) === name) return uid
    return this.#users.id(name) ?? uid
  }

  gidFor(name: string | undefined, gid: number): number {
    if (name === undefined || this.#groups.name(gid) === name) return gid
    return this.#groups.id(name) ?? gid
  }
}
