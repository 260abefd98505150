//! Every limit of the formats and of the engine, in one place.
//!
//! A decoder refuses what is beyond a limit before it allocates for it.

/// KiB in bytes.
pub const KIB: usize = 1 << 10;
/// MiB in bytes.
pub const MIB: usize = 1 << 20;

/// A full packfile has exactly this many bytes, unless the store's config says otherwise.
pub const PACK_BYTES: usize = 64 * MIB;
/// What a config may choose as the size of a full pack, in multiples of `PACK_BYTES_MIN`.
pub const PACK_BYTES_MIN: usize = 4 * KIB;
/// See [`PACK_BYTES_MIN`].
pub const PACK_BYTES_MAX: usize = 1 << 30;
/// Blobs in one pack.
pub const PACK_BLOBS_MAX: usize = 1 << 20;
/// Bytes of a pack header's key block.
pub const KEY_BLOCK_BYTES_MAX: usize = 4 * KIB;
/// Chunks compressed and sealed together in one blob.
pub const GROUP_MEMBERS_MAX: usize = 4096;
/// Plaintext of one blob (chunk, group, tree node or list).
pub const BLOB_PLAIN_BYTES_MAX: usize = 16 * MIB;
/// Small chunks are grouped up to this many plaintext bytes.
pub const GROUP_BYTES: usize = 256 * KIB;

/// Smallest, usual and largest chunk. All even: the cutter looks at bytes in pairs.
pub const CHUNK_MIN: usize = 64 * KIB;
/// See [`CHUNK_MIN`].
pub const CHUNK_AVG: usize = 256 * KIB;
/// See [`CHUNK_MIN`].
pub const CHUNK_MAX: usize = MIB;
/// The gear hash under our masks sees this many bytes.
pub const GEAR_WINDOW: usize = 48;

/// Content of one batch in the backup pipeline.
pub const BATCH_BYTES: usize = 2 * MIB;
/// Entries of one batch.
pub const BATCH_ENTRIES: usize = 1024;
/// Blocks in which sealed bytes leave for storage.
pub const BLOCK_BYTES: usize = 4 * MIB;
/// What a direct write is aligned to at least.
pub const BLOCK_ALIGN: usize = 4096;

/// Content of a file not longer than this lies in its tree entry.
pub const INLINE_BYTES: usize = 128;
/// What a config may choose in place of [`INLINE_BYTES`].
pub const INLINE_BYTES_MAX: usize = 4 * KIB;
/// A content list with more items becomes a tree of lists.
pub const LIST_ITEMS_INLINE: usize = 64;
/// Smallest and largest encoded tree node (the last node of a level may be smaller).
pub const NODE_BYTES_MIN: usize = 8 * KIB;
/// See [`NODE_BYTES_MIN`]. A node ends at the first entry that reaches this.
pub const NODE_BYTES_MAX: usize = 128 * KIB;
/// What a decoder accepts as a node: one entry with everything at its limit fits.
pub const NODE_DECODE_BYTES_MAX: usize = 4 * MIB;
/// Entries or children of one node: more than [`NODE_BYTES_MAX`] bytes of the shortest ones.
pub const NODE_ENTRIES_MAX: usize = 32 * KIB;
/// What an entry may take over from the one before it without writing it again (each of: bytes of its key, of its
/// extended attributes), so that a small node cannot unfold to a huge one.
pub const ENTRY_SHARED_BYTES_MAX: usize = 255;
/// Height of a tree of nodes or of lists.
pub const TREE_LEVELS_MAX: usize = 16;

/// A whole path.
pub const PATH_BYTES_MAX: usize = 16 * KIB;
pub const NAME_BYTES_MAX: usize = 4096;
/// Bytes of a file, and of the holes in it.
pub const FILE_BYTES_MAX: u64 = i64::MAX as u64;
/// A symbolic link's target.
pub const LINK_TARGET_BYTES_MAX: usize = 16 * KIB;
/// One extended attribute's value, and all of an entry's together.
pub const XATTR_VALUE_BYTES_MAX: usize = 64 * KIB;
/// See [`XATTR_VALUE_BYTES_MAX`].
pub const XATTRS_BYTES_MAX: usize = MIB;
/// An extended attribute's name.
pub const XATTR_NAME_BYTES_MAX: usize = 255;
/// Extended attributes of one entry.
pub const XATTRS_MAX: usize = 4096;
/// A user's or group's name.
pub const OWNER_NAME_BYTES_MAX: usize = 256;

/// A config, key slot, manifest, session record.
pub const CONFIG_BYTES_MAX: usize = 64 * KIB;
/// See [`CONFIG_BYTES_MAX`].
pub const KEY_SLOT_BYTES_MAX: usize = 4 * KIB;
/// Epochs in a config.
pub const EPOCHS_MAX: usize = 256;
/// Public keys in a config's roster.
pub const ROSTER_MAX: usize = 1024;
/// Key slots of a store.
pub const KEY_SLOTS_MAX: usize = 64;
/// A snapshot's manifest.
pub const MANIFEST_BYTES_MAX: usize = MIB;
/// Source paths, tags and options that a manifest holds, each.
pub const MANIFEST_LIST_MAX: usize = 16 * KIB;
/// One option in a manifest.
pub const OPTION_BYTES_MAX: usize = 16 * KIB;
/// The trust file.
pub const TRUST_BYTES_MAX: usize = 16 * MIB;
/// Session records: lease, checkpoint, outcome.
pub const SESSION_BYTES_MAX: usize = 64 * MIB;
/// State records: removals, marks, condemnations, decisions, settled lists.
pub const STATE_BYTES_MAX: usize = 64 * MIB;
/// Rows of one index segment: a session with more writes several.
pub const SEGMENT_ROWS_MAX: usize = 1 << 20;
/// Plaintext of one block of index rows.
pub const SEGMENT_BLOCK_BYTES: usize = 64 * KIB;
/// Packs named by one index segment.
pub const SEGMENT_PACKS_MAX: usize = 1 << 16;
/// One index segment as stored.
pub const SEGMENT_BYTES_MAX: usize = 256 * MIB;
/// Typed extensions of one record.
pub const EXTENSIONS_MAX: usize = 64;
/// Bytes of all extension bodies of one record.
pub const EXTENSIONS_BYTES_MAX: usize = 64 * KIB;
/// A name or label for people: of a host, user, key slot, tag.
pub const LABEL_BYTES_MAX: usize = 256;

/// Argon2id memory accepted from a key slot, in KiB, and passes.
pub const KDF_MEMORY_KIB_MAX: u32 = 1 << 20;
/// See [`KDF_MEMORY_KIB_MAX`].
pub const KDF_PASSES_MAX: u32 = 16;
/// Argon2id lanes accepted from a key slot.
pub const KDF_LANES_MAX: u32 = 16;

/// A session writes a checkpoint after so many seconds.
pub const CHECKPOINT_INTERVAL_S: u64 = 3600;
/// A session without a checkpoint for so many seconds of the store's time looks expired. Safety does not rest on it: too
/// short, and a run that slept over night fails and starts again; too long, and what a killed run left lies longer.
pub const LEASE_S: u32 = 24 * 3600;
/// Rows that a session gathers before it writes a segment. Until then each has a claim, too: this is what bounds the
/// claims.
pub const SESSION_ROWS_MAX: usize = 256 * KIB;
/// One file of the local cache beside the index.
pub const CACHE_BYTES_MAX: usize = 256 * MIB;
/// Things worth saying about a store that are kept for the caller.
pub const NOTICES_MAX: usize = 1000;

/// Hard-link groups remembered while their members are still to come.
pub const LINK_GROUPS_MAX: usize = 200_000;
/// Source errors kept with their path; beyond that they are counted.
pub const SOURCE_ERRORS_MAX: usize = 10_000;
/// Nodes without a match that a search remembers (32 bytes each).
pub const FIND_BARREN_MAX: usize = 1 << 20;
/// Partitions of a large index run.
pub const RUN_PARTITIONS: usize = 1024;

/// One window of a restore's plan: entries, bytes of content, pieces of content. Three are in memory at a time.
pub const WINDOW_ENTRIES: usize = 32 * KIB;
/// See [`WINDOW_ENTRIES`].
pub const WINDOW_BYTES: u64 = 512 * MIB as u64;
/// See [`WINDOW_ENTRIES`].
pub const WINDOW_PIECES: usize = 64 * KIB;
/// Blobs that lie together are read in one piece of this size.
pub const RESTORE_READ_BYTES: usize = 4 * MIB;
/// So many bytes that nobody needs are read along rather than passed over.
pub const RESTORE_GAP_BYTES: usize = 128 * KIB;

/// A file of at least this size is restored so that a later run can continue it.
pub const PARTIAL_BYTES_MIN: u64 = 64 * MIB as u64;

/// Pack files that local storage keeps open for reading.
pub const OPEN_PACKS_MAX: usize = 64;
/// Temporary files of killed runs are removed when they are older, in seconds.
pub const TEMPORARY_AGE_S: i64 = 24 * 60 * 60;

const _: () = {
    assert!(CHUNK_MIN < CHUNK_AVG && CHUNK_AVG < CHUNK_MAX && CHUNK_MAX <= BLOB_PLAIN_BYTES_MAX);
    assert!(CHUNK_MIN.is_multiple_of(2) && CHUNK_AVG.is_multiple_of(2) && CHUNK_MAX.is_multiple_of(2));
    assert!(CHUNK_MAX <= BATCH_BYTES, "a file that lies in one batch never has a chunk across two");
    assert!(NODE_BYTES_MIN < NODE_BYTES_MAX && NODE_BYTES_MAX < NODE_DECODE_BYTES_MAX);
    assert!(NODE_BYTES_MAX / 6 < NODE_ENTRIES_MAX, "no entry is shorter than 6 bytes");
    assert!(XATTRS_BYTES_MAX + EXTENSIONS_BYTES_MAX + 4 * PATH_BYTES_MAX < NODE_DECODE_BYTES_MAX - NODE_BYTES_MAX);
    assert!(
        PACK_BYTES <= PACK_BYTES_MAX && PACK_BYTES.is_multiple_of(PACK_BYTES_MIN) && INLINE_BYTES <= INLINE_BYTES_MAX
    );
    assert!(PACK_BYTES <= u32::MAX as usize, "offsets in a pack are 32 bits");
    assert!(BLOCK_BYTES.is_multiple_of(BLOCK_ALIGN) && PACK_BYTES.is_multiple_of(BLOCK_BYTES));
    assert!(GEAR_WINDOW <= CHUNK_MIN);
};
