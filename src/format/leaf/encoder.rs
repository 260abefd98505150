//! Entries to the bytes of a leaf.

use super::*;
use crate::base::limits::ENTRY_SHARED_BYTES_MAX;
use crate::base::time::Time;
use crate::format::cursor::{put_bytes, put_varint, put_zigzag};
use crate::format::extension::put_extensions;
use crate::format::list::Item;
use crate::format::tree::{Content, Entry, EntryKind, Meta, Totals, Xattr, shared_len};

/// Encodes entries one by one into a leaf. Fields equal to the previous entry's are left out, keys share
/// their prefix with it, times are differences; so the encoder carries state and starts afresh in each node.
#[derive(Debug, Default)]
pub struct LeafEncoder {
    /// The node so far, from its header on; anything while `count` is 0.
    out: Vec<u8>,
    count: usize,
    totals: Totals,
    first: Vec<u8>,
    /// The entry before.
    key: Vec<u8>,
    user: Vec<u8>,
    group: Vec<u8>,
    /// Its attributes as encoded; empty when it has none.
    xattrs: Vec<u8>,
    last: Numbers,
}

/// The numbers of the entry before.
#[derive(Debug, Default, Clone, Copy)]
struct Numbers {
    mode: u32,
    owner: (u32, u32),
    device: u64,
    inode: u64,
    mtime: Time,
    ctime: Time,
}

impl LeafEncoder {
    /// Appends an entry. Its key must be greater than the last one's, and [`Entry::check`] hold.
    pub fn push(&mut self, entry: &Entry) {
        debug_assert_eq!(entry.check(), Ok(()), "{}", String::from_utf8_lossy(&entry.key));
        if self.count == 0 {
            self.out.clear();
            self.out.extend_from_slice(&[0; HEADER_LEN]);
            self.first.clear();
            self.first.extend_from_slice(&entry.key);
        }
        debug_assert!(self.count == 0 || self.key < entry.key);
        let meta = &entry.meta;
        let form = content_form(entry);
        let changed = if entry.changed_while_read { CHANGED } else { 0 };
        let extended = if entry.extensions.is_empty() { 0 } else { EXTENDED };
        self.out.push(meta.kind as u8 | form << 3 | changed | extended);
        let flags_at = self.out.len();
        self.out.extend_from_slice(&[0; 2]);
        let shared = shared_len(&self.key, &entry.key);
        self.out.push(shared as u8);
        put_bytes(&mut self.out, &entry.key[shared..]);
        self.key.truncate(shared);
        self.key.extend_from_slice(&entry.key[shared..]);
        let mut flags = self.put_inode(meta);
        flags |= self.put_times(meta);
        match meta.kind {
            EntryKind::File => put_varint(&mut self.out, meta.size),
            EntryKind::Symlink => put_bytes(&mut self.out, &meta.target),
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                put_varint(&mut self.out, u64::from(meta.rdev.0));
                put_varint(&mut self.out, u64::from(meta.rdev.1));
            }
            _ => {}
        }
        flags |= self.put_xattrs(&meta.xattrs);
        self.out[flags_at..flags_at + 2].copy_from_slice(&flags.to_le_bytes());
        put_content(&mut self.out, form, &entry.content);
        if extended != 0 {
            put_extensions(&mut self.out, &entry.extensions);
        }
        self.count += 1;
        self.totals = self.totals.plus(&Totals::of(entry));
    }

    /// Mode, owner, names, device, links and inode.
    fn put_inode(&mut self, meta: &Meta) -> u16 {
        let (out, last) = (&mut self.out, &mut self.last);
        let mut flags = 0;
        if meta.mode == last.mode {
            flags |= SAME_MODE;
        } else {
            put_varint(out, u64::from(meta.mode));
            last.mode = meta.mode;
        }
        if (meta.uid, meta.gid) == last.owner {
            flags |= SAME_OWNER;
        } else {
            put_varint(out, u64::from(meta.uid));
            put_varint(out, u64::from(meta.gid));
            last.owner = (meta.uid, meta.gid);
        }
        if meta.user == self.user && meta.group == self.group {
            flags |= SAME_NAMES;
        } else {
            put_bytes(out, &meta.user);
            put_bytes(out, &meta.group);
            self.user.clone_from(&meta.user);
            self.group.clone_from(&meta.group);
        }
        if meta.device == last.device {
            flags |= SAME_DEVICE;
        } else {
            put_varint(out, meta.device);
            last.device = meta.device;
        }
        if meta.nlink == 1 {
            flags |= ONE_LINK;
        } else {
            put_varint(out, meta.nlink);
        }
        put_zigzag(out, meta.inode.wrapping_sub(last.inode) as i64);
        last.inode = meta.inode;
        flags
    }

    fn put_times(&mut self, meta: &Meta) -> u16 {
        let (out, last) = (&mut self.out, &mut self.last);
        let mut flags = 0;
        if meta.mtime == last.mtime {
            flags |= SAME_MTIME;
        } else {
            put_time_after(out, last.mtime, meta.mtime);
        }
        if meta.ctime == meta.mtime {
            flags |= CTIME_IS_MTIME;
        } else if meta.ctime == last.ctime {
            flags |= SAME_CTIME;
        } else {
            put_time_after(out, last.ctime, meta.ctime);
        }
        (last.mtime, last.ctime) = (meta.mtime, meta.ctime);
        flags
            | match meta.btime {
                None => 0,
                Some(btime) if btime == meta.ctime => BTIME_IS_CTIME,
                Some(btime) if btime == meta.mtime => BTIME_IS_MTIME,
                Some(btime) => {
                    put_time_after(out, meta.ctime, btime);
                    BTIME_OWN
                }
            }
    }

    fn put_xattrs(&mut self, xattrs: &[Xattr]) -> u16 {
        if xattrs.is_empty() {
            self.xattrs.clear();
            return 0;
        }
        let start = self.out.len();
        put_varint(&mut self.out, xattrs.len() as u64);
        for xattr in xattrs {
            put_bytes(&mut self.out, &xattr.name);
            put_bytes(&mut self.out, &xattr.value);
        }
        let encoded = &self.out[start..];
        if encoded.len() <= ENTRY_SHARED_BYTES_MAX && encoded == self.xattrs {
            self.out.truncate(start);
            return XATTRS | SAME_XATTRS;
        }
        self.xattrs.clear();
        self.xattrs.extend_from_slice(encoded);
        XATTRS
    }

    /// Encoded bytes so far, with the node's header.
    pub fn len(&self) -> usize {
        if self.count == 0 { HEADER_LEN } else { self.out.len() }
    }

    /// Whether there is no entry yet.
    #[cfg(any(test, feature = "internals"))]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Entries so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// First key, if any.
    pub fn first_key(&self) -> &[u8] {
        if self.count == 0 { &[] } else { &self.first }
    }

    /// Last key, if any.
    pub fn last_key(&self) -> Option<&[u8]> {
        (self.count > 0).then_some(self.key.as_slice())
    }

    /// Totals so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The finished node's bytes; the encoder is empty again and keeps its buffers.
    pub fn finish(&mut self) -> Vec<u8> {
        let node = if self.count == 0 {
            vec![0; HEADER_LEN]
        } else {
            self.out[1..HEADER_LEN].copy_from_slice(&(self.count as u32).to_le_bytes());
            self.out.clone()
        };
        self.count = 0;
        self.totals = Totals::default();
        self.last = Numbers::default();
        for buffer in [&mut self.key, &mut self.user, &mut self.group, &mut self.xattrs] {
            buffer.clear();
        }
        node
    }
}

fn put_time_after(out: &mut Vec<u8>, before: Time, time: Time) {
    put_zigzag(out, time.s.wrapping_sub(before.s));
    put_zigzag(out, i64::from(time.ns) - i64::from(before.ns));
}

fn content_form(entry: &Entry) -> u8 {
    let size = entry.meta.size;
    match &entry.content {
        Content::Empty => EMPTY,
        Content::Inline(bytes) if bytes.len() as u64 == size => INLINE_WHOLE,
        Content::Inline(_) => INLINE,
        Content::Items(items) => match items[..] {
            [Item::Chunk { len, .. }] if u64::from(len) == size => WHOLE,
            _ => ITEMS,
        },
        Content::List { .. } => LIST,
        Content::Unreadable => UNREADABLE,
    }
}

fn put_content(out: &mut Vec<u8>, form: u8, content: &Content) {
    match content {
        Content::Empty | Content::Unreadable => {}
        Content::Inline(bytes) if form == INLINE => put_bytes(out, bytes),
        Content::Inline(bytes) => out.extend_from_slice(bytes),
        Content::Items(items) if form == WHOLE => {
            if let [Item::Chunk { id, .. }] = &items[..] {
                out.extend_from_slice(&id.0);
            }
        }
        Content::Items(items) => {
            out.push(items.len() as u8);
            items.iter().for_each(|item| item.put(out));
        }
        Content::List { id, level, items } => {
            out.extend_from_slice(&id.0);
            out.push(*level);
            put_varint(out, *items);
        }
    }
}
