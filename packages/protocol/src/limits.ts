/**
 * Every limit of the protocol, with its unit, its reason and the arithmetic behind it. Decoders
 * check a size against its limit before they allocate. Relations between limits are asserted when
 * this module loads.
 */

import { assert } from './assert.ts'

const KIB = 1024
const MIB = 1024 * KIB

export const HASH_BYTES = 32
export const PUBLIC_KEY_BYTES = 32
export const SIGNATURE_BYTES = 64
/** Every symmetric key, secret and seed. */
export const KEY_BYTES = 32
/** GCM tags are never shortened. */
export const SEAL_TAG_BYTES = 16
/** Random, so that keys derived with it never repeat. */
export const SEAL_SALT_BYTES = 32
/** HKDF output beside a key: a collision would take 2^128 work. */
export const COMMITMENT_BYTES = 32
/** Public; distinguishes the vaults of one organisation. */
export const VAULT_SALT_BYTES = 16
/** An encoded vault bundle has about 200 bytes. */
export const VAULT_BUNDLE_BYTES_MAX = 512

// ---- chunks -------------------------------------------------------------------------------------

/** A file below this is one chunk; small chunks cost an index entry (about 60 B) each. */
export const CHUNK_BYTES_MIN: number = 256 * KIB
export const CHUNK_BYTES_AVERAGE: number = 1 * MIB
/**
 * 64 KiB below 4 MiB: the largest chunk, sealed, with header, directory and footer still fits a
 * pack of one 4 MiB shard, which is what the 1-of-n codes of the smallest pools have.
 */
export const CHUNK_BYTES_MAX: number = 4 * MIB - 64 * KIB
/**
 * Chunks below CHUNK_BYTES_MIN are gathered into blobs of up to this: fewer seals, better
 * compression.
 */
export const SEGMENT_BYTES_MAX: number = 1 * MIB
/** Chunks in one blob: 1 MiB of 16-byte files; more only costs directory space. */
export const BLOB_CHUNKS_MAX = 4096

// ---- packs and shards ---------------------------------------------------------------------------

/** All that a holder sees of a pack's size. */
export const SHARD_LENGTHS: readonly number[] = [64 * KIB, 256 * KIB, 1 * MIB, 4 * MIB]
export const SHARD_LENGTH_MAX: number = 4 * MIB
/**
 * Blobs in one pack: 16 MiB of 4 KiB blobs would be 4096; trees of tiny folders are gathered, too.
 */
export const PACK_BLOBS_MAX = 8192
/** magic 7, version 1, class 1, zero 7, salt 32, commitment 32. */
export const PACK_HEADER_BYTES = 80
/** 48 bytes of plaintext and a tag, at the very end of a pack. */
export const PACK_FOOTER_BYTES = 64
/**
 * 40 bytes for each chunk, about 70 for each blob: 90 000 tiny files; its entries must fit an index
 * segment.
 */
export const PACK_DIRECTORY_BYTES_MAX: number = 3.5 * MIB
/**
 * Code bounds: k ≤ 8 and k + m ≤ 14 are what the picker uses (DESIGN §8); decoders allow a little
 * more.
 */
export const CODE_K_MAX = 32
export const CODE_M_MAX = 16
/** A BLAKE3 subtree of 16 chunks: proofs are 16 times smaller than with single chunks. */
export const GROUP_BYTES: number = 16 * KIB
/** Payload of one hash tree: 65 536 groups, 2 MiB of hashes; eight times the largest pack. */
export const HASHED_PAYLOAD_BYTES_MAX: number = 1024 * MIB
/** Payload of a shard file starts on this boundary, so that reads of groups are page-aligned. */
export const SHARD_PAYLOAD_ALIGNMENT = 4096
/** Signature, about 270 bytes of fields, and 48 shard hashes of 32 bytes. */
export const STRIPE_ENVELOPE_BYTES_MAX = 2048
/**
 * Fixed part, descriptor, 256 group hashes of a 4 MiB shard and the header's hash are 10 288: three
 * pages.
 */
export const SHARD_HEADER_BYTES_MAX: number = 3 * SHARD_PAYLOAD_ALIGNMENT
/** Signature and about 260 bytes of fields. */
export const RECEIPT_ENVELOPE_BYTES_MAX = 512
/**
 * Last millisecond of the year 9999: later times are nonsense, and overflow the calendars of some
 * systems.
 */
export const TIME_MAX = 253_402_300_799_999

// ---- CBOR ---------------------------------------------------------------------------------------

/** Nothing of ours nests deeper than 8; 16 leaves room and bounds the stack. */
export const CBOR_DEPTH_MAX = 16
/** Items (scalars, keys, containers) in one decoded value unless the format says otherwise. */
export const CBOR_ITEMS_MAX = 65_536

// ---- tree, snapshot -----------------------------------------------------------------------------

/**
 * One page of a directory: well below a chunk, so that it is always one chunk and one blob part.
 */
export const TREE_PAGE_BYTES_MAX: number = 1 * MIB
/** A page is not cut before this: a folder of up to some hundred entries is one page. */
export const TREE_PAGE_BYTES_MIN: number = 64 * KIB
/**
 * A page ends after a name whose hash has these bits zero: 1024 entries beyond the minimum on
 * average.
 */
export const TREE_PAGE_CUT_MASK = 0x3ff
/** One encoded entry; what is larger goes into `streams`, which are chunked like content. */
export const TREE_ENTRY_BYTES_MAX: number = 512 * KIB
/** NTFS and APFS names are up to 255 UTF-16 units = 765 bytes of (W)UTF-8; Linux has 255 bytes. */
export const NAME_BYTES_MAX = 1024
/** Linux: 4095 bytes; a Windows reparse path: 32 767 UTF-16 units = 98 301 bytes of WTF-8. */
export const SYMLINK_TARGET_BYTES_MAX: number = 96 * KIB
/** User and group names: Windows `DOMAIN\name` has at most 15 + 1 + 256 characters. */
export const OWNER_NAME_BYTES_MAX = 1024
export const ENTRY_ERROR_BYTES_MAX = 1024
/**
 * Chunk ids (32 B each) held in the entry itself: 1 GiB of average chunks; longer files use list
 * pages.
 */
export const ENTRY_CHUNKS_MAX = 1024
/** List pages of one entry: 4096 * 16384 chunks of 1 MiB = 64 TiB. */
export const ENTRY_LIST_PAGES_MAX = 4096
/** Chunk ids in one list page: 512 KiB. */
export const CHUNK_LIST_IDS_MAX = 16_384
/**
 * A list page is not cut before this many ids, then after one whose low bits are zero (2048 more on
 * average).
 */
export const CHUNK_LIST_IDS_MIN = 2048
export const CHUNK_LIST_CUT_MASK = 0x7ff
/** Recorded holes of one file; what is beyond is stored as zeros, which compress away. */
export const HOLES_MAX = 4096
/** Linux: 64 KiB of names in one list, each name at least 2 bytes; nobody has so many. */
export const XATTRS_MAX = 1024
/** Linux XATTR_NAME_MAX is 255, macOS 127. */
export const XATTR_NAME_BYTES_MAX = 255
/** Linux XATTR_SIZE_MAX; larger values (macOS resource forks) are stored as streams. */
export const XATTR_VALUE_BYTES_MAX: number = 64 * KIB
/** Alternate data streams of one entry. */
export const STREAMS_MAX = 1024
/** A self-relative Windows security descriptor: two ACLs of at most 64 KiB, two SIDs. */
export const SECURITY_DESCRIPTOR_BYTES_MAX: number = 160 * KIB
/** macOS: 128 entries of 24 bytes and a header. */
export const ACL_BYTES_MAX: number = 64 * KIB
/** Windows MAXIMUM_REPARSE_DATA_BUFFER_SIZE. */
export const REPARSE_BYTES_MAX: number = 16 * KIB

// ---- snapshot, logs, invite, sync ---------------------------------------------------------------

/** An index segment is one blob; at least one pack's entries fit (asserted below). */
export const INDEX_SEGMENT_BYTES_MAX: number = CHUNK_BYTES_MAX
/** A writer ends a segment here: reading one back needs its value in memory. */
export const INDEX_SEGMENT_BYTES_TARGET: number = 1 * MIB
/** Packs in one segment: small packs of some blobs take about 1 KiB each. */
export const INDEX_SEGMENT_PACKS_MAX = 8192
/** Snapshot as CBOR: fits a vault-log entry with its seal and signature. */
export const SNAPSHOT_BYTES_MAX: number = 960 * KIB
/** Packs with the index of one run: at 16 MiB of index each, more than 500 TiB of new data. */
export const SNAPSHOT_INDEX_PACKS_MAX = 4096
export const SNAPSHOT_PATHS_MAX = 1024
/** Linux PATH_MAX is 4096; Windows has 32 767 UTF-16 units. */
export const PATH_BYTES_MAX: number = 96 * KIB
export const SNAPSHOT_TAGS_MAX = 256
export const SNAPSHOT_EXCLUDES_MAX = 1024
/** Names, tags, patterns: in characters. */
export const LABEL_LENGTH_MAX = 255
export const EXCLUDE_LENGTH_MAX = 4096
/** One vault-log entry (envelope): what a witness keeps for the owner. */
export const LOG_ENTRY_BYTES_MAX: number = 1 * MIB
/** Characters of an entry's kind. */
export const LOG_KIND_LENGTH_MAX = 32
/**
 * Entries of one vault: one snapshot a minute for 1900 years; bounds sequence numbers far below
 * 2^53.
 */
export const LOG_SEQ_MAX: number = 1_000_000_000
/** One pool-log statement (envelope); the largest, a host's, has about 900 bytes. */
export const STATEMENT_BYTES_MAX: number = 8 * KIB
/** Statements replaced by one: as many admins would have to act at once. */
export const REGISTER_AFTER_MAX = 16
/**
 * An announced absence ends 90 days after it was announced: it may be announced again, but a host
 * that nobody remembers does not stay excused for ever.
 */
export const AWAY_MS_MAX: number = 90 * 24 * 3_600_000
/** Changes of one label, retirement or policy: one a second for 68 years. */
export const REGISTER_SEQ_MAX = 0x7fff_ffff
/**
 * Statements of a revoked host that stay valid: it invited or certified so many. A second
 * revocation keeps more.
 */
export const REVOCATION_KEEP_MAX = 128
/** Statements a host keeps: 300 hosts re-certified fifty times. */
export const POOL_STATEMENTS_MAX = 16_384
/** Hosts a pool may have (DESIGN §1: some hundreds). */
export const POOL_HOSTS_MAX = 1024
/** Characters of host and pool names, site and provider labels. */
export const NAME_LENGTH_MAX = 63
/** Two keys, a time and up to sixteen rights of 32 characters. */
export const DELEGATION_BYTES_MAX: number = 1 * KIB
/** Four keys, a salt, three labels, two signatures. */
export const HOST_CLAIM_BYTES_MAX: number = 2 * KIB
export const GENESIS_NONCE_BYTES = 16
/** Rights in a delegation. */
export const DELEGATION_RIGHTS_MAX = 16
/** Addresses in an address record. */
export const ADDRESSES_MAX = 16
/** One multiaddr as text. */
export const ADDRESS_LENGTH_MAX = 256
export const ADDRESS_RECORD_BYTES_MAX: number = 8 * KIB
export const INVITE_SECRET_BYTES = 16
/** Addresses in an invite: what is reached at all is reached at one of these. */
export const INVITE_ADDRESSES_MAX = 4
/** The whole token as text: 4 addresses of 258 bytes, and 90 bytes, in base64. */
export const INVITE_TOKEN_LENGTH_MAX = 1536
/** Keys of a further host: a seed, a bundle and a delegation. */
export const HOST_PACKAGE_BYTES_MAX: number = 2 * KIB
/** A statement, an address record and a few fields. */
export const JOIN_REQUEST_BYTES_MAX: number = 32 * KIB
/**
 * All statements (16 384 of some 900 bytes would be 14 MiB) come in pages of sync; a join carries
 * these.
 */
export const JOIN_RESPONSE_BYTES_MAX: number = 4 * MIB
/** A request or response of /moyai/sync/1; longer answers are paged. */
export const SYNC_MESSAGE_BYTES_MAX: number = 4 * MIB
/** Text for people in a refusal. */
export const REFUSAL_LENGTH_MAX = 512

// ---- network ------------------------------------------------------------------------------------

/**
 * One DATA frame. 256 KiB is on the throughput plateau and keeps head-of-line blocking at some
 * milliseconds.
 */
export const FRAME_BYTES_MAX: number = 256 * KIB

assert(SHARD_LENGTHS.at(-1) === SHARD_LENGTH_MAX, 'the largest class is the shard limit')
assert(CHUNK_BYTES_MAX + 32 * KIB <= SHARD_LENGTH_MAX, 'a sealed chunk fits a one-shard pack')
assert(
  SHARD_LENGTHS.every((length) => length % GROUP_BYTES === 0),
  'shards are whole groups',
)
assert(SEGMENT_BYTES_MAX <= CHUNK_BYTES_MAX, 'a segment fits wherever a chunk fits')
assert(FRAME_BYTES_MAX % GROUP_BYTES === 0, 'frames carry whole groups')
assert(TREE_PAGE_BYTES_MAX <= SEGMENT_BYTES_MAX, 'a directory page is one chunk of one blob')
assert(TREE_ENTRY_BYTES_MAX + KIB <= TREE_PAGE_BYTES_MAX, 'every entry fits a page')
assert(CHUNK_LIST_IDS_MAX * HASH_BYTES + KIB <= SEGMENT_BYTES_MAX, 'a list page is one chunk')
assert(
  16 + STRIPE_ENVELOPE_BYTES_MAX + (SHARD_LENGTH_MAX / GROUP_BYTES + 1) * HASH_BYTES <=
    SHARD_HEADER_BYTES_MAX,
  'the header of the largest shard fits',
)
assert(
  SIGNATURE_BYTES + 384 + (CODE_K_MAX + CODE_M_MAX) * HASH_BYTES <= STRIPE_ENVELOPE_BYTES_MAX,
  'the descriptor of the largest code fits',
)
assert(
  PACK_DIRECTORY_BYTES_MAX + STRIPE_ENVELOPE_BYTES_MAX + 4 * KIB <= INDEX_SEGMENT_BYTES_MAX,
  'the entries of any pack fit a segment',
)
assert(
  TREE_ENTRY_BYTES_MAX + SNAPSHOT_INDEX_PACKS_MAX * (HASH_BYTES + 2) < SNAPSHOT_BYTES_MAX,
  'a root and all index packs fit a snapshot',
)
assert(SNAPSHOT_BYTES_MAX + 64 * KIB <= LOG_ENTRY_BYTES_MAX, 'a sealed snapshot fits a log entry')
assert(LOG_ENTRY_BYTES_MAX + 4 * KIB <= SYNC_MESSAGE_BYTES_MAX, 'any log entry fits a sync message')
assert(POOL_STATEMENTS_MAX * HASH_BYTES + KIB <= SYNC_MESSAGE_BYTES_MAX, 'all ids fit a message')
assert(
  HOST_CLAIM_BYTES_MAX + DELEGATION_BYTES_MAX + KIB <= STATEMENT_BYTES_MAX,
  'a claim and a delegation fit a statement',
)

// ---- give and take ------------------------------------------------------------------------------

/**
 * How much more than what it gives an organisation may take: with parity a stored byte takes 1.75
 * to 3, so that whoever offers a disk can store about as much; and no placement is quite even.
 */
export const QUOTA_SLACK = 3
/**
 * What everybody may keep at every host: a newcomer who has not set up his disk yet can try it, and
 * forty such hosts take 2.5 GiB.
 */
export const QUOTA_BYTES_MIN: number = 64 * 1024 * 1024

/** A message of `/moyai/ledger/1`: seven numbers with their names take less than 200 bytes. */
export const LEDGER_BYTES_MAX = 512
assert(
  REVOCATION_KEEP_MAX * (HASH_BYTES + 2) + 2 * DELEGATION_BYTES_MAX + KIB <= STATEMENT_BYTES_MAX,
  'a revocation fits a statement',
)

// ---- audits -------------------------------------------------------------------------------------

/** Challenges in one request: their groups are 256 KiB, one frame's worth. */
export const AUDIT_CHALLENGES_MAX = 16
export const AUDIT_NONCE_BYTES = 16
/** Signature, six fields of 32 bytes and less, 16 items of about 110 bytes. */
export const AUDIT_ANSWER_BYTES_MAX: number = 4 * KIB
/** Failed shards that a report names of each holder; how many there are says the rest. */
export const AUDIT_FAILED_MAX = 32
/** Failed shards that a whole report names, of some 50 bytes. */
export const AUDIT_FAILED_TOTAL_MAX = 256
/** Holders in a report, of some 100 bytes; in a larger pool, those first that failed. */
export const AUDIT_HOLDERS_MAX = 500
/** One audit report: 50 KB of holders and 13 KB of failed shards. */
export const AUDIT_REPORT_BYTES_MAX: number = 64 * KIB
/** A group, its proof in a tree of 256 groups, and its part of request, answer and frames. */
export const AUDIT_COST_BYTES: number = GROUP_BYTES + KIB
/**
 * A round over all shards of a holder is planned for five days: a week with a weekend in it.
 */
export const AUDIT_ROUND_MS: number = 5 * 86_400_000
/** An owner that has not reported for this long is away: fellow holders audit. A week and a day. */
export const AUDIT_OWNER_MS_MAX: number = 8 * 86_400_000
/** Default budget of an auditor, bytes a day: 15 400 shards, so 300 GB of 4 MiB shards a round. */
export const AUDIT_DAILY_BYTES: number = 256 * MIB

/** Shards that were not proved, and days on which, before a host is not trusted any more. */
export const TRUST_FAILED_MIN = 3
export const TRUST_FAILED_DAYS_MIN = 2
/** A bad day of a whole disk shows at once: this share of at least so many answers. */
export const TRUST_FAILED_SHARE = 0.2
export const TRUST_SAMPLE_MIN = 20
/** Once can be a coincidence of repairs. */
export const TRUST_PROXIED_MIN = 2
/** Proofs in a row, over at least a week, after which a host is trusted again. */
export const TRUST_PROVED_MIN = 50
export const TRUST_REDEEM_MS: number = 7 * 86_400_000

assert(
  AUDIT_HOLDERS_MAX * 100 + AUDIT_FAILED_TOTAL_MAX * 52 + 256 <= AUDIT_REPORT_BYTES_MAX,
  'the longest report fits',
)
assert(AUDIT_CHALLENGES_MAX * GROUP_BYTES <= FRAME_BYTES_MAX, 'the groups of an audit fit a frame')
