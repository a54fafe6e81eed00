/** Status: evidence gathered from the hosts, and what it amounts to. */

export { alarmsOf, fullAlarms, waitingAlarms } from './alarms.ts'
export { gatherEvidence } from './evidence.ts'
export {
  hostFacts,
  hostNames,
  hostStatuses,
  placeableFacts,
  poolPolicy,
  type PoolView,
} from './pool-facts.ts'
export {
  policyStatus,
  StatusService,
  type StatusComponents,
  type StatusOptions,
} from './status-service.ts'
