/** Invites and the join that redeems them (spec/join.md). */

export * from './invite.ts'
export * from './join.ts'
export * from './package.ts'
