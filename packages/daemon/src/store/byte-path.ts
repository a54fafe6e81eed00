/**
 * Paths as texts of one character per byte ("latin1"): names are raw bytes on Linux and macOS, this
 * keeps all of them, sorts as bytes do, and takes a third of the memory of a Buffer. On Windows the
 * bytes are those of UTF-8.
 */

const WINDOWS: boolean = process.platform === 'win32'

/** A path or name as node:fs takes it. */
export function fsPath(path: string): Buffer | string {
  const bytes = Buffer.from(path, 'latin1')
  return WINDOWS ? bytes.toString('utf8') : bytes
}

/** The bytes of a path or name. */
export function pathBytes(path: string): Uint8Array {
  return Buffer.from(path, 'latin1')
}

/** The path or name of bytes. */
export function bytePath(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

/** A path of ordinary text, as people type it. */
export function bytePathOfText(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** A path for people: UTF-8 where it is that. */
export function displayPath(path: string): string {
  return Buffer.from(path, 'latin1').toString('utf8')
}

export function joinPath(folder: string, name: string): string {
  return folder.endsWith('/') ? folder + name : `${folder}/${name}`
}
