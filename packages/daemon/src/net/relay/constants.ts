/**
 * Circuit relay v2: a host that both sides reach carries bytes between two hosts that do not reach
 * one another (spec/wire.md §1; https://github.com/libp2p/specs/blob/master/relay/circuit-v2.md).
 */

import { assert } from '@moyai/protocol'

/** Spoken to the relay by the host that dials. */
export const HOP_PROTOCOL = '/libp2p/circuit/relay/0.2.0/hop'
/** Spoken by the relay to the host that is dialed. */
export const STOP_PROTOCOL = '/libp2p/circuit/relay/0.2.0/stop'

/** A handshake message holds two ids and some addresses that nobody reads. */
export const RELAY_MESSAGE_BYTES_MAX = 4096
/** A handshake takes two round trips, on one of which another host is asked. */
export const RELAY_HANDSHAKE_MS = 15_000

/**
 * Circuits that one host carries. Two per pair of hosts that need one: 16 hosts behind two routers
 * have 64 pairs. Above, the dialer is sent to another relay.
 */
export const CIRCUITS_MAX = 256
/** Of these, those that one host may have dialed. */
export const CIRCUITS_PER_HOST_MAX = 64
/**
 * Bytes that a circuit keeps in one direction before it stops its sender, besides what the sender's
 * yamux window lets through (1 MiB): the connection inside the circuit has windows of its own,
 * which an honest sender obeys first.
 */
export const CIRCUIT_BUFFER_BYTES: number = 256 * 1024
/** Handed on at once; a buffer's worth. */
export const CIRCUIT_CHUNK_BYTES: number = 128 * 1024
/**
 * A circuit that moves nothing for this long is cut: the connections inside ping every 15 s, so it
 * is dead or stalled, and what it holds is needed elsewhere.
 */
export const CIRCUIT_IDLE_MS = 120_000

/** HOP streams on one connection: circuits, and some being asked for. */
export const HOP_STREAMS_MAX: number = CIRCUITS_PER_HOST_MAX + 16
/** STOP streams on one connection: the host at its end may be wanted by every other one. */
export const STOP_STREAMS_MAX: number = CIRCUITS_MAX

assert(CIRCUIT_CHUNK_BYTES <= CIRCUIT_BUFFER_BYTES, 'a chunk is read from the buffer')
assert(CIRCUITS_PER_HOST_MAX <= CIRCUITS_MAX, 'one host has its share of all')
