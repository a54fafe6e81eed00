/** MOYAI_HOME: the state of one host. */

export { initHome, type InitOptions, type InitResult, type InitSettings } from './init-home.ts'
export { homePaths, type HomePaths } from './layout.ts'
export { lockHome, type HomeLock } from './lock.ts'
export { openHome, type Home } from './open-home.ts'
