//! The tree of a snapshot: a Merkle search tree over path-ordered entries with content-defined nodes.

use crate::base::id::ContentId;
use crate::base::time::Time;
use crate::format::cursor::{Reader, put_varint};
use crate::format::error::{DecodeError, Reason};
use crate::format::extension::Extension;
use crate::format::list::Item;

/// What an entry is. Numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it")]
pub enum EntryKind {
    File = 1,
    Directory = 2,
    Symlink = 3,
    Fifo = 4,
    Socket = 5,
    CharDevice = 6,
    BlockDevice = 7,
}

/// An extended attribute (ACLs and capabilities are such).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    /// Full name, e.g. `user.note`, `system.posix_acl_access`, `security.capability`.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// Everything about an entry but its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky: the low 12 bits of st_mode.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Owner's name on the source; empty when unknown.
    pub user: Vec<u8>,
    /// Group's name on the source; empty when unknown.
    pub group: Vec<u8>,
    /// Length in bytes (0 for anything but files).
    pub size: u64,
    /// Last change of content.
    pub mtime: Time,
    /// Last change of the inode.
    pub ctime: Time,
    /// Birth, where the file system knows it.
    pub btime: Option<Time>,
    /// Links to this inode.
    pub nlink: u64,
    /// Number of the file system it lay on. With `inode` it ties hard links.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Device numbers (major, minor) of a device node; (0, 0) otherwise.
    pub rdev: (u32, u32),
    /// Target of a symlink; empty otherwise.
    pub target: Vec<u8>,
    /// Sorted by name, strictly.
    pub xattrs: Vec<Xattr>,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Not a file, or an empty one.
    Empty,
    /// At most `inline_bytes` bytes, at least 1.
    Inline(Vec<u8>),
    /// 1 to 64 items.
    Items(Vec<Item>),
    /// The root of a tree of lists.
    List {
        /// The root node's id.
        id: ContentId,
        /// Its level.
        level: u8,
        /// Items below it.
        items: u64,
    },
    /// The file could not be read; its metadata is all there is.
    Unreadable,
}

/// One entry of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the tree: see `base::path`.
    pub key: Vec<u8>,
    /// Everything but its content.
    pub meta: Meta,
    /// Its content. The lengths of items add up to `stored_size`.
    pub content: Content,
    /// It changed while it was read: what is stored may be no state it ever had. Never trusted as unchanged.
    pub changed_while_read: bool,
    /// Room to grow.
    pub extensions: Vec<Extension>,
}

/// Hard totals of a subtree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Entries of any kind.
    pub entries: u64,
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Sum of the files' sizes.
    pub bytes: u64,
    /// Entries that are unreadable or changed while read.
    pub flawed: u64,
}

impl Totals {
    /// Appends five varints in the order of the fields.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        for number in [self.entries, self.files, self.directories, self.bytes, self.flawed] {
            put_varint(out, number);
        }
    }

    /// Reads totals back: no part is more than the whole.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Totals, DecodeError> {
        let at = reader.position();
        let entries = reader.varint()?;
        let files = reader.varint()?;
        let directories = reader.varint()?;
        let totals = Totals { entries, files, directories, bytes: reader.varint()?, flawed: reader.varint()? };
        let parts = files.checked_add(directories).is_some_and(|parts| parts <= entries);
        reader.check(at, parts && totals.flawed <= entries, Reason::Totals)?;
        reader.check(at, files > 0 || totals.bytes == 0, Reason::Totals)?;
        Ok(totals)
    }

    /// These and those; `None` when a sum does not fit.
    pub fn plus(&self, other: &Totals) -> Option<Totals> {
        Some(Totals {
            entries: self.entries.checked_add(other.entries)?,
            files: self.files.checked_add(other.files)?,
            directories: self.directories.checked_add(other.directories)?,
            bytes: self.bytes.checked_add(other.bytes)?,
            flawed: self.flawed.checked_add(other.flawed)?,
        })
    }
}

/// A reference to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// First key below it.
    pub first: Vec<u8>,
    /// Its id.
    pub id: ContentId,
    /// Its totals.
    pub totals: Totals,
}

/// A node of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Level 0: entries, keys strictly ascending. Never empty, but for the root of an empty tree.
    Leaf(Vec<Entry>),
    /// Level 1 and up: at least 2 children, first keys strictly ascending.
    Inner {
        /// This node's level.
        level: u8,
        /// Children in order.
        children: Vec<Child>,
    },
}

/// Encodes entries one by one into a leaf. Fields equal to the previous entry's are left out, keys share
/// their prefix with it, times are differences; so the encoder carries state and starts afresh in each node.
#[derive(Debug, Default)]
pub struct LeafEncoder {
    _private: (),
}

impl LeafEncoder {
    /// Appends an entry. Its key must be greater than the last one's.
    pub fn push(&mut self, _entry: &Entry) {
        todo!()
    }

    /// Encoded bytes so far, with the node's header.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Entries so far.
    pub fn count(&self) -> usize {
        todo!()
    }

    /// First key, if any.
    pub fn first_key(&self) -> &[u8] {
        todo!()
    }

    /// Totals so far.
    pub fn totals(&self) -> Totals {
        todo!()
    }

    /// The finished node's bytes; the encoder is empty again and keeps its buffers.
    pub fn finish(&mut self) -> Vec<u8> {
        todo!()
    }
}

impl Node {
    /// All bytes. A leaf's are those of [`LeafEncoder`].
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads a node back; refuses any other encoding than the one `encode` gives.
    pub fn decode(_bytes: &[u8]) -> Result<Node, DecodeError> {
        todo!()
    }

    /// The totals of what lies in or below this node.
    pub fn totals(&self) -> Totals {
        todo!()
    }
}
