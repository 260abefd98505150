//! The items that move between the stages: numbered batches of entries with their bytes.

use super::state::State;
use crate::base::id::ContentId;
use crate::base::limits::{BATCH_BYTES, CHUNK_MAX, KIB};
use crate::base::memory::Pages;
use crate::chunking::Hits;
use crate::format::list::Item;
use crate::format::pack::TableBlob;
use crate::format::tree::{Content, Entry, Meta, Xattr};
use crate::object::pack::{ClosedPack, Inside, OpenPack};
use crate::source::{FoundEntry, SourceFile};
use crossbeam_channel::Sender;
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Release};
use std::sync::{Arc, OnceLock};

/// A batch's bytes begin here in its buffer: room for a carried tail (below the largest chunk) and the gear window.
pub const HEADROOM: usize = CHUNK_MAX + 4 * KIB;

/// One permit of the budget, with the memory that comes with it.
#[derive(Default)]
pub struct Buffer {
    /// Plaintext: `HEADROOM` bytes of room, then up to `BATCH_BYTES`, and a byte that shows when a file goes on.
    pub plain: Pages,
    /// Sealed blobs, one after the other.
    pub sealed: Vec<u8>,
    /// Chunks of the batch, in stream order.
    pub chunks: Vec<Chunk>,
    /// Blobs in `sealed`.
    pub blobs: Vec<Blob>,
    /// Where it goes back to when it is not one of the budget's: to the reader that lent it.
    pub home: Option<Sender<Buffer>>,
}

impl Buffer {
    /// A buffer with its room for plaintext.
    pub fn new() -> Buffer {
        Buffer { plain: Pages::zeroed(HEADROOM + BATCH_BYTES + 1, HEADROOM), ..Buffer::default() }
    }

    /// Empties it, keeping its memory. The sealed bytes stay initialised: they are written over.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.blobs.clear();
    }
}

/// A chunk of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Chunk {
    /// Its id, once hashed.
    pub id: ContentId,
    /// Where it begins in `Buffer::plain`.
    pub at: u32,
    pub len: u32,
    /// What is known of it.
    pub state: ChunkState,
}

/// Whether a chunk must be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkState {
    /// The store or this session has it.
    Known,
    /// Not found by the look-up in the hash task; dedup decides.
    Unseen,
    /// Claimed by this batch: it is compressed and stored.
    Novel,
}

/// A blob laid out in `Buffer::sealed`: room for the nonce tail, the inside, room for the tag.
#[derive(Debug)]
pub struct Blob {
    /// Where it lies in `Buffer::sealed`.
    pub range: Range<usize>,
    /// Its row of the pack's table. Taken by `place`.
    pub row: Option<TableBlob>,
    /// What its inside says of it.
    pub inside: Inside,
    /// The ids in it, concatenated: they go into the nonce.
    pub ids: Vec<u8>,
    /// Its offset in the pack, given by `place`.
    pub offset: u32,
}

/// Where an entry's content comes from.
#[derive(Debug)]
pub enum Plan {
    /// It has none.
    Nothing,
    /// Unchanged since the parent snapshot.
    Parent(Content),
    /// Another link to a file that comes earlier in the stream.
    Linked,
    /// Its bytes are read into the batch.
    Read,
    /// It is the file of the segments before.
    Big(Arc<BigFile>),
    /// Reading failed; it is told already.
    Unreadable,
    /// It was gone before it could be read; that is told already. It comes into no snapshot.
    Vanished,
}

/// Names of one file: a later one is a link only if all that the walk saw of it equals what it saw of the first.
#[derive(Debug, Default)]
pub struct LinkGroup {
    /// Under the first name there was another file, or none, when it was read: each name is then read for itself.
    pub astray: AtomicBool,
    /// What the first name brought into the tree.
    pub first: OnceLock<FirstLink>,
}

/// What the later names of a file take over from the first.
#[derive(Debug)]
pub struct FirstLink {
    pub content: Content,
    /// All that is recorded of the inode, as it was when the content was read.
    pub meta: Meta,
    /// Its file flags.
    pub flags: u32,
    /// It changed while it was read.
    pub changed: bool,
}

/// What an entry is among the names of its file.
#[derive(Debug, Clone)]
pub enum Link {
    /// The one that is read.
    First(Arc<LinkGroup>),
    /// One of those after it.
    Later(Arc<LinkGroup>),
}

impl Link {
    /// Says that the first name does not lead to the file that the walk saw.
    pub fn went_astray(&self) {
        if let Link::First(group) = self {
            group.astray.store(true, Release);
        }
    }
}

/// An entry on its way.
#[derive(Debug)]
pub struct BatchEntry {
    /// What the walk found.
    pub found: FoundEntry,
    /// Where its content comes from.
    pub plan: Plan,
    /// Its extended attributes, when they are known without reading.
    pub xattrs: Option<Vec<Xattr>>,
    /// Its bytes in `Buffer::plain`.
    pub bytes: Range<u32>,
    /// Its chunks in `Buffer::chunks`.
    pub chunks: Range<u32>,
    /// It changed while it was read.
    pub changed: bool,
    /// What the parent snapshot has under its key, when it is read again.
    pub before: Option<Content>,
    /// All that the parent snapshot has under its key, when the two are compared.
    pub parent: Option<Box<Entry>>,
    /// Its place among the names of its file, when that has several.
    pub link: Option<Link>,
}

/// A file above one batch, or one with holes, or a stream. Its entry travels with its last segment.
pub struct BigFile {
    /// What the walk found, for opening.
    pub found: FoundEntry,
    /// Opened by whoever comes first; `None` when that failed.
    pub file: OnceLock<Option<Box<dyn SourceFile>>>,
    /// Its attributes, read when it was opened.
    pub xattrs: Mutex<Vec<Xattr>>,
    /// It changed while it was read.
    pub changed: AtomicBool,
    /// Reading failed; it is told already.
    pub failed: AtomicBool,
    /// It failed because it was gone.
    pub vanished: AtomicBool,
    /// Its place among the names of its file, when that has several.
    pub link: Option<Link>,
    /// Which state of it is being read.
    pub state: State,
}

impl BigFile {
    /// A file that nobody has opened yet.
    pub fn new(found: FoundEntry, link: Option<Link>) -> BigFile {
        BigFile {
            found,
            file: OnceLock::new(),
            xattrs: Mutex::default(),
            changed: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            vanished: AtomicBool::new(false),
            link,
            state: State::default(),
        }
    }
}

impl std::fmt::Debug for BigFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BigFile").field("key", &self.found.key).finish_non_exhaustive()
    }
}

/// A piece of a big file: one range of data, or a part of one.
#[derive(Debug)]
pub struct Stretch {
    pub file: Arc<BigFile>,
    /// A hole of this many bytes comes before it.
    pub hole_before: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// Bytes wanted, and after reading, bytes there.
    pub len: usize,
    /// It continues the range of the segment before: the bytes before it count for the gear hash.
    pub continues: bool,
    /// The range ends here.
    pub ends: bool,
    /// Its bytes are in the buffer already (a stream).
    pub present: bool,
    /// The file ended before it was filled: nothing that comes after it counts.
    pub short: bool,
    /// Bytes carried over from the segment before, directly before `HEADROOM`.
    pub carried: usize,
    /// What the scan found.
    pub hits: Hits,
}

/// A numbered batch.
pub struct Batch {
    pub seq: u64,
    /// A batch whose files grew goes on in several parts, from 0 on, until `select` gives each a number of its own.
    pub part: u32,
    /// No part comes after this one.
    pub last: bool,
    /// Its permit and memory.
    pub buffer: Buffer,
    /// A piece of a big file; then `entries` holds at most that file's entry, with its last segment.
    pub segment: Option<Stretch>,
    /// Entries in tree order.
    pub entries: Vec<BatchEntry>,
    /// Generation of the claims before its chunks were looked up.
    pub generation: u64,
}

/// Blobs of a batch that lie in one pack, in order.
#[derive(Clone)]
pub struct BlobRun {
    pub pack: Arc<OpenPack>,
    /// The blobs, in `Buffer::blobs`.
    pub blobs: Range<usize>,
    /// The pack ends after them.
    pub closing: Option<ClosedPack>,
}

/// A batch whose blobs have their places.
pub struct PlacedBatch {
    /// The batch's number.
    pub seq: u64,
    /// Its permit and memory; `None` for the closing of the last pack.
    pub buffer: Option<Buffer>,
    /// Where its blobs go.
    pub runs: Vec<BlobRun>,
}

/// What the tree builder gets from one batch, in order.
pub struct TreeBatch {
    /// Pieces of the big file in progress.
    pub pieces: Vec<Item>,
    /// Entries; a big file's comes after all its pieces.
    pub entries: Vec<(BatchEntry, EntryContent)>,
}

/// An entry's content as dedup knows it.
pub enum EntryContent {
    Ready(Content),
    /// The chunks of a file in a batch, in order.
    Items(Vec<Item>),
    /// The pieces gathered so far.
    Pieces,
    /// That of the first link.
    Linked,
}
