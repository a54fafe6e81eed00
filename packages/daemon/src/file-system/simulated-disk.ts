/**
 * A disk in memory that knows what a power cut would leave of it.
 *
 * The model is harsher than journaling file systems are: of what was not fsynced, any part may be
 * there and any part missing. Contents and names are apart: a file's bytes are safe after its own
 * `sync`, a name after `syncDirectory` of its folder, a folder's content only when its own name is
 * safe, too. A rename is one step, present or not.
 */

import { concatBytes, MoyaiError } from '@moyai/protocol'
import type { Disk, DiskAccess, DiskEntry, DiskFile } from './disk.ts'
import { SECRET_MODE } from './small-files.ts'

type FileNode = {
  kind: 'file'
  mode: number
  bytes: Uint8Array
  length: number
  safe: Uint8Array
}
type FolderNode = { kind: 'directory'; names: Map<string, Node>; safe: Map<string, Node> }
type Node = FileNode | FolderNode

/**
 * One change of names that is not yet safe: `node` is at `folder`/`name` (undefined: nothing is).
 */
type Placement = { folder: FolderNode; name: string; node: Node | undefined }
type Change = readonly Placement[]

/**
 * For `powerLoss`, reproducible choices of what survives: nothing (seed 0), everything (1), or a
 * mixture.
 */
export function survivors(seed: number): () => boolean {
  if (seed === 0) return () => false
  if (seed === 1) return () => true
  let state = seed * 7919
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state >>> 31 === 1
  }
}

function newFolder(): FolderNode {
  return { kind: 'directory', names: new Map(), safe: new Map() }
}

function newFile(mode: number): FileNode {
  return { kind: 'file', mode, bytes: new Uint8Array(), length: 0, safe: new Uint8Array() }
}

function place(names: (folder: FolderNode) => Map<string, Node>, change: Change): void {
  for (const { folder, name, node } of change) {
    if (node === undefined) names(folder).delete(name)
    else names(folder).set(name, node)
  }
}

/**
 * Takes from earlier changes what a later one, now safe, has overtaken: a name cannot go back to an
 * older state.
 */
function supersede(earlier: Change[], later: Change): void {
  for (const [i, change] of earlier.entries()) {
    earlier[i] = change.filter(
      (old) => !later.some((part) => part.folder === old.folder && part.name === old.name),
    )
  }
}

/**
 * Paths are absolute, parts separated as node:path joins them on any platform; the root is there
 * from the beginning. There are no links.
 */
export class SimulatedDisk implements Disk {
  #root = newFolder()
  /** Changes of names since their folders were synced, oldest first. */
  #changes: Change[] = []
  readonly #capacityBytes: number | undefined
  /** Grows at each power cut: open files of before are dead. */
  #epoch = 0

  /** `capacityBytes`: files together, NO_SPACE beyond; nearly endless when absent. */
  constructor(o: { capacityBytes?: number } = {}) {
    this.#capacityBytes = o.capacityBytes
  }

  async open(path: string, access: DiskAccess, mode: number = SECRET_MODE): Promise<DiskFile> {
    const { folder, name } = this.#locate(path)
    let node = folder.names.get(name)
    if (access === 'create') {
      if (node !== undefined) throw new MoyaiError('TARGET_EXISTS', `${path} is already there`)
      node = newFile(mode)
      this.#change([{ folder, name, node }])
    }
    return this.#handle(this.#file(node, path))
  }

  async rename(from: string, to: string): Promise<void> {
    const source = this.#locate(from)
    const target = this.#locate(to)
    const node = source.folder.names.get(source.name)
    if (node === undefined) throw new MoyaiError('NOT_FOUND', `${from} is not there`)
    this.#change([
      { ...source, node: undefined },
      { ...target, node },
    ])
  }

  async unlink(path: string): Promise<void> {
    const { folder, name } = this.#locate(path)
    this.#file(folder.names.get(name), path)
    this.#change([{ folder, name, node: undefined }])
  }

  async makeDirectory(path: string): Promise<boolean> {
    const { folder, name } = this.#locate(path)
    const there = folder.names.get(name)
    if (there?.kind === 'directory') return false
    if (there !== undefined) throw new MoyaiError('TARGET_EXISTS', `${path} is already there`)
    this.#change([{ folder, name, node: newFolder() }])
    return true
  }

  async list(path: string): Promise<DiskEntry[]> {
    const entries = [...this.#folder(path).names]
    return entries
      .map(([name, { kind }]): DiskEntry => ({ name, kind }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async size(path: string): Promise<number> {
    const { folder, name } = this.#locate(path)
    return this.#file(folder.names.get(name), path).length
  }

  async freeBytes(): Promise<number> {
    if (this.#capacityBytes === undefined) return 2 ** 40
    return Math.max(0, this.#capacityBytes - bytesIn(this.#root))
  }

  async syncDirectory(path: string): Promise<void> {
    const folder = this.#folder(path)
    // A change that touches this folder becomes safe as a whole: a rename never leaves two names or
    // none.
    const pending: Change[] = []
    for (const change of this.#changes) {
      if (change.some((part) => part.folder === folder)) {
        place((one) => one.safe, change)
        supersede(pending, change)
      } else pending.push(change)
    }
    this.#changes = pending
  }

  /**
   * Cuts the power: only safe names and bytes remain, and whatever of the rest `keep` chooses,
   * asked once for each change of a name and each unsynced file. Open files are dead. Without
   * `keep` nothing unsafe remains.
   */
  powerLoss(keep: () => boolean = () => false): void {
    for (const change of this.#changes) if (keep()) place((one) => one.safe, change)
    this.#changes = []
    settle(this.#root, keep)
    this.#epoch++
  }

  #change(change: Change): void {
    place((folder) => folder.names, change)
    this.#changes.push(change)
  }

  #folder(path: string): FolderNode {
    return this.#walk(partsOf(path), path)
  }

  #walk(parts: readonly string[], path: string): FolderNode {
    let node: Node | undefined = this.#root
    for (const part of parts) {
      node = node?.kind === 'directory' ? node.names.get(part) : undefined
    }
    if (node?.kind !== 'directory') throw new MoyaiError('NOT_FOUND', `${path} is not there`)
    return node
  }

  #locate(path: string): { folder: FolderNode; name: string } {
    const parts = partsOf(path)
    const name = parts.pop() ?? ''
    return { folder: this.#walk(parts, path), name }
  }

  #file(node: Node | undefined, path: string): FileNode {
    if (node === undefined) throw new MoyaiError('NOT_FOUND', `${path} is not there`)
    if (node.kind !== 'file') throw new MoyaiError('DISK', `${path} is not a file`)
    return node
  }

  #handle(node: FileNode): DiskFile {
    const epoch = this.#epoch
    let open = true
    const check = (): void => {
      if (!open || epoch !== this.#epoch) throw new MoyaiError('DISK', 'the file is closed')
    }
    const write = async (bytes: Uint8Array, position: number): Promise<void> => {
      check()
      const growth = position + bytes.length - node.length
      if (growth > 0 && growth > (await this.freeBytes())) {
        throw new MoyaiError('NO_SPACE', 'the disk is full')
      }
      writeTo(node, bytes, position)
    }
    return {
      read: async (buffer, position) => {
        check()
        const part = node.bytes.subarray(position, Math.min(node.length, position + buffer.length))
        buffer.set(part)
        return part.length
      },
      write,
      writeParts: (parts, position) => write(concatBytes(...parts), position),
      sync: async () => {
        check()
        node.safe = node.bytes.slice(0, node.length)
      },
      size: async () => {
        check()
        return node.length
      },
      mode: async () => {
        check()
        return node.mode
      },
      close: async () => {
        check()
        open = false
      },
    }
  }
}

function partsOf(path: string): string[] {
  return path.split(/[/\\]/).filter((part) => part !== '')
}

function writeTo(node: FileNode, bytes: Uint8Array, position: number): void {
  const end = position + bytes.length
  if (end > node.bytes.length) {
    const larger = new Uint8Array(Math.max(end, 2 * node.bytes.length))
    larger.set(node.bytes.subarray(0, node.length))
    node.bytes = larger
  }
  node.bytes.set(bytes, position)
  node.length = Math.max(node.length, end)
}

function bytesIn(folder: FolderNode): number {
  let sum = 0
  for (const node of folder.names.values()) {
    sum += node.kind === 'file' ? node.length : bytesIn(node)
  }
  return sum
}

/** Makes what is safe the state of everything below `folder`. */
function settle(folder: FolderNode, keep: () => boolean): void {
  folder.names = new Map(folder.safe)
  for (const node of folder.names.values()) {
    if (node.kind === 'directory') settle(node, keep)
    else settleFile(node, keep)
  }
}

/**
 * Unsynced bytes: each 4 KiB block is the new one, the old one, or (beyond the old length) zeros.
 */
function settleFile(node: FileNode, keep: () => boolean): void {
  const length = keep() ? node.length : node.safe.length
  const bytes = new Uint8Array(length)
  bytes.set(node.safe.subarray(0, length))
  for (let at = 0; at < length; at += 4096) {
    const isSafe = sameBytes(node.safe.subarray(at, at + 4096), node.bytes.subarray(at, at + 4096))
    if (!isSafe && keep()) {
      bytes.set(node.bytes.subarray(at, Math.min(length, at + 4096)), at)
    }
  }
  node.bytes = bytes
  node.length = length
  node.safe = bytes.slice()
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
