//! The items that move through a restore: windows of the tree, which contain files, pieces of packs, and the work that
//! follows when they are done.

use crate::base::id::{ContentId, ObjectId};
use crate::base::path::{child_key, path_of};
use crate::base::time::Time;
use crate::crypto::pack::PackKey;
use crate::destination::{Attributes, Destination, Expected, Identity, Loss, Losses, Special};
use crate::format::compare::Facts;
use crate::format::extension::{file_flags, known_flags_of};
use crate::format::pack::PackKind;
use crate::format::tree::{Entry, EntryKind, Meta, Xattr};
use crate::object::ObjectError;
use crate::pipeline::restore::rules::Choice;
use crate::storage::StorageKey;
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// A directory of the destination, with what its entries' paths begin with.
pub struct Folder<D: Destination> {
    /// Its own key in the snapshot.
    pub key: Box<[u8]>,
    /// `None` in a dry run when it is not there.
    pub handle: Option<D::Directory>,
    /// Nothing can lie in it but what this restore puts there.
    pub fresh: bool,
}

impl<D: Destination> Folder<D> {
    /// Its path in the snapshot.
    pub fn path(&self) -> Vec<u8> {
        path_of(&self.key)
    }

    /// Path in the snapshot of an entry in it.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        path_of(&child_key(&self.key, name))
    }
}

/// What an entry is given when its content is there.
#[derive(Debug, Clone)]
pub struct Finish {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Time,
    xattrs: Box<[Xattr]>,
    flags: u32,
    flags_known: u32,
    device: u64,
}

impl Finish {
    /// Of an entry; its extended attributes move over. `flags_known`: which file flags the snapshot knows of every entry.
    pub fn of(entry: &mut Entry, flags_known: u32) -> Finish {
        let flags = file_flags(&entry.extensions);
        let flags_known = known_flags_of(&entry.extensions, flags_known);
        let meta = &mut entry.meta;
        let xattrs = std::mem::take(&mut meta.xattrs).into_boxed_slice();
        let device = meta.device;
        Finish { mode: meta.mode, uid: meta.uid, gid: meta.gid, mtime: meta.mtime, xattrs, flags, flags_known, device }
    }

    /// The file system on which it lay.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// As a destination takes them.
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            mtime: self.mtime,
            xattrs: &self.xattrs,
            flags: self.flags,
            flags_known: self.flags_known,
        }
    }

    /// For a comparison with what lies in the destination; `meta` is the entry's, which has the rest.
    pub fn facts<'a>(&'a self, meta: &'a Meta) -> Facts<'a> {
        Facts { target: &meta.target, rdev: meta.rdev, ..self.attributes().facts(meta.kind) }
    }
}

/// The first name of a file that has several: the others are linked to it when it is there.
pub struct FirstName<D: Destination> {
    /// Where it lies.
    pub folder: Arc<Folder<D>>,
    /// Its name there.
    pub name: Box<[u8]>,
    /// Which file it became, or what became of it instead.
    pub became: OnceLock<Result<Identity, Fate>>,
    /// What it had to do without: its other names have to as well.
    pub losses: OnceLock<Losses>,
    /// Read back, it was not what it should be.
    pub differs: AtomicBool,
}

impl<D: Destination> FirstName<D> {
    /// What became of it is not known yet.
    pub fn new(folder: Arc<Folder<D>>, name: &[u8]) -> FirstName<D> {
        let (became, losses) = (OnceLock::new(), OnceLock::new());
        FirstName { folder, name: name.into(), became, losses, differs: AtomicBool::new(false) }
    }

    /// What it had to do without.
    pub fn lacks(&self, losses: &Losses) {
        if !losses.is_empty() {
            _ = self.losses.set(losses.iter().map(Loss::again).collect());
        }
    }
}

/// How a file fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fate {
    /// Nothing went wrong so far.
    Well = 0,
    /// Part of its content is lost.
    Damaged = 1,
    /// It could not be written.
    Failed = 2,
    /// The storage failed to give part of its content.
    Unreadable = 3,
}

/// A file being restored. Its pieces come from many steps, on any thread; whoever brings the last one finishes it.
pub struct File<D: Destination> {
    pub folder: Arc<Folder<D>>,
    /// Under which name.
    pub name: Box<[u8]>,
    pub size: u64,
    /// What it gets at the end.
    pub finish: Finish,
    /// Replace what is there.
    pub replace: bool,
    /// A directory that lies there gives way, with what the rules say of the one it lies in.
    pub clears: Option<Choice>,
    /// Other names follow.
    pub first_name: Option<Arc<FirstName<D>>>,
    /// Pieces that are still to be written, and one more while pieces are still being planned.
    pub left: AtomicU64,
    /// All its pieces, once they are planned; 0 before.
    pub pieces: AtomicU64,
    fate: AtomicU8,
    /// It lies in the destination as it shall be, or will never.
    pub settled: AtomicBool,
    /// It spans windows: it is read back after the last of them.
    pub spans: AtomicBool,
    /// A record for reading that file back, once all windows are done.
    pub twin_of: Option<Arc<File<D>>>,
    /// Checks that are still to be made, and one more while they are being planned.
    pub unchecked: AtomicU64,
    /// It lay there and is kept as it was.
    pub kept: bool,
    /// Parts of it that it had to do without, by [`crate::destination::lost_parts`].
    pub lost: AtomicU8,
    /// Stands for the content of one that is big enough to be continued by a later run.
    pub content: Option<[u8; 16]>,
    /// An earlier run began it: what is there is read before the store is.
    pub resumed: AtomicBool,
    /// Made by the first piece.
    pub open: Mutex<Option<D::File>>,
}

impl<D: Destination> File<D> {
    /// A file whose pieces are about to be planned.
    pub fn new(folder: Arc<Folder<D>>, name: &[u8], size: u64, finish: Finish, replace: bool) -> File<D> {
        File {
            folder,
            name: name.into(),
            size,
            finish,
            replace,
            clears: None,
            first_name: None,
            left: AtomicU64::new(1),
            pieces: AtomicU64::new(0),
            fate: AtomicU8::new(Fate::Well as u8),
            settled: AtomicBool::new(false),
            spans: AtomicBool::new(false),
            twin_of: None,
            unchecked: AtomicU64::new(1),
            kept: false,
            lost: AtomicU8::new(0),
            content: None,
            resumed: AtomicBool::new(false),
            open: Mutex::new(None),
        }
    }

    /// How it fares.
    pub fn fate(&self) -> Fate {
        match self.fate.load(Ordering::Acquire) {
            0 => Fate::Well,
            1 => Fate::Damaged,
            3 => Fate::Unreadable,
            _ => Fate::Failed,
        }
    }

    /// Whether it lies there as it shall and can be read back now.
    pub fn can_be_checked(&self) -> bool {
        let file = self.twin_of.as_deref().unwrap_or(self);
        let here = file.settled.load(Ordering::Acquire) && !self.spans.load(Ordering::Acquire);
        here && file.fate() == Fate::Well && self.fate() == Fate::Well
    }

    /// It went wrong; true for the first to say so.
    pub fn settle(&self, fate: Fate) -> bool {
        self.fate.compare_exchange(Fate::Well as u8, fate as u8, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Path in the snapshot.
    pub fn path(&self) -> Vec<u8> {
        self.folder.path_of(&self.name)
    }

    /// What it is.
    pub fn expected(&self) -> Expected<'_> {
        Expected { kind: EntryKind::File, size: self.size, target: &[], rdev: (0, 0) }
    }
}

/// A pack that is read from.
pub struct Pack {
    pub id: ObjectId,
    pub kind: PackKind,
    /// Its name in the storage.
    pub storage_key: StorageKey,
    /// Its key, or why its header cannot be read.
    pub opened: OnceLock<Result<PackKey, ObjectError>>,
}

/// A chunk that a file needs: where it lies and where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    pub id: ContentId,
    /// The pack, by its ordinal in the window.
    pub pack: u32,
    /// Where the blob begins in the pack.
    pub blob_offset: u32,
    /// Its sealed length.
    pub blob_len: u32,
    /// Where the chunk begins in the opened blob.
    pub inner_offset: u32,
    pub inner_len: u32,
    /// The file, by its ordinal in the window.
    pub file: u32,
    /// Where the chunk begins in the file.
    pub file_offset: u64,
}

/// Stands for the id of a hole.
pub const HOLE: ContentId = ContentId([0; 32]);

/// A chunk that a restored file must hold: read back when the file is there.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its id; [`HOLE`] for one of those.
    pub id: ContentId,
    /// Its length; 0: only the file's own length counts.
    pub len: u32,
    /// The file, by its ordinal in the window.
    pub file: u32,
    /// Where it begins in the file.
    pub file_offset: u64,
}

/// What a window's steps are about: first what it restores, then, if asked for, what is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Restore,
    Check,
}

/// What a worker takes at once.
#[derive(Debug, Clone)]
pub enum Step {
    /// One read of a pack and the pieces in it.
    Read {
        /// Ordinal of the pack.
        pack: u32,
        /// Where the read begins.
        offset: u32,
        /// How much it reads.
        len: u32,
        /// The window's pieces that lie in it.
        pieces: Range<u32>,
    },
    /// Entries that take nothing from packs.
    Ready(Range<u32>),
}

/// An entry that takes nothing from packs.
pub enum Ready<D: Destination> {
    /// A file whose content lay in its entry.
    File(Arc<File<D>>, Vec<u8>),
    /// Neither file nor directory.
    Special {
        folder: Arc<Folder<D>>,
        /// Under which name.
        name: Box<[u8]>,
        itself: Itself,
        /// What it gets.
        finish: Finish,
        /// Replace what is there.
        replace: bool,
        /// As of a file.
        clears: Option<Choice>,
        /// Other names follow.
        first_name: Option<Arc<FirstName<D>>>,
    },
}

/// Another name of a file, made when the window is done.
pub struct OtherName<D: Destination> {
    /// The first one.
    pub first: Arc<FirstName<D>>,
    pub folder: Arc<Folder<D>>,
    /// Under which name.
    pub name: Box<[u8]>,
    /// What it is, and what it gets, where it cannot be linked.
    pub itself: Itself,
    /// What it gets then.
    pub finish: Finish,
    /// As of a file.
    pub clears: Option<Choice>,
}

/// What an entry is besides its attributes.
pub struct Itself {
    /// What it is.
    pub kind: EntryKind,
    pub size: u64,
    /// A symlink's target.
    pub target: Vec<u8>,
    /// A device's numbers.
    pub rdev: (u32, u32),
}

impl Itself {
    /// As a destination takes it.
    pub fn expected(&self) -> Expected<'_> {
        let size = if self.kind == EntryKind::Symlink { self.target.len() as u64 } else { self.size };
        Expected { kind: self.kind, size, target: &self.target, rdev: self.rdev }
    }

    /// One that is neither file nor directory.
    pub fn special(&self) -> Special<'_> {
        let (major, minor) = self.rdev;
        match self.kind {
            EntryKind::Symlink => Special::Symlink(&self.target),
            EntryKind::Fifo => Special::Fifo,
            EntryKind::CharDevice => Special::CharDevice(major, minor),
            EntryKind::BlockDevice => Special::BlockDevice(major, minor),
            _ => Special::Socket,
        }
    }
}

/// A directory that gets no more entries after its window.
pub struct Closing<D: Destination> {
    pub folder: Arc<Folder<D>>,
    /// What it gets; `None`: it stands for no entry of the snapshot.
    pub finish: Option<Finish>,
    /// It was made by this restore.
    pub new: bool,
}

/// A directory in which what the snapshot lacks is removed, when all that it has there is done.
pub struct Swept<D: Destination> {
    pub folder: Arc<Folder<D>>,
    /// Names that the snapshot has, in ascending order.
    pub names: Vec<Box<[u8]>>,
    /// What the rules say of the directory.
    pub choice: Choice,
}

/// A stretch of the tree, planned: what workers do in any order, and what comes when all of it is done.
pub struct Window<D: Destination> {
    /// Packs by ordinal.
    pub packs: Vec<Arc<Pack>>,
    /// Files by ordinal.
    pub files: Vec<Arc<File<D>>>,
    /// Pieces in the order of packs.
    pub pieces: Vec<Piece>,
    /// Entries that take nothing from packs.
    pub ready: Vec<Ready<D>>,
    pub steps: Vec<Step>,
    /// What is read back, in the order of files, and how it is cut into steps.
    pub checks: Vec<Check>,
    pub check_steps: Vec<Range<u32>>,
    /// Steps of the present phase that are not done yet.
    pub left: AtomicUsize,
    /// Made at the end, in order.
    pub other_names: Vec<OtherName<D>>,
    /// Swept after that.
    pub sweeps: Vec<Swept<D>>,
    /// Completed at last, children first.
    pub closing: Vec<Closing<D>>,
}

impl<D: Destination> Window<D> {
    /// How many steps a phase has.
    pub fn steps_of(&self, phase: Phase) -> usize {
        match phase {
            Phase::Restore => self.steps.len(),
            Phase::Check => self.check_steps.len(),
        }
    }
}
