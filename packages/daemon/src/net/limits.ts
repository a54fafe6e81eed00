/**
 * Limits of the daemon's network layer: with unit, reason and arithmetic. What two implementations
 * must agree on is in spec/wire.md §5; the rest protects this process. Relations are asserted when
 * the module loads.
 */

import {
  assert,
  AUDIT_CHALLENGES_MAX,
  CODE_K_MAX,
  FRAME_BYTES_MAX,
  GROUP_BYTES,
  JOIN_REQUEST_BYTES_MAX,
  JOIN_RESPONSE_BYTES_MAX,
  SHARD_LENGTH_MAX,
  STRIPE_ENVELOPE_BYTES_MAX,
  SYNC_MESSAGE_BYTES_MAX,
} from '@moyai/protocol'

const KIB = 1024
const MIB = 1024 * KIB

// ---- transport ----------------------------------------------------------------------------------

/**
 * Yamux starts each stream with this window, and a sender assumes that its peer has the same: do
 * not change.
 */
export const YAMUX_WINDOW_BYTES_INITIAL: number = 256 * KIB
/**
 * Yamux grows a window up to this. It must stay below the read buffer: the defaults (16 MiB window,
 * 4 MiB buffer) reset a correct reader that pauses. 1 MiB per lane fills 25 MB/s at 40 ms; two
 * lanes, 50 MB/s.
 */
export const YAMUX_WINDOW_BYTES_MAX: number = 1 * MIB
/** libp2p aborts a stream that buffers more for its reader. */
export const STREAM_READ_BUFFER_BYTES_MAX: number = 4 * MIB
/**
 * A backstop: our writer never queues more than one batch of frames. libp2p aborts the stream above
 * it.
 */
export const STREAM_WRITE_BUFFER_BYTES_MAX: number = 16 * MIB

/**
 * Into one such buffer a connection seals what it writes: the longest batch of a lane (just below
 * two frames) and a tag of 18 bytes for each 64 KiB of it.
 */
export const NOISE_SLAB_BYTES: number = 2 * FRAME_BYTES_MAX + 16 * KIB
/** Such buffers that are kept while no connection has something on its way: 4.2 MiB. */
export const NOISE_SLABS_KEPT_MAX = 8

/** The bounded reader pauses its stream at `HIGH` unread bytes and resumes at `LOW`. */
export const READER_HIGH_BYTES: number = 1 * MIB
export const READER_LOW_BYTES: number = 256 * KIB

// ---- frames -------------------------------------------------------------------------------------

/** A HELLO is some 60 bytes; its shape never changes, only its lists may grow. */
export const HELLO_BYTES_MAX: number = 1 * KIB
/** An ERROR carries a code, a sentence and a hint. */
export const ERROR_BYTES_MAX: number = 2 * KIB
/** Characters of an error's text and of its hint. */
export const ERROR_TEXT_MAX = 300
/**
 * A message of a request/response protocol; above one frame it travels as payload, against credit.
 */
export const MESSAGE_BYTES_MAX: number = Math.max(SYNC_MESSAGE_BYTES_MAX, JOIN_RESPONSE_BYTES_MAX)
/** What a stranger may send as a REQUEST: always one frame. */
export const STRANGER_MESSAGE_BYTES_MAX: number = JOIN_REQUEST_BYTES_MAX
/** Requests of one lane of such a protocol at once, unless it says otherwise. */
export const MESSAGE_REQUESTS_MAX = 4

// ---- lanes --------------------------------------------------------------------------------------

/**
 * Requests in flight on one lane. Depth 4 is the measured plateau; 8 covers the time of an fsync.
 */
export const LANE_REQUESTS_MAX = 8
/** Payload bytes that a receiver grants on one lane in one direction, buffered or on their way. */
export const LANE_CREDIT_BYTES_MAX: number = 4 * MIB
/**
 * Payload bytes granted to one request. Its share of the lane is its own, so that a request whose
 * consumer is slow can never take the credit of another that the consumer is waiting for.
 */
export const REQUEST_WINDOW_BYTES: number = LANE_CREDIT_BYTES_MAX / LANE_REQUESTS_MAX
/** Credit is topped up in steps of this, so that CREDIT frames stay rare (two per window). */
export const CREDIT_STEP_BYTES: number = REQUEST_WINDOW_BYTES / 2
/** Requests of this host that may wait for a free place on one lane; BUSY above. */
export const LANE_WAITING_MAX = 1024
/**
 * Late CREDIT and CANCEL frames that one finished request excuses: they crossed its end on the
 * wire. A window is topped up at most twice per window's worth of data in flight, and cancelled
 * once.
 */
export const STRAY_FRAMES_PER_REQUEST = 8
/** Excused late frames saved up on one lane. */
export const STRAY_FRAMES_MAX = 64
/**
 * Request ids end here; the lane is then replaced. At 1000 requests a second this is reached after
 * 24 days.
 */
export const REQUEST_ID_MAX = 2 ** 31

/**
 * Lanes that this host opens to one peer for bulk data; two suffice up to 40 ms (perf: 4 add 10 %).
 */
export const BULK_LANES_PER_PEER = 2
/** A second lane is opened when the first has this many requests in flight. */
export const LANE_REQUESTS_BEFORE_NEXT = 4
/** Streams of one protocol that a peer may have open at once on one connection. */
export const STREAMS_PER_PROTOCOL_MAX = 4
/** Streams of all protocols on one connection, identify and ping included. */
export const STREAMS_PER_CONNECTION_MAX = 64
/** Lanes of one protocol that one peer may have open towards us, over all its connections. */
export const INBOUND_LANES_PER_PEER_MAX = 4
/**
 * Handlers at work for one peer and for all. They outlive a broken lane until the disk lets them
 * go, so that a peer that reconnects cannot pile them up: 64 × one DATA frame is 16 MiB.
 */
export const HANDLERS_PER_PEER_MAX = 64
export const HANDLERS_MAX = 512

// ---- memory of the process ----------------------------------------------------------------------

/**
 * Payload bytes that all peers together may have granted or buffered here (PUT): 64 requests at
 * full window.
 */
export const SERVE_BUDGET_BYTES: number = 32 * MIB
/** Of these, what one peer may take: a quarter, so that three silent peers do not stop a fourth. */
export const SERVE_BUDGET_BYTES_PER_PEER: number = SERVE_BUDGET_BYTES / 4
/** Messages above one frame that are being put together or served, of all peers and of one. */
export const MESSAGE_BUDGET_BYTES: number = 32 * MIB
export const MESSAGE_BUDGET_BYTES_PER_PEER: number = 8 * MIB
/**
 * The same for what this host fetches (GET): apart, so that nobody's uploads stop our own
 * retrieval.
 */
export const FETCH_BUDGET_BYTES: number = 32 * MIB

// ---- time ---------------------------------------------------------------------------------------

/**
 * A peer that says nothing for a request, while it is its turn, for this long has lost that
 * request.
 */
export const REQUEST_IDLE_MS = 60_000
/**
 * The same while a holder fsyncs a shard: a NAS with sleeping disks may need most of a minute to
 * wake.
 */
export const COMMIT_IDLE_MS = 120_000
/**
 * However lively its lane is otherwise, a request without progress ends after this many idle times.
 */
export const REQUEST_IDLE_FACTOR_MAX = 5
/** From the opening of a lane to the peer's HELLO. */
export const HELLO_DEADLINE_MS = 10_000
/** A frame that was begun must go on within this. */
export const FRAME_STALL_MS = 60_000
/**
 * The opener closes a lane that it has not used for this long; the other side only after twice the
 * time.
 */
export const LANE_IDLE_MS = 300_000
/** How often deadlines and the member table are looked at. */
export const TICK_MS = 1_000
/** How long a lane that is given up may take to send its last ERROR frame. */
export const FAREWELL_MS = 1_000

// ---- connections --------------------------------------------------------------------------------

/** A pool has up to some hundreds of hosts. */
export const CONNECTIONS_MAX = 200
/**
 * Several members may sit behind one address; libp2p's default of 5 a second refuses them after a
 * power cut.
 */
export const INBOUND_CONNECTIONS_PER_SECOND_MAX = 50
export const INBOUND_CONNECTIONS_PENDING_MAX = 50
export const DIALS_PARALLEL_MAX = 10
export const DIAL_TIMEOUT_MS = 15_000
export const ADDRESS_DIAL_TIMEOUT_MS = 5_000
/**
 * A dial to a host's own addresses has this long before relays are asked as well: a router that
 * drops packets makes it last the whole time-out.
 */
export const RELAY_HEAD_START_MS = 1_000
/** Relays that are asked for a host in one attempt; the next attempt may ask others. */
export const RELAYS_TRIED_MAX = 3
/** How often the LAN is asked who is there: one packet, and one answer from each host. */
export const LAN_QUERY_MS = 15_000
/** Hosts on the LAN that are remembered; a pool has some hundreds, and anybody may answer. */
export const LAN_HOSTS_MAX = 512
/** Addresses of one of them: a few networks, two families. */
export const LAN_ADDRESSES_MAX = 8
/** Addresses of one member that are tried. */
export const PEER_ADDRESSES_MAX = 16
/**
 * A dead connection is noticed by pings, within a minute; a loop blocked for some seconds, or a
 * line that stalls, must not look dead.
 */
export const HEARTBEAT_MS = 20_000
export const HEARTBEAT_PATIENCE_MS = 30_000
/** How often connections are looked at for it. */
export const HEARTBEAT_TICK_MS = 5_000
export const SOCKET_INACTIVITY_MS = 120_000
/**
 * libp2p forgets addresses after an hour and peers after six; ours is not its table, but it must
 * not interfere.
 */
export const PEER_STORE_AGE_MS: number = 365 * 24 * 3600 * 1000

/** Connections of hosts that are no members, while an invite is open. */
export const STRANGERS_MAX = 8
/** A stranger joins in one round trip; it may take this long. */
export const STRANGER_MS = 30_000

// ---- reconnecting -------------------------------------------------------------------------------

/** First wait after a failed dial; it doubles up to the maximum and never ends. */
export const RECONNECT_MS_MIN = 1_000
export const RECONNECT_MS_MAX = 60_000
/**
 * The host with the higher id gives the other this long to dial first, so that rarely both do; a
 * dial takes 15–500 ms.
 */
export const DIAL_DEFERENCE_MS = 2_000
/**
 * A connection that lasted this long ends a series of failures: a denied one is cut within
 * milliseconds.
 */
export const CONNECTION_STABLE_MS = 10_000

/**
 * A lost connection that can be had again is there again within this: the higher id defers to the
 * lower one, a relay is connected before what it relays, and a dial over a bad line takes seconds.
 */
export const RETURN_MS_MAX = 15_000
/** How often it is looked whether a lost host is back, by those that wait for it. */
export const RETURN_POLL_MS = 100
/** Wall-clock time that the monotonic clock did not count: the machine was asleep. */
export const SLEEP_MS_MIN = 20_000
/**
 * A host that is reached through a relay is dialed directly at once, and then ever more seldom: a
 * port may have been forwarded since, but two closed routers stay so for years.
 */
export const UPGRADE_MS_MIN = 15_000
export const UPGRADE_MS_MAX = 900_000

// ---- shard protocol -----------------------------------------------------------------------------

/** A stripe descriptor (2 KiB at most), an index and the field names. */
export const SHARD_REQUEST_BYTES_MAX: number = 4 * KIB
/**
 * A GET response: the proof of a whole 4 MiB shard has 255 pairs of 64 bytes; STAT and INVENTORY
 * are below that.
 */
export const SHARD_RESPONSE_BYTES_MAX: number = 128 * KIB
/** Items on one page of an inventory: 1024 × about 60 bytes of CBOR is 60 KiB. */
export const INVENTORY_PAGE_MAX = 1024
/** Shards of one pack that one holder lists; it should keep one, a repair may leave a second. */
export const STAT_ITEMS_MAX: number = CODE_K_MAX
/** Hosts named in an audit's answer for one challenge, and requests that a holder remembers. */
export const AUDIT_ASKERS_MAX = 8
export const RECENT_GETS_MAX = 4096
/** How long they are remembered: an auditor asks for them within minutes. */
export const RECENT_GETS_MS = 600_000
/** The slice proof of one group in a tree of 256: eight pairs of 64 bytes. */
export const AUDIT_PROOF_BYTES_MAX = 512
/** An inventory cursor is opaque to the client; holders use vault, pack and index. */
export const CURSOR_BYTES_MAX = 128
/** Bytes that a holder reads at once for a GET; whole groups. */
export const SHARD_READ_BYTES: number = FRAME_BYTES_MAX

assert(YAMUX_WINDOW_BYTES_MAX <= STREAM_READ_BUFFER_BYTES_MAX, 'a paused reader is never reset')
assert(READER_HIGH_BYTES >= FRAME_BYTES_MAX, 'one frame fits the reader')
assert(READER_LOW_BYTES < READER_HIGH_BYTES, 'the reader resumes before it is empty')
assert(LANE_CREDIT_BYTES_MAX <= STREAM_READ_BUFFER_BYTES_MAX, 'credit alone bounds the read buffer')
assert(CREDIT_STEP_BYTES >= 1 && CREDIT_STEP_BYTES <= REQUEST_WINDOW_BYTES, 'windows are topped up')
assert(SERVE_BUDGET_BYTES_PER_PEER >= LANE_CREDIT_BYTES_MAX, 'one peer can fill a lane')
assert(LANE_REQUESTS_BEFORE_NEXT <= LANE_REQUESTS_MAX, 'a lane fills up after the next is opened')
assert(STRIPE_ENVELOPE_BYTES_MAX + 256 <= SHARD_REQUEST_BYTES_MAX, 'a PUT fits its frame')
assert(
  STAT_ITEMS_MAX * (STRIPE_ENVELOPE_BYTES_MAX + 64) <= SHARD_RESPONSE_BYTES_MAX,
  'the longest STAT response fits its frame',
)
assert(
  (SHARD_LENGTH_MAX / GROUP_BYTES) * 64 + 256 <= SHARD_RESPONSE_BYTES_MAX,
  'the longest proof fits its frame',
)
assert(
  2 ** (AUDIT_PROOF_BYTES_MAX / 64) * GROUP_BYTES >= SHARD_LENGTH_MAX,
  'the proof of a group of the largest shard fits',
)
assert(
  AUDIT_CHALLENGES_MAX * 60 + 128 <= SHARD_REQUEST_BYTES_MAX,
  'the longest AUDIT fits its frame',
)
assert(INVENTORY_PAGE_MAX * 100 <= SHARD_RESPONSE_BYTES_MAX, 'a full page fits its frame')
assert(MESSAGE_BYTES_MAX <= MESSAGE_BUDGET_BYTES_PER_PEER, 'the longest message can be received')
