//! The bytes of a leaf to entries; any other encoding than the encoder's is refused.

use super::*;
use crate::base::id::ContentId;
use crate::base::limits::{
    BLOB_PLAIN_BYTES_MAX, ENTRY_SHARED_BYTES_MAX, FILE_BYTES_MAX, INLINE_BYTES_MAX, LINK_TARGET_BYTES_MAX,
    LIST_ITEMS_INLINE, NODE_DECODE_BYTES_MAX, NODE_ENTRIES_MAX, OWNER_NAME_BYTES_MAX, TREE_LEVELS_MAX,
    XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX, XATTRS_MAX,
};
use crate::base::path::{check_key, check_name, split_key};
use crate::base::time::Time;
use crate::format::cursor::{NANOS, Reader};
use crate::format::error::{DecodeError, Reason};
use crate::format::extension::read_extensions;
use crate::format::list::Item;
use crate::format::tree::{Content, Entry, EntryKind, Meta, Xattr, check_xattrs, read_key};

/// Reads a leaf entry by entry, each into the room of the one before: nothing is allocated for an entry.
#[derive(Debug)]
pub struct LeafDecoder<'a> {
    reader: Reader<'a>,
    left: usize,
    first: bool,
    /// The entry before, which becomes the next one in place.
    entry: Entry,
    /// Its attributes as encoded; empty when it has none.
    xattrs: &'a [u8],
}

impl<'a> LeafDecoder<'a> {
    /// Begins to read a node that is a leaf.
    pub fn new(bytes: &'a [u8]) -> Result<LeafDecoder<'a>, DecodeError> {
        let mut reader = Reader::limited("tree node", bytes, NODE_DECODE_BYTES_MAX)?;
        let level = reader.u8()?;
        reader.check(0, level == 0, Reason::Value)?;
        let left = reader.u32()? as usize;
        reader.check(1, left <= NODE_ENTRIES_MAX, Reason::Limit)?;
        reader.check_count(1, left, ENTRY_LEN_MIN)?;
        Ok(LeafDecoder { reader, left, first: true, entry: nothing(), xattrs: &[] })
    }

    /// Entries to come.
    pub fn remaining(&self) -> usize {
        self.left
    }

    /// The next entry; `None` after the last. After an error there is nothing more to read.
    #[allow(clippy::should_implement_trait, reason = "the entry is lent, which an iterator cannot do")]
    pub fn next(&mut self) -> Result<Option<&Entry>, DecodeError> {
        if self.left == 0 {
            self.reader.finish()?;
            return Ok(None);
        }
        self.left -= 1;
        let reader = &mut self.reader;
        let start = reader.position();
        let form = reader.u8()?;
        let kind = EntryKind::from_u8(form & 7).ok_or_else(|| reader.error_at(start, Reason::Value))?;
        let flags = reader.u16()?;
        reader.check(start + 1, flags & !KNOWN_FLAGS == 0, Reason::NotCanonical)?;
        self.entry.meta.kind = kind;
        self.entry.changed_while_read = form & CHANGED != 0;
        self.read_key()?;
        self.read_inode(flags)?;
        self.read_times(flags)?;
        self.read_by_kind()?;
        self.read_xattrs(flags)?;
        self.read_content(form >> 3 & 7)?;
        self.entry.extensions.clear();
        if form & EXTENDED != 0 {
            let at = self.reader.position();
            self.entry.extensions = read_extensions(&mut self.reader)?;
            self.reader.check(at, !self.entry.extensions.is_empty(), Reason::NotCanonical)?;
        }
        self.first = false;
        Ok(Some(&self.entry))
    }

    fn read_key(&mut self) -> Result<(), DecodeError> {
        let key = &mut self.entry.key;
        let parents_before = split_key(key).map(|(parents, _)| parents.len());
        let change = read_key(&mut self.reader, self.first, key)?;
        // Mostly a new name in the same directory: then the rest of the key was checked with the key before.
        let valid = match parents_before {
            Some(parents) if parents < change.shared && !change.new_component => {
                change.shared < ENTRY_SHARED_BYTES_MAX && check_name(&key[parents + 1..]).is_ok()
                    || check_key(key).is_ok()
            }
            _ => check_key(key).is_ok(),
        };
        self.reader.check(change.at, valid, Reason::Value)
    }

    fn read_inode(&mut self, flags: u16) -> Result<(), DecodeError> {
        let (reader, meta) = (&mut self.reader, &mut self.entry.meta);
        if flags & SAME_MODE == 0 {
            let at = reader.position();
            let mode = reader.varint_u32(0, 0o7777)?;
            reader.check(at, mode != meta.mode, Reason::NotCanonical)?;
            meta.mode = mode;
        }
        if flags & SAME_OWNER == 0 {
            let at = reader.position();
            let owner = (reader.varint_u32(0, u32::MAX)?, reader.varint_u32(0, u32::MAX)?);
            reader.check(at, owner != (meta.uid, meta.gid), Reason::NotCanonical)?;
            (meta.uid, meta.gid) = owner;
        }
        if flags & SAME_NAMES == 0 {
            let at = reader.position();
            let user = reader.bytes(OWNER_NAME_BYTES_MAX)?;
            let group = reader.bytes(OWNER_NAME_BYTES_MAX)?;
            reader.check(at, user != meta.user || group != meta.group, Reason::NotCanonical)?;
            replace(&mut meta.user, user);
            replace(&mut meta.group, group);
        }
        if flags & SAME_DEVICE == 0 {
            let at = reader.position();
            let device = reader.varint()?;
            reader.check(at, device != meta.device, Reason::NotCanonical)?;
            meta.device = device;
        }
        meta.nlink = 1;
        if flags & ONE_LINK == 0 {
            let at = reader.position();
            meta.nlink = reader.varint()?;
            reader.check(at, meta.nlink != 1, Reason::NotCanonical)?;
        }
        meta.inode = meta.inode.wrapping_add(reader.zigzag()? as u64);
        Ok(())
    }

    fn read_times(&mut self, flags: u16) -> Result<(), DecodeError> {
        let (reader, meta) = (&mut self.reader, &mut self.entry.meta);
        let start = reader.position();
        if flags & SAME_MTIME == 0 {
            let mtime = read_time_after(reader, meta.mtime)?;
            reader.check(start, mtime != meta.mtime, Reason::NotCanonical)?;
            meta.mtime = mtime;
        }
        let at = reader.position();
        let before = meta.ctime;
        meta.ctime = match (flags & CTIME_IS_MTIME != 0, flags & SAME_CTIME != 0) {
            (true, true) => return Err(reader.error_at(at, Reason::NotCanonical)),
            (true, false) => meta.mtime,
            (false, true) => before,
            (false, false) => read_time_after(reader, before)?,
        };
        let own = flags & (CTIME_IS_MTIME | SAME_CTIME) == 0;
        let other = flags & CTIME_IS_MTIME != 0 || meta.ctime != meta.mtime;
        reader.check(at, other && !(own && meta.ctime == before), Reason::NotCanonical)?;
        let at = reader.position();
        meta.btime = match flags & BTIME {
            BTIME_IS_CTIME => Some(meta.ctime),
            BTIME_IS_MTIME => {
                reader.check(at, meta.mtime != meta.ctime, Reason::NotCanonical)?;
                Some(meta.mtime)
            }
            BTIME_OWN => {
                let btime = read_time_after(reader, meta.ctime)?;
                reader.check(at, btime != meta.ctime && btime != meta.mtime, Reason::NotCanonical)?;
                Some(btime)
            }
            _ => None,
        };
        Ok(())
    }

    fn read_by_kind(&mut self) -> Result<(), DecodeError> {
        let (reader, meta) = (&mut self.reader, &mut self.entry.meta);
        meta.size = 0;
        meta.target.clear();
        meta.rdev = (0, 0);
        match meta.kind {
            EntryKind::File => meta.size = reader.varint_in(0, FILE_BYTES_MAX)?,
            EntryKind::Symlink => {
                let at = reader.position();
                meta.target.extend_from_slice(reader.bytes(LINK_TARGET_BYTES_MAX)?);
                reader.check(at, !meta.target.contains(&0), Reason::Value)?;
            }
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                meta.rdev = (reader.varint_u32(0, u32::MAX)?, reader.varint_u32(0, u32::MAX)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn read_xattrs(&mut self, flags: u16) -> Result<(), DecodeError> {
        let (reader, xattrs) = (&mut self.reader, &mut self.entry.meta.xattrs);
        let start = reader.position();
        let short = |encoded: &[u8]| encoded.len() <= ENTRY_SHARED_BYTES_MAX;
        match (flags & XATTRS != 0, flags & SAME_XATTRS != 0) {
            (false, false) => {
                xattrs.clear();
                self.xattrs = &[];
            }
            (false, true) => return Err(reader.error_at(start, Reason::NotCanonical)),
            (true, true) => {
                reader.check(start, !self.xattrs.is_empty() && short(self.xattrs), Reason::NotCanonical)?;
            }
            (true, false) => {
                let mut encoded = reader.clone();
                xattrs.clear();
                let count = reader.count(XATTRS_MAX, 2)?;
                reader.check(start, count >= 1, Reason::NotCanonical)?;
                for _ in 0..count {
                    let name = reader.bytes(XATTR_NAME_BYTES_MAX)?.to_vec();
                    xattrs.push(Xattr { name, value: reader.bytes(XATTR_VALUE_BYTES_MAX)?.to_vec() });
                }
                check_xattrs(xattrs).map_err(|reason| reader.error_at(start, reason))?;
                let encoded = encoded.take(reader.position() - start)?;
                reader.check(start, encoded != self.xattrs || !short(encoded), Reason::NotCanonical)?;
                self.xattrs = encoded;
            }
        }
        Ok(())
    }

    fn read_content(&mut self, form: u8) -> Result<(), DecodeError> {
        let (reader, entry) = (&mut self.reader, &mut self.entry);
        let (kind, size) = (entry.meta.kind, entry.meta.size);
        let at = reader.position();
        let unread = matches!(kind, EntryKind::File | EntryKind::Directory | EntryKind::Symlink);
        let allowed = form == EMPTY || (form == UNREADABLE && unread) || kind == EntryKind::File;
        let target = kind != EntryKind::Symlink || entry.meta.target.is_empty() == (form == UNREADABLE);
        reader.check(at, allowed && target, Reason::Value)?;
        match form {
            EMPTY => entry.content = Content::Empty,
            UNREADABLE => entry.content = Content::Unreadable,
            INLINE => {
                let bytes = reader.bytes(INLINE_BYTES_MAX)?;
                reader.check(at, !bytes.is_empty(), Reason::Value)?;
                reader.check(at, bytes.len() as u64 != size, Reason::NotCanonical)?;
                entry.content = Content::Inline(bytes.to_vec());
            }
            INLINE_WHOLE => {
                reader.check(at, (1..=INLINE_BYTES_MAX as u64).contains(&size), Reason::Limit)?;
                entry.content = Content::Inline(reader.take(size as usize)?.to_vec());
            }
            WHOLE => {
                reader.check(at, (1..=BLOB_PLAIN_BYTES_MAX as u64).contains(&size), Reason::Limit)?;
                let item = Item::Chunk { id: ContentId(reader.array()?), len: size as u32 };
                match &mut entry.content {
                    Content::Items(items) => {
                        items.clear();
                        items.push(item);
                    }
                    content => *content = Content::Items(vec![item]),
                }
            }
            ITEMS => {
                let count = usize::from(reader.u8()?);
                reader.check(at, (1..=LIST_ITEMS_INLINE).contains(&count), Reason::Value)?;
                let items = Item::read_all(reader, count)?;
                let whole = matches!(items[..], [Item::Chunk { len, .. }] if u64::from(len) == size);
                reader.check(at, !whole, Reason::NotCanonical)?;
                entry.content = Content::Items(items);
            }
            LIST => {
                let id = ContentId(reader.array()?);
                let level = reader.u8()?;
                reader.check(at + ContentId::LEN, usize::from(level) < TREE_LEVELS_MAX, Reason::Limit)?;
                let items = reader.varint_in(LIST_ITEMS_INLINE as u64 + 1, FILE_BYTES_MAX)?;
                entry.content = Content::List { id, level, items };
            }
            _ => return Err(reader.error_at(at, Reason::Value)),
        }
        Ok(())
    }
}

fn read_time_after(reader: &mut Reader<'_>, before: Time) -> Result<Time, DecodeError> {
    let at = reader.position();
    let s = before.s.wrapping_add(reader.zigzag()?);
    let ns = reader.zigzag()?.checked_add(i64::from(before.ns));
    match ns {
        Some(ns) if (0..i64::from(NANOS)).contains(&ns) => Ok(Time { s, ns: ns as u32 }),
        _ => Err(reader.error_at(at, Reason::Value)),
    }
}

fn replace(old: &mut Vec<u8>, new: &[u8]) {
    old.clear();
    old.extend_from_slice(new);
}

/// What the first entry of a leaf is compared with.
fn nothing() -> Entry {
    Entry {
        key: Vec::new(),
        meta: Meta {
            kind: EntryKind::File,
            mode: 0,
            uid: 0,
            gid: 0,
            user: Vec::new(),
            group: Vec::new(),
            size: 0,
            mtime: Time::default(),
            ctime: Time::default(),
            btime: None,
            nlink: 0,
            device: 0,
            inode: 0,
            rdev: (0, 0),
            target: Vec::new(),
            xattrs: Vec::new(),
        },
        content: Content::Empty,
        changed_while_read: false,
        extensions: Vec::new(),
    }
}
