//! The sources that backups read from.

pub mod fs;
pub mod filter;
pub mod mmap;
pub mod command;
pub mod listing;
mod remark;
pub mod stdin;

pub use remark::{Remark, RemarkKind};

use crate::format::tree::{Meta, Xattr};
use std::any::Any;
use std::io;
use std::sync::Arc;

/// An entry that a walk found. Its `meta.xattrs` are empty: they are read on demand.
#[derive(Debug, Clone)]
pub struct FoundEntry {
    /// Key in the snapshot's tree.
    pub key: Vec<u8>,
    /// Everything lstat says (with owner names), and a symlink's target.
    pub meta: Meta,
    /// How the source opens it again.
    pub handle: Handle,
    /// It takes less room than its length: it may have holes, and [`SourceFile::next_data`] is worth asking.
    pub sparse: bool,
    /// A stream: `meta.size` says nothing. It is opened once and read in ascending order, from 0 on and without gaps,
    /// until a read gives fewer bytes than asked for: the end.
    pub streaming: bool,
    /// Its content may change without any of its times changing: it is read in every backup.
    pub untimed: bool,
    /// File flags (`chattr`) as far as looking tells, as in `format::extension`.
    pub flags: u32,
}

impl FoundEntry {
    /// An entry without holes and flags, whose times tell of changes.
    pub fn new(key: Vec<u8>, meta: Meta, handle: Handle) -> FoundEntry {
        FoundEntry { key, meta, handle, sparse: false, streaming: false, untimed: false, flags: 0 }
    }
}

/// How a source finds an entry again. Only the source that made it knows what is in it.
#[derive(Debug, Clone, Default)]
pub struct Handle(Option<Arc<dyn Any + Send + Sync>>);

impl Handle {
    /// A handle of nothing: the source finds the entry by its key.
    pub const KEY: Handle = Handle(None);

    /// A handle of what the source keeps for the entry. Entries may share it.
    pub fn new<T: Any + Send + Sync>(kept: Arc<T>) -> Handle {
        Handle(Some(kept))
    }

    /// What was kept, if it is of this type.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.clone()?.downcast().ok()
    }

    /// Whether nothing was kept.
    pub fn is_key(&self) -> bool {
        self.0.is_none()
    }
}

/// What a walk gives, in tree order.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are entries; a box would cost an allocation for each")]
pub enum Walked {
    Entry(FoundEntry),
    /// Something that could not be listed or looked at: a source error. The walk goes on.
    Error {
        /// Path in the source.
        path: Vec<u8>,
        /// What the system said.
        error: io::Error,
    },
    /// The directory of this key is not wholly in what the walk gives: it could not be listed, or not to its end, or
    /// something in it could not be looked at. An error tells what happened.
    Incomplete {
        /// The directory's key.
        key: Vec<u8>,
    },
    /// Something left out that a person should know of (the store inside the source, another file system).
    Skipped {
        /// Path in the source.
        path: Vec<u8>,
        reason: &'static str,
    },
}

/// What a source is like.
#[derive(Debug, Clone)]
pub struct Description {
    /// The paths it stands for, as keys' paths: absolute, sorted.
    pub paths: Vec<Vec<u8>>,
    /// Content can be opened twice (so that a file that changed while read can be read again).
    pub reopens: bool,
    /// Inodes and ctimes mean something, so that unchanged files can be recognised.
    pub stable_identity: bool,
}

/// A source of entries.
pub trait Source: Send + Sync {
    /// What it is like.
    fn describe(&self) -> Description;

    /// Gives every entry in strictly ascending key order, ancestors of the roots included, on the calling thread.
    /// `emit` gives false to end the walk.
    fn walk(&self, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()>;

    /// Opens a file's content.
    fn open(&self, found: &FoundEntry) -> io::Result<Box<dyn SourceFile>>;

    /// Extended attributes, sorted by name. Works for every kind of entry; never follows a link.
    fn xattrs(&self, found: &FoundEntry) -> io::Result<Vec<Xattr>>;

    /// File flags of an entry that looking does not tell.
    fn more_flags(&self, _found: &FoundEntry) -> u32 {
        0
    }

    /// What a person should know after a walk: rules that matched nothing, sources of which nothing came.
    fn remarks(&self) -> Vec<Remark> {
        Vec::new()
    }

    /// Whether the file lies where the system makes content up as it is read, and lengths mean nothing.
    fn made_up(&self, _found: &FoundEntry) -> MadeUp {
        MadeUp::No
    }

    /// A file was left unread for what [`Source::made_up`] says.
    fn left_unread(&self) {}

    /// How many of its roots the last walk reached; `None` when the source has no roots of its own.
    fn reached(&self) -> Option<Reached> {
        None
    }
}

/// Whether the system makes a file's content up as it is read, as in `/proc` and `/sys`, and who asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeUp {
    /// It lies on a file system that keeps it, or may keep it.
    No,
    /// It is a root itself: it is read to its end.
    Root,
    /// It lies in the same file system as its root: it is read, unless it goes on and on.
    Near,
    /// It is only on the way of a walk through everything. What is said to be empty, or large, is left unread: it has no
    /// end, or reading it takes it away from others.
    Apart,
}

/// Roots that a walk reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// Regular files: reading them may still fail.
    pub files: u64,
    /// Directories that could be listed, at least in part, and everything else.
    pub others: u64,
}

/// What tells whether a file changed: compared before and after reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Fingerprint {
    pub size: u64,
    pub mtime: crate::base::time::Time,
    pub ctime: crate::base::time::Time,
    pub inode: u64,
}

impl Fingerprint {
    /// Of an entry.
    pub fn of(meta: &Meta) -> Fingerprint {
        Fingerprint { size: meta.size, mtime: meta.mtime, ctime: meta.ctime, inode: meta.inode }
    }
}

/// An open file of a source. Positions may be read in any order and from several threads.
pub trait SourceFile: Send + Sync {
    /// As it is now; `None` when the source cannot tell (a pipe). An error when it is no regular file (any more): what
    /// was read before is to be thrown away then.
    fn fingerprint(&self) -> io::Result<Option<Fingerprint>>;

    /// Fills `buf` from `offset`; gives fewer bytes only at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// The same by one call of the system where that does: what is missing need not mean the end.
    fn read_some(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.read_at(offset, buf)
    }

    /// Everything that stat says of it now, without names and attributes; `None` when the source cannot tell.
    fn meta(&self) -> io::Result<Option<Meta>> {
        Ok(None)
    }

    /// Extended attributes, sorted by name: as [`Source::xattrs`], through the open file.
    fn xattrs(&self) -> io::Result<Vec<Xattr>> {
        Ok(Vec::new())
    }

    /// File flags that looking does not tell: as [`Source::more_flags`], through the open file.
    fn more_flags(&self) -> u32 {
        0
    }

    /// A read that waits is to end with an error soon after this flag is set: the run has failed elsewhere. For streams;
    /// other files do not wait.
    fn give_up_when(&self, _flag: Arc<std::sync::atomic::AtomicBool>) {}

    /// The next range of data at or after `offset`: (start, end); `None` when only a hole is left.
    /// A source that knows no holes gives (offset, size).
    fn next_data(&self, offset: u64, size: u64) -> io::Result<Option<(u64, u64)>>;
}
