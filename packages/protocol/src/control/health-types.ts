/** What the commands of keeping stripes whole say: `scrub` and `repair`. */

export type ScrubStatusEvent = {
  message_type: 'status'
  shards_read: number
  bytes_read: number
  bytes_total: number
  num_damaged: number
}
export type ScrubSummary = {
  message_type: 'summary'
  shards_read: number
  bytes_read: number
  seconds_elapsed: number
  num_damaged: number
  /** Shards that are not what was stored, in hex; the first 100. Repair makes them anew. */
  damaged: { vault: string; pack: string; index: number }[]
}

export type RepairStatusEvent = {
  message_type: 'status'
  stripes_repaired: number
  shards_placed: number
  bytes_fetched: number
  bytes_placed: number
  /** Stripes that still need something. */
  stripes_left: number
}
export type RepairSummary = Omit<RepairStatusEvent, 'message_type'> & {
  message_type: 'summary'
  seconds_elapsed: number
  stripes_lost: number
  /**
   * Stripes, in hex, of which fewer shards are left than are needed; the first 100. They come back
   * when their hosts do.
   */
  lost: { vault: string; pack: string; have: number; need: number }[]
}
