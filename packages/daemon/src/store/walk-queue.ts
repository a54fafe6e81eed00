/**
 * What a walk found, in its order, on the way to the emitter.
 *
 * An unchanged tree passes straight through. Behind a file whose content is still being read
 * everything waits in a queue, whose head moves on as contents arrive; the walk stops while the
 * queue is long, so memory is one window however large the tree is.
 */

import { decodeEntryAt, equalBytes } from '@moyai/protocol'
import type { Entry, EntryCursor } from '@moyai/protocol'

import type { Captured } from './entry-capture.ts'
import type { OldContent, OldEntry, OldPage } from './old-directory.ts'
import type { Content, TreeEmitter } from './tree-emitter.ts'
import type { WalkCounts } from './walk-counts.ts'

/** A name that is new or changed. */
export type FoundEntry = {
  kind: 'entry'
  made: Captured
  /** Content of a draft. */
  chunks?: Uint8Array
  /** False as long as the content is being read. */
  ready: boolean
  path: string
}

/** A directory, whose own entry is added behind all that is in it. */
export type FoundDirectory = {
  kind: 'end'
  /** Its own entry without content, or as it was recorded. */
  made: Captured | { old: OldEntry }
  /** Content of the directory that was recorded under its name. */
  oldContent: OldContent | undefined
  /** Why it could not be listed. */
  error?: string
  /** Relative to the snapshot's root; '' for the root itself. */
  path: string
}

type Found = { kind: 'begin' } | { kind: 'taken'; old: OldEntry } | FoundEntry | FoundDirectory

export type WalkQueueComponents = {
  /** Absent in a dry run. */
  emitter: TreeEmitter | undefined
  counts: WalkCounts
  problem: (path: string, message: string) => void
}

const BEGIN = { kind: 'begin' } as const
/** The array is cut when so many items at its beginning are done. */
const DONE_MAX = 1024

/** What of a cursor's entry is needed after the cursor has moved on. */
export function oldEntry(page: OldPage, cursor: EntryCursor): OldEntry {
  const { start, end, nameStart, nameEnd } = cursor
  return { page, range: { start, end, nameStart, nameEnd } }
}

/** See the head of this file. */
export class WalkQueue {
  readonly #components: WalkQueueComponents
  #items: Found[] = []
  #head = 0
  #root: Entry | undefined

  constructor(components: WalkQueueComponents) {
    this.#components = components
  }

  /** Items that wait. */
  get length(): number {
    return this.#items.length - this.#head
  }

  /** The root's entry, once it was ended and everything before it was emitted. */
  get root(): Entry | undefined {
    return this.#root
  }

  /** A directory begins. */
  begin(): void {
    if (this.length === 0) this.#components.emitter?.begin()
    else this.#items.push(BEGIN)
  }

  /** The entry that `cursor` is at in `page` comes again as it is. */
  take(page: OldPage, cursor: EntryCursor): void {
    if (this.length === 0) this.#components.emitter?.take(page, cursor)
    else this.#items.push({ kind: 'taken', old: oldEntry(page, cursor) })
  }

  add(item: FoundEntry): void {
    if (this.length === 0 && item.ready) this.#emit(item)
    else this.#items.push(item)
  }

  /** The directory begun last ends. */
  end(item: FoundDirectory): void {
    if (this.length === 0) this.#endDirectory(item)
    else this.#items.push(item)
  }

  /** Emits from the head of the queue as far as content is there. */
  drain(): void {
    const { emitter } = this.#components
    for (;;) {
      const item = this.#items[this.#head]
      if (item === undefined || (item.kind === 'entry' && !item.ready)) break
      this.#head++
      if (item.kind === 'begin') emitter?.begin()
      else if (item.kind === 'taken') emitter?.take(item.old.page, item.old.range)
      else if (item.kind === 'end') this.#endDirectory(item)
      else this.#emit(item)
    }
    if (this.#head > DONE_MAX) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
  }

  #emit({ made, chunks, path }: FoundEntry): void {
    if ('draft' in made) this.#components.emitter?.addDraft(made.draft, chunks)
    else this.#addEntry(made.entry, path)
  }

  #addEntry(entry: Entry, path: string): void {
    try {
      this.#components.emitter?.add(entry)
    } catch (error) {
      // an entry that the format refuses: a name or an attribute beyond its limits
      this.#components.problem(path, error instanceof Error ? error.message : String(error))
    }
  }

  #endDirectory(item: FoundDirectory): void {
    const { emitter, counts } = this.#components
    const { made, oldContent, error, path } = item
    const content = emitter?.end() ?? {}
    const isSame = oldContent !== undefined && sameContent(content, oldContent)
    if (oldContent === undefined) counts.dirsNew++
    else if (isSame) counts.dirsUnmodified++
    else counts.dirsChanged++
    if (path !== '' && error === undefined) {
      if ('old' in made && isSame) {
        emitter?.take(made.old.page, made.old.range)
        return
      }
      if ('draft' in made && content.list === undefined) {
        emitter?.addDraft(made.draft, content.chunks)
        return
      }
    }
    const entry = entryOf(made)
    delete entry.chunks
    delete entry.list
    Object.assign(entry, content)
    if (error !== undefined) entry.error = error
    if (path === '') this.#root = entry
    else this.#addEntry(entry, path)
  }
}

/** Any form of an entry as an object. */
export function entryOf(made: Captured | { old: OldEntry }): Entry {
  if ('entry' in made) return made.entry
  if ('draft' in made) return decodeEntryAt(made.draft.bytes, made.draft)
  return decodeEntryAt(made.old.page.bytes, made.old.range)
}

function sameContent(content: Content, old: OldContent): boolean {
  const none = new Uint8Array()
  return (
    equalBytes(content.chunks ?? none, old.chunks) && equalBytes(content.list ?? none, old.list)
  )
}
