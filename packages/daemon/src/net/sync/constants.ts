/**
 * `/moyai/sync/1`: pool log, addresses and vault logs find their way to every host (spec/sync.md).
 */

import {
  assert,
  HASH_BYTES,
  LOG_ENTRY_BYTES_MAX,
  POOL_HOSTS_MAX,
  POOL_STATEMENTS_MAX,
  STATEMENT_BYTES_MAX,
  SYNC_MESSAGE_BYTES_MAX,
} from '@moyai/protocol'

/** spec/sync.md §1 */
export const SYNC_PROTOCOL = '/moyai/sync/1'

/**
 * Requests of one peer at once: one round of pulling, an append, a notice. An append may make its
 * receiver pull from the sender, so there must be more places than appends in flight (one), or two
 * hosts could wait for one another.
 */
export const SYNC_REQUESTS_MAX = 4

/**
 * Envelopes in one message fill it up to this; any one fits. A page is held in memory on both
 * sides.
 */
export const SYNC_PAGE_BYTES_MAX: number = LOG_ENTRY_BYTES_MAX + 64 * 1024
/** Envelopes in one message: the smallest is about 200 bytes. */
export const SYNC_PAGE_ITEMS_MAX = 1024
/** Statement ids in one message: all there can be, 544 KiB. */
export const SYNC_IDS_MAX: number = POOL_STATEMENTS_MAX
/** Address records and heads in a summary: 1024 × (about 60 + 100) bytes is 160 KiB. */
export const SYNC_HOSTS_MAX: number = POOL_HOSTS_MAX
/** The longest message. */
export const SYNC_BYTES_MAX: number = SYNC_PAGE_BYTES_MAX + 64 * 1024

assert(LOG_ENTRY_BYTES_MAX + 5 <= SYNC_PAGE_BYTES_MAX, 'any entry alone fits a page')
assert(STATEMENT_BYTES_MAX + 5 <= SYNC_PAGE_BYTES_MAX, 'any statement alone fits a page')
assert(SYNC_BYTES_MAX <= SYNC_MESSAGE_BYTES_MAX, 'any message is within the protocol')
assert(SYNC_PAGE_BYTES_MAX + 8 * SYNC_PAGE_ITEMS_MAX + 4096 < SYNC_BYTES_MAX, 'pages fit')
assert(SYNC_IDS_MAX * (HASH_BYTES + 2) + 4096 < SYNC_BYTES_MAX, 'all ids fit a message')
assert(SYNC_HOSTS_MAX * 160 + 4096 < SYNC_BYTES_MAX, 'a summary of all hosts fits a message')
