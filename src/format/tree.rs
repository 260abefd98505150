//! The tree of a snapshot: a Merkle search tree over path-ordered entries with content-defined nodes.

use crate::base::id::ContentId;
use crate::base::limits::{
    BLOB_PLAIN_BYTES_MAX, ENTRY_SHARED_BYTES_MAX, EXTENSIONS_BYTES_MAX, EXTENSIONS_MAX, FILE_BYTES_MAX,
    INLINE_BYTES_MAX, LINK_TARGET_BYTES_MAX, LIST_ITEMS_INLINE, NODE_DECODE_BYTES_MAX, NODE_ENTRIES_MAX,
    OWNER_NAME_BYTES_MAX, PATH_BYTES_MAX, TREE_LEVELS_MAX, XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX,
    XATTRS_BYTES_MAX, XATTRS_MAX,
};
use crate::base::path::check_key;
use crate::base::time::Time;
use crate::format::cursor::{NANOS, Reader, put_bytes, put_varint};
use crate::format::error::{DecodeError, Reason};
use crate::format::extension::Extension;
use crate::format::leaf::LeafDecoder;
pub use crate::format::leaf::LeafEncoder;
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

impl EntryKind {
    /// The kind of this number.
    pub fn from_u8(number: u8) -> Option<EntryKind> {
        match number {
            1 => Some(EntryKind::File),
            2 => Some(EntryKind::Directory),
            3 => Some(EntryKind::Symlink),
            4 => Some(EntryKind::Fifo),
            5 => Some(EntryKind::Socket),
            6 => Some(EntryKind::CharDevice),
            7 => Some(EntryKind::BlockDevice),
            _ => None,
        }
    }

    /// The kind by the bits of `st_mode`; what is none of the known kinds is taken as a socket, which is never opened.
    pub fn of_mode(mode: u32) -> EntryKind {
        match mode & 0o170000 {
            0o100000 => EntryKind::File,
            0o040000 => EntryKind::Directory,
            0o120000 => EntryKind::Symlink,
            0o010000 => EntryKind::Fifo,
            0o020000 => EntryKind::CharDevice,
            0o060000 => EntryKind::BlockDevice,
            _ => EntryKind::Socket,
        }
    }

    /// Whether it is a device node.
    pub fn is_device(self) -> bool {
        matches!(self, EntryKind::CharDevice | EntryKind::BlockDevice)
    }
}

/// An extended attribute (ACLs and capabilities are such).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    /// Full name, e.g. `user.note`, `system.posix_acl_access`, `security.capability`.
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

/// Everything about an entry but its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky: the low 12 bits of st_mode.
    pub mode: u32,
    /// The owner's number on the source.
    pub uid: u32,
    /// The group's number on the source.
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
    /// Inode number on the source.
    pub inode: u64,
    /// Device numbers (major, minor) of a device node; (0, 0) otherwise.
    pub rdev: (u32, u32),
    /// Target of a symlink, without zero bytes; empty otherwise, and when it could not be read.
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
        /// The root node's level; leaves have level 0.
        level: u8,
        /// Items below it.
        items: u64,
    },
    /// It could not be read (a file), listed (a directory) or followed (a symlink): its metadata is all there is.
    Unreadable,
}

/// One entry of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the tree: see `base::path`.
    pub key: Vec<u8>,
    /// Everything but its content.
    pub meta: Meta,
    /// Its content. What it adds up to may differ from `meta.size` where the file changed while it was read.
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
    pub files: u64,
    pub directories: u64,
    /// Sum of the files' sizes, at most 2^64 - 1 (sparse files may claim 2^63 bytes each).
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

    /// These and those.
    pub fn plus(&self, other: &Totals) -> Totals {
        Totals {
            entries: self.entries.saturating_add(other.entries),
            files: self.files.saturating_add(other.files),
            directories: self.directories.saturating_add(other.directories),
            bytes: self.bytes.saturating_add(other.bytes),
            flawed: self.flawed.saturating_add(other.flawed),
        }
    }

    /// Of one entry.
    pub fn of(entry: &Entry) -> Totals {
        Totals {
            entries: 1,
            files: u64::from(entry.meta.kind == EntryKind::File),
            directories: u64::from(entry.meta.kind == EntryKind::Directory),
            bytes: entry.meta.size,
            flawed: u64::from(entry.changed_while_read || entry.content == Content::Unreadable),
        }
    }
}

/// A reference to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// First key below it.
    pub first: Vec<u8>,
    pub id: ContentId,
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

impl Content {
    /// Bytes of the file that are stored or holes; `None` for a tree of lists, whose nodes know.
    pub fn stored_len(&self) -> Option<u64> {
        match self {
            Content::Empty | Content::Unreadable => Some(0),
            Content::Inline(bytes) => Some(bytes.len() as u64),
            Content::Items(items) => Some(items.iter().map(Item::len).fold(0, u64::saturating_add)),
            Content::List { .. } => None,
        }
    }
}

impl Meta {
    /// Whether the fields keep the rules of the format: what a decoder would refuse, before it is written.
    pub fn check(&self) -> Result<(), Reason> {
        let is_file = self.kind == EntryKind::File;
        let times = [Some(self.mtime), Some(self.ctime), self.btime];
        let values = self.mode <= 0o7777
            && (is_file || self.size == 0)
            && (self.kind.is_device() || self.rdev == (0, 0))
            && (self.kind == EntryKind::Symlink || self.target.is_empty())
            && !self.target.contains(&0)
            && times.iter().flatten().all(|time| time.ns < NANOS);
        if !values {
            return Err(Reason::Value);
        }
        let limits = self.user.len().max(self.group.len()) <= OWNER_NAME_BYTES_MAX
            && self.size <= FILE_BYTES_MAX
            && self.target.len() <= LINK_TARGET_BYTES_MAX;
        if limits { check_xattrs(&self.xattrs) } else { Err(Reason::Limit) }
    }
}

/// Whether extended attributes are sorted and within the limits.
pub fn check_xattrs(xattrs: &[Xattr]) -> Result<(), Reason> {
    let bytes = xattrs.iter().map(|x| x.name.len() + x.value.len()).sum::<usize>();
    let each = |x: &Xattr| x.name.len() <= XATTR_NAME_BYTES_MAX && x.value.len() <= XATTR_VALUE_BYTES_MAX;
    if xattrs.len() > XATTRS_MAX || bytes > XATTRS_BYTES_MAX || !xattrs.iter().all(each) {
        return Err(Reason::Limit);
    }
    if xattrs.iter().any(|x| x.name.is_empty() || x.name.contains(&0)) {
        return Err(Reason::Value);
    }
    if xattrs.is_sorted_by(|a, b| a.name < b.name) { Ok(()) } else { Err(Reason::Order) }
}

impl Entry {
    /// Whether the entry keeps the rules of the format: what a decoder would refuse, before it is written.
    pub fn check(&self) -> Result<(), Reason> {
        check_key(&self.key).map_err(|_| Reason::Value)?;
        self.meta.check()?;
        self.check_content()?;
        let bytes = self.extensions.iter().map(|x| x.body.len()).sum::<usize>();
        if self.extensions.len() > EXTENSIONS_MAX || bytes > EXTENSIONS_BYTES_MAX {
            return Err(Reason::Limit);
        }
        let sorted = self.extensions.is_sorted_by(|a, b| a.kind < b.kind);
        if sorted { Ok(()) } else { Err(Reason::Order) }
    }

    fn check_content(&self) -> Result<(), Reason> {
        let kind = self.meta.kind;
        let fits = match &self.content {
            Content::Empty => true,
            Content::Unreadable => matches!(kind, EntryKind::File | EntryKind::Directory | EntryKind::Symlink),
            Content::Inline(bytes) => kind == EntryKind::File && (1..=INLINE_BYTES_MAX).contains(&bytes.len()),
            Content::Items(items) => {
                let room = items.iter().try_fold(FILE_BYTES_MAX, |room, item| room.checked_sub(item.len()));
                let each = items.iter().all(|item| match item {
                    Item::Chunk { len, .. } => (1..=BLOB_PLAIN_BYTES_MAX as u32).contains(len),
                    Item::Hole { len } => *len >= 1,
                });
                let hole = |item: &Item| matches!(item, Item::Hole { .. });
                let joined = items.windows(2).any(|pair| hole(&pair[0]) && hole(&pair[1]));
                let count = (1..=LIST_ITEMS_INLINE).contains(&items.len());
                kind == EntryKind::File && count && each && room.is_some() && !joined
            }
            Content::List { level, items, .. } => {
                let level = usize::from(*level) < TREE_LEVELS_MAX;
                kind == EntryKind::File && level && (LIST_ITEMS_INLINE as u64 + 1..=FILE_BYTES_MAX).contains(items)
            }
        };
        let unread = self.content == Content::Unreadable;
        let target = kind != EntryKind::Symlink || self.meta.target.is_empty() == unread;
        if fits && target { Ok(()) } else { Err(Reason::Value) }
    }
}

/// How many leading bytes of `key` are taken over from the key before it.
#[inline]
pub(super) fn shared_len(before: &[u8], key: &[u8]) -> usize {
    let most = before.len().min(key.len()).min(ENTRY_SHARED_BYTES_MAX);
    let (before, key) = (&before[..most], &key[..most]);
    let mut at = 0;
    while let (Some(a), Some(b)) = (before[at..].first_chunk::<8>(), key[at..].first_chunk::<8>()) {
        let differ = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differ != 0 {
            return at + differ.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + before[at..].iter().zip(&key[at..]).take_while(|(a, b)| a == b).count()
}

/// Reads `shared u8 · suffix bytes` and makes `key`, which holds the key before it (unless `first`), the key after it.
/// Refuses keys that do not ascend and sharing that is not exactly [`shared_len`]. The key's form is for the caller.
pub(super) fn read_key(reader: &mut Reader<'_>, first: bool, key: &mut Vec<u8>) -> Result<KeyChange, DecodeError> {
    let at = reader.position();
    let shared = usize::from(reader.u8()?);
    let suffix = reader.bytes(PATH_BYTES_MAX)?;
    reader.check(at, shared <= key.len(), Reason::Value)?;
    let before = &key[shared..];
    reader.check(at, first || suffix > before, Reason::Order)?;
    let exact = shared == ENTRY_SHARED_BYTES_MAX || before.first().is_none_or(|byte| suffix.first() != Some(byte));
    reader.check(at, exact, Reason::NotCanonical)?;
    key.truncate(shared);
    key.extend_from_slice(suffix);
    Ok(KeyChange { at, shared, new_component: suffix.contains(&0) })
}

/// What [`read_key`] did.
pub(super) struct KeyChange {
    /// Where the key began.
    pub at: usize,
    /// Bytes taken over.
    pub shared: usize,
    /// The bytes that were not hold a 0x00.
    pub new_component: bool,
}

impl Node {
    const CHILD_LEN_MIN: usize = 2 + ContentId::LEN + 5;

    /// All bytes. A leaf's are those of [`LeafEncoder`]; an inner node's `level u8 · count u32 · per child: shared u8 ·
    /// suffix bytes · id 32 · totals 5 varints`.
    pub fn encode(&self) -> Vec<u8> {
        let (level, children) = match self {
            Node::Leaf(entries) => {
                let mut encoder = LeafEncoder::default();
                entries.iter().for_each(|entry| encoder.push(entry));
                return encoder.finish();
            }
            Node::Inner { level, children } => (*level, children),
        };
        let mut out = Vec::with_capacity(5 + 80 * children.len());
        out.push(level);
        out.extend_from_slice(&(children.len() as u32).to_le_bytes());
        let mut before: &[u8] = &[];
        for child in children {
            let shared = shared_len(before, &child.first);
            out.push(shared as u8);
            put_bytes(&mut out, &child.first[shared..]);
            out.extend_from_slice(&child.id.0);
            child.totals.put(&mut out);
            before = &child.first;
        }
        out
    }

    /// Reads a node back; refuses any other encoding than the one `encode` gives.
    pub fn decode(bytes: &[u8]) -> Result<Node, DecodeError> {
        if bytes.first() == Some(&0) {
            let mut decoder = LeafDecoder::new(bytes)?;
            // The count is only bounded by the bytes: room for a usual node at first.
            let mut entries = Vec::with_capacity(decoder.remaining().min(1024));
            while let Some(entry) = decoder.next()? {
                entries.push(entry.clone());
            }
            return Ok(Node::Leaf(entries));
        }
        let mut reader = Reader::limited("tree node", bytes, NODE_DECODE_BYTES_MAX)?;
        let level = reader.u8()?;
        reader.check(0, usize::from(level) < TREE_LEVELS_MAX, Reason::Limit)?;
        let count = reader.u32()? as usize;
        reader.check(1, count >= 2, Reason::Value)?;
        reader.check(1, count <= NODE_ENTRIES_MAX, Reason::Limit)?;
        reader.check_count(1, count, Self::CHILD_LEN_MIN)?;
        let mut children: Vec<Child> = Vec::with_capacity(count);
        let mut key = Vec::new();
        for i in 0..count {
            let change = read_key(&mut reader, i == 0, &mut key)?;
            reader.check(change.at, check_key(&key).is_ok(), Reason::Value)?;
            let id = ContentId(reader.array()?);
            let at = reader.position();
            let totals = Totals::read(&mut reader)?;
            reader.check(at, totals.entries >= 1, Reason::Totals)?;
            children.push(Child { first: key.clone(), id, totals });
        }
        reader.finish()?;
        Ok(Node::Inner { level, children })
    }

    /// The totals of what lies in or below this node.
    pub fn totals(&self) -> Totals {
        match self {
            Node::Leaf(entries) => entries.iter().fold(Totals::default(), |sum, entry| sum.plus(&Totals::of(entry))),
            Node::Inner { children, .. } => {
                children.iter().fold(Totals::default(), |sum, child| sum.plus(&child.totals))
            }
        }
    }
}
