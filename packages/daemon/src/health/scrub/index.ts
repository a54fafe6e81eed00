/** Scrub: a holder reads again what it keeps. */

export { scrubNow } from './scrub-now.ts'
export {
  type ScrubComponents,
  type ScrubFindings,
  type ScrubOptions,
  type ScrubProgress,
  ScrubService,
} from './scrub-service.ts'
