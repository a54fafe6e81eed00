/** Give and take. */

export {
  decodeLedgerRequest,
  decodeLedgerResponse,
  encodeLedgerRequest,
  encodeLedgerResponse,
} from './ledger.ts'
export type { LedgerResponse } from './ledger.ts'
export { quotaBytes } from './quota.ts'
export type { Offer } from './quota.ts'
