/**
 * A file that lies in the store's folder while the store is open: found at the next opening, it says
 * that the machine, or the process, stopped in the middle of something.
 */

import { isMoyaiError } from '@moyai/protocol'
import { type Disk, removeFile } from '../file-system/index.ts'

const OPEN_FILE = 'store.open'

/** True when the store was not closed. A full disk has no room for the marker: then false. */
export async function markOpen(disk: Disk, root: string): Promise<boolean> {
  try {
    const file = await disk.open(`${root}/${OPEN_FILE}`, 'create')
    await file.close()
    await disk.syncDirectory(root)
    return false
  } catch (error) {
    if (isMoyaiError(error, 'TARGET_EXISTS')) return true
    if (isMoyaiError(error, 'NO_SPACE')) return false
    throw error
  }
}

/** Never throws: a marker that stays costs a scrub that comes sooner. */
export async function markClosed(disk: Disk, root: string): Promise<void> {
  try {
    await removeFile(disk, `${root}/${OPEN_FILE}`)
  } catch {
    // Offline or ill: whoever opens it next looks at all of it sooner.
  }
}
