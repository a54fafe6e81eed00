/** What came of a call, as test vectors write it. */

import assert from 'node:assert/strict'

import { isMoyaiError } from '@moyai/protocol'

/** `ok`, or the code of the MoyaiError that `act` throws; any other error fails the test. */
export function outcome(act: () => unknown): string {
  try {
    act()
    return 'ok'
  } catch (error) {
    assert.ok(isMoyaiError(error), String(error))
    return error.code
  }
}
