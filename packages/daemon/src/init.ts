/** What `moyai init` needs, without loading the whole daemon. */

export { systemClock } from './clock.ts'
export { initHome } from './home/init-home.ts'
export { systemRandom } from './random.ts'
