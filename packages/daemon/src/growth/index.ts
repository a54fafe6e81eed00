/** The owner's stripes follow the pool. */

export { GrowthService } from './growth-service.ts'
export type { GrowthServiceComponents, GrowthServiceOptions, GrowthTurn } from './growth-service.ts'
