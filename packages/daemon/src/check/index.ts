/** Checking that what was stored can be had again. */

export type { CheckEvent } from './check-report.ts'
export { CheckService } from './check-service.ts'
export type {
  CheckControl,
  CheckHosts,
  CheckServiceComponents,
  CheckServiceOptions,
} from './check-service.ts'
