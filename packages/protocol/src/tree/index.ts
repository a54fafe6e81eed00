/** Directories: entries, pages and chunk lists (spec/tree.md). */

export * from './chunk-list.ts'
export * from './entry.ts'
export { checkName } from './entry-check.ts'
export { decodeRootEntry, encodeRootEntry } from './entry-codec.ts'
export * from './entry-cursor.ts'
export { decodeEntryAt, DraftWriter, type DraftFields, type EntryDraft } from './entry-draft.ts'
export * from './page.ts'
