//! Where restores write to.

pub mod fs;
pub mod spool;
mod loss;
mod owners;

pub use loss::{LOST_MODE, LOST_OWNER, LOST_TIME, LOST_XATTR, Loss, Losses, Part, lost_parts};
pub use owners::OwnerNumbers;

use crate::base::time::Time;
use crate::format::compare::{Facts, Fields};
use crate::format::tree::{EntryKind, Xattr};
use std::io;

/// What an entry is given once its content is there: owner, extended attributes, mode and, last, its time.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Low 12 bits of st_mode.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Last change of content.
    pub mtime: Time,
    /// Extended attributes, sorted by name.
    pub xattrs: &'a [Xattr],
    /// File flags (`chattr`), as in `format::extension`.
    pub flags: u32,
    /// Which of them are known: others stay as they are.
    pub flags_known: u32,
}

impl<'a> Attributes<'a> {
    /// The same for a comparison, of an entry that is neither link nor device. Owners are numbers by now.
    pub fn facts(&self, kind: EntryKind) -> Facts<'a> {
        Facts {
            kind,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            user: &[],
            group: &[],
            mtime: self.mtime,
            target: &[],
            rdev: (0, 0),
            xattrs: self.xattrs,
            flags: self.flags,
            flags_known: self.flags_known,
        }
    }
}

/// An entry that is neither a file nor a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Special<'a> {
    /// With its target.
    Symlink(&'a [u8]),
    Fifo,
    Socket,
    /// With major and minor number.
    CharDevice(u32, u32),
    /// With major and minor number.
    BlockDevice(u32, u32),
}

/// What an entry is besides its attributes.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of a file, or of a symbolic link's target.
    pub size: u64,
    /// Where a symbolic link leads.
    pub target: &'a [u8],
    /// A device's numbers.
    pub rdev: (u32, u32),
}

/// What lies in the destination under some name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Existing {
    /// What it is; a kind that no snapshot holds counts as a socket.
    pub kind: EntryKind,
    /// Low 12 bits of st_mode.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// Last change of content.
    pub mtime: Time,
    /// Which file it is.
    pub identity: Identity,
    /// How many names it has.
    pub nlink: u32,
    /// A file that an interrupted restore left half written.
    pub half_written: bool,
    /// Numbers of a device; (0, 0) otherwise.
    pub rdev: (u32, u32),
    /// File flags (`chattr`), as in `format::extension`.
    pub flags: u32,
    /// Those of them that the file system has and that can be changed later.
    pub flags_known: u32,
}

/// Tells whether two names mean one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    pub device: u64,
    /// File in it.
    pub inode: u64,
}

/// How a directory was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundDirectory {
    /// It was not there and was made.
    New,
    /// An interrupted restore made it and did not complete it.
    Unfinished,
    /// It was there.
    Whole,
    /// It was there, and a link in its place leads to it.
    Linked,
}

/// Where something leads that lies in the place of a directory and is none.
pub enum Way<T> {
    /// To a directory of the destination, with its path there.
    Leads {
        directory: T,
        /// Component by component, without links.
        path: Vec<Vec<u8>>,
    },
    /// To one that is not gone to, and why.
    Closed(&'static str),
    /// To no directory.
    Nowhere,
}

/// A link to a directory, and what it needs.
pub struct Led<T> {
    /// Where it leads, if that is beneath the destination, and the path there, component by component.
    pub directory: Option<T>,
    pub path: Vec<Vec<u8>>,
    /// It is not one of those that are never followed.
    pub may_be_followed: bool,
    /// Links and directories that are passed, the directory that it leads to among them, with their paths on this machine
    /// (empty: unknown).
    pub passed: Vec<(Node, Vec<u8>)>,
}

/// What becomes of an entry that the snapshot lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is left, with all below it.
    Keep,
    /// A directory that is left, while things below it may go.
    Descend,
    /// It is removed, with what lies below it and is not kept.
    Remove,
}

/// What happened to an entry that the snapshot lacks.
#[derive(Debug)]
pub enum Swept {
    /// It is gone (in a dry run: it would be).
    Removed,
    /// It was left, and why.
    Kept(&'static str),
    /// It could not be removed.
    Failed(io::Error),
}

/// A device's number and an inode's.
pub type Node = (u64, u64);

/// How a directory is rid of what the snapshot lacks.
pub struct Sweep<'a> {
    /// What the snapshot has in it, in ascending order. The destination may show it under another spelling.
    pub names: &'a [Box<[u8]>],
    /// Nothing but this name in it, and the name under which that lies for the moment.
    pub only: Option<(&'a [u8], &'a [u8])>,
    /// By its path below the directory, whether it is one itself, and what becomes of the directory it lies in.
    pub decide: &'a dyn Fn(&[u8], bool, Verdict) -> Verdict,
    /// What is never removed, by what it is and by its path on this machine, which may be unknown (empty).
    pub never: &'a dyn Fn(Node, &[u8]) -> bool,
    /// What stays since links on the way need it, by the same; such a directory can be swept itself.
    pub led: &'a dyn Fn(Node, &[u8]) -> bool,
    /// Hears of everything that is not simply kept, by its path below the directory.
    pub tell: &'a mut dyn FnMut(&[u8], Swept),
    pub dry_run: bool,
}

/// Why an entry does not take the place of a directory that was to be removed.
pub const DIRECTORY_STAYS: &str = "a directory is in its place and stays, since something in it must not be deleted";

/// What is asked of who decides whether a directory gives way, which lies where an entry is to come.
#[derive(Debug, Clone, Copy)]
pub enum Clearing<'a> {
    /// Whether all in it may go; nothing is removed.
    Ask,
    /// It goes. Under this name it lies now.
    Remove(&'a [u8]),
}

/// Decides on a directory, and removes it; false when it is still there, or would be.
pub type Clear<'a> = &'a dyn Fn(Clearing<'_>) -> bool;

/// What gives way to an entry, once that is complete: nothing of the target goes before.
#[derive(Clone, Copy)]
pub enum Replace<'a> {
    /// Nothing.
    Nothing,
    /// Anything but a directory that holds something.
    Entry,
    /// A full directory as well, if this lets it go.
    Tree(Clear<'a>),
}

impl<'a> Replace<'a> {
    /// What a full directory asks that gives way.
    pub fn clear(self) -> Option<Clear<'a>> {
        if let Replace::Tree(clear) = self { Some(clear) } else { None }
    }

    /// Whether anything gives way.
    pub fn replaces(self) -> bool {
        !matches!(self, Replace::Nothing)
    }
}

/// A file read back for verification.
#[allow(clippy::len_without_is_empty, reason = "verification compares lengths only")]
pub trait ReadBack: Send {
    fn len(&self) -> u64;

    /// Fills `buf` from `offset`.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Whether all of the range reads as zeros.
    fn is_clear(&self, offset: u64, len: u64) -> io::Result<bool>;
}

/// What a restore opens as its destination, once it knows that there is something to restore.
pub trait Target {
    /// What is opened.
    type Destination: Destination;

    /// How a person names it: a path, an address.
    fn name(&self) -> String;

    /// Opens it, and makes it where it is not there. `None`: it is not there, and a dry run must not make it.
    fn open(&self, dry_run: bool) -> io::Result<Option<Self::Destination>>;
}

/// A destination of entries. Names are single components, checked by the decoder of the tree; a destination never
/// lets one of them lead outside it. `replace` says what becomes of something that is there: replaced as a whole,
/// or an error of kind `AlreadyExists` and nothing is touched. All methods may be called from any thread.
///
/// An error costs the entry. What an entry with its content had to do without (owner, mode, time, attributes) is no
/// error: it comes back as [`Losses`].
pub trait Destination: Send + Sync {
    /// A directory of the destination, cheap to clone.
    type Directory: Clone + Send + Sync;
    /// A file being written, cheap to clone.
    type File: Clone + Send + Sync;

    /// Its outermost directory.
    fn root(&self) -> (Self::Directory, FoundDirectory);

    /// What lies there now.
    fn look(&self, directory: &Self::Directory, name: &[u8]) -> io::Result<Option<Existing>>;

    /// Makes a directory that only its owner can enter, or takes the one that is there.
    fn directory(
        &self,
        parent: &Self::Directory,
        name: &[u8],
        replace: bool,
    ) -> io::Result<(Self::Directory, FoundDirectory)>;

    /// Opens a directory that is there; anything else is an error.
    fn open_directory(&self, parent: &Self::Directory, name: &[u8]) -> io::Result<Self::Directory>;

    /// Where something leads that lies under a directory's name and is none: what [`Destination::directory`] refused.
    fn way(&self, parent: &Self::Directory, name: &[u8]) -> io::Result<Way<Self::Directory>>;

    /// The same of any entry, before the restore begins; `None` when it is no link, or none to a directory.
    fn led(&self, parent: &Self::Directory, name: &[u8]) -> io::Result<Option<Led<Self::Directory>>>;

    /// Which one a directory is.
    fn node(&self, directory: &Self::Directory) -> io::Result<Node>;

    /// Begins a file of this size, all of it a hole. It is told apart from a whole file until it is finished. `flags`:
    /// those of its file flags that must be set before its first byte are.
    fn create(
        &self,
        directory: &Self::Directory,
        name: &[u8],
        size: u64,
        flags: u32,
        replace: bool,
    ) -> io::Result<Self::File>;

    /// Begins a big file, or takes up one that an earlier run began with the same `content` (which stands for it); true
    /// when it did: what is in it then must be read before it is believed.
    fn create_or_continue(
        &self,
        directory: &Self::Directory,
        name: &[u8],
        size: u64,
        flags: u32,
        replace: bool,
        content: &[u8; 16],
    ) -> io::Result<(Self::File, bool)>;

    /// Reads a piece of a file that an earlier run began.
    fn read_at(&self, file: &Self::File, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes a piece of its content. Pieces come in any order, from any thread.
    fn write_at(&self, file: &Self::File, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes a range of a file that an earlier run began read as zeros.
    fn clear(&self, file: &Self::File, offset: u64, len: u64) -> io::Result<()>;

    /// Completes a file; `identify` asks which one it became. `clear`: a directory that lies in its place gives way, as in
    /// [`Replace::Tree`].
    fn finish(
        &self,
        file: &Self::File,
        attributes: &Attributes<'_>,
        identify: bool,
        clear: Option<Clear<'_>>,
    ) -> io::Result<(Option<Identity>, Losses)>;

    /// Removes a file that will not be completed.
    fn abandon(&self, file: &Self::File);

    /// Leaves a file to a later run, if one can continue it; removes it if not.
    fn leave(&self, file: &Self::File);

    /// A whole file in one call: `bytes` from its beginning, the rest up to `size` a hole.
    fn write_file(
        &self,
        directory: &Self::Directory,
        name: &[u8],
        bytes: &[u8],
        size: u64,
        attributes: &Attributes<'_>,
        replace: Replace<'_>,
    ) -> io::Result<Losses> {
        let file = self.create(directory, name, size, attributes.flags, replace.replaces())?;
        let written =
            self.write_at(&file, 0, bytes).and_then(|()| self.finish(&file, attributes, false, replace.clear()));
        written.map(|(_, losses)| losses).inspect_err(|_| self.abandon(&file))
    }

    /// Makes an entry that is neither file nor directory.
    fn special(
        &self,
        directory: &Self::Directory,
        name: &[u8],
        special: &Special<'_>,
        attributes: &Attributes<'_>,
        replace: Replace<'_>,
    ) -> io::Result<Losses>;

    /// Gives the file `from`, which must still be `identity`, another name. Where inode numbers do not tell, it must look
    /// like what was restored: `expected` and `attributes`.
    fn link(
        &self,
        from: (&Self::Directory, &[u8]),
        identity: Identity,
        to: (&Self::Directory, &[u8]),
        like: (&Expected<'_>, &Attributes<'_>),
        replace: Replace<'_>,
    ) -> io::Result<()>;

    /// Makes a copy of the regular file `from`, which must look like what was restored.
    fn copy(
        &self,
        from: (&Self::Directory, &[u8]),
        to: (&Self::Directory, &[u8]),
        like: (&Expected<'_>, &Attributes<'_>),
        replace: Replace<'_>,
    ) -> io::Result<Losses>;

    /// Whether an entry that is as wanted but for its time and attributes may be one that an interrupted restore did not
    /// get to give them.
    fn is_half_made(&self, directory: &Self::Directory, existing: &Existing) -> bool;

    /// Whether a file can have several names here that show the same [`Identity`].
    fn links(&self, directory: &Self::Directory) -> bool;

    /// Whether a time that was found is this one, as finely as the destination keeps times. A dry run tries nothing out.
    fn same_time(&self, directory: &Self::Directory, existing: &Existing, time: Time, dry_run: bool) -> bool;

    /// Looks at an entry that was restored (`.`: the directory itself) and names what is not as it should be. `lost` are
    /// the parts that are known to be missing, by [`lost_parts`].
    fn examine(
        &self,
        directory: &Self::Directory,
        name: &[u8],
        like: (&Expected<'_>, &Attributes<'_>),
        lost: u8,
    ) -> io::Result<Vec<&'static str>>;

    /// In what an entry that is there is not as wanted, of what can be restored here. Its time is left to the caller.
    fn compare(
        &self,
        existing: &Existing,
        directory: &Self::Directory,
        name: &[u8],
        wanted: &Facts<'_>,
    ) -> io::Result<Fields>;

    /// The same of an open directory.
    fn compare_directory(&self, directory: &Self::Directory, wanted: &Facts<'_>) -> io::Result<Fields>;

    /// Corrects mode, owner, extended attributes and file flags of an entry whose content is right, and takes away what
    /// it has beyond `attributes`.
    fn correct_attributes(
        &self,
        directory: &Self::Directory,
        name: &[u8],
        kind: EntryKind,
        attributes: &Attributes<'_>,
    ) -> io::Result<Losses>;

    /// Completes a directory, when all in it is done. `made`: it was not there before.
    fn finish_directory(
        &self,
        directory: &Self::Directory,
        attributes: &Attributes<'_>,
        made: bool,
    ) -> io::Result<Losses>;

    /// Completes a directory that this restore made and that stands for no entry: its mode is that of any new one.
    fn finish_as_new(&self, directory: &Self::Directory) -> io::Result<()>;

    /// Removes what lies in a directory and is decided to go, with what lies below.
    fn sweep(&self, directory: &Self::Directory, sweep: &mut Sweep<'_>) -> io::Result<()>;

    /// Whether another file system is mounted on this directory.
    fn is_mounted_on(&self, directory: &Self::Directory) -> io::Result<bool>;

    /// What had to wait for the end of the run, however it ended.
    fn settle(&self);

    /// Opens a regular file for reading; anything else there is an error.
    fn read_back(&self, directory: &Self::Directory, name: &[u8]) -> io::Result<Box<dyn ReadBack>>;

    /// Makes everything durable.
    fn sync(&self) -> io::Result<()>;

    /// Whether parts of this class were taken for any entry.
    fn took(&self, part: &Part) -> bool;

    /// What was not tried, since this user may not do it, each once and with a count.
    fn notes(&self) -> Vec<String>;
}
