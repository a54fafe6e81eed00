/** Give and take between the hosts of the pool. */

export { Ledger, vaultQuota, withLedger } from './ledger.ts'
export type { LedgerEntry } from './ledger.ts'
