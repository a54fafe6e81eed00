/**
 * What a command needs that only asks a daemon: errors, texts, the control socket. A command that
 * loads the whole protocol, its codes and its word list starts three times as slowly.
 */

export * from './bytes.ts'
export * from './control/index.ts'
export * from './errors.ts'
export * from './version.ts'
