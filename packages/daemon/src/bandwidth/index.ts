/** How fast this host may send and receive. */

export { Bandwidth, DIRECTIONS } from './bandwidth.ts'
export type { Direction } from './bandwidth.ts'
export { parseTimetable } from './timetable.ts'
export type { Rate, Timetable } from './timetable.ts'
