/**
 * Bandwidth limits as a person changes them: in config.toml, so that they stay, and in the running
 * daemon, at once.
 */

import { fromUtf8, isMoyaiError, utf8 } from '@moyai/protocol'
import type { LimitParams, LimitResult } from '@moyai/protocol'

import { DIRECTIONS, parseTimetable } from './bandwidth/index.ts'
import type { Bandwidth } from './bandwidth/index.ts'
import { CONFIG_BYTES_MAX, withSetting } from './config/index.ts'
import { readFile, replaceFile } from './file-system/index.ts'
import type { Disk } from './file-system/index.ts'

/** Of a file that is made here: nothing in it is secret. */
const MODE = 0o644

/** See the head of this file. `path` is that of config.toml. */
export class BandwidthSettings {
  readonly #path: string
  readonly #disk: Disk
  readonly #bandwidth: Bandwidth
  /** One change after another. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(path: string, { disk, bandwidth }: { disk: Disk; bandwidth: Bandwidth }) {
    this.#path = path
    this.#disk = disk
    this.#bandwidth = bandwidth
  }

  /**
   * Sets what is given, and says what holds. USAGE for a timetable that cannot be read,
   * CONFIG_INVALID, DISK, NO_SPACE; then nothing was changed.
   */
  change(params: LimitParams): Promise<LimitResult> {
    const changed = this.#turn.then(() => this.#change(params))
    this.#turn = changed.catch(() => undefined)
    return changed
  }

  async #change(params: LimitParams): Promise<LimitResult> {
    const given = DIRECTIONS.flatMap((name) => {
      const text = params[name]
      return text === undefined ? [] : [{ name, table: parseTimetable(text) }]
    })
    if (given.length > 0) {
      const { text: before, mode } = await this.#read()
      let text = before
      for (const { name, table } of given) {
        text = withSetting(text, { section: 'network', name }, table.text)
      }
      await replaceFile(this.#disk, { path: this.#path, bytes: utf8(text), mode })
      this.#bandwidth.set(Object.fromEntries(given.map(({ name, table }) => [name, table])))
    }
    const { upload, download } = this.#bandwidth.state
    return {
      upload: { text: upload.text, now: upload.now ?? null },
      download: { text: download.text, now: download.now ?? null },
    }
  }

  async #read(): Promise<{ text: string; mode: number }> {
    try {
      const { bytes, mode } = await readFile(this.#disk, this.#path, CONFIG_BYTES_MAX)
      return { text: fromUtf8(bytes), mode }
    } catch (error) {
      if (isMoyaiError(error, 'NOT_FOUND')) return { text: '', mode: MODE }
      throw error
    }
  }
}
