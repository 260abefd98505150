//! `cat` of a directory: a tar archive (POSIX pax) of what lies below it, streamed.
//!
//! Names are relative to the directory (`./`, `./name`), and what lies in a directory follows it at once, as unpackers
//! expect who put a directory's times back when they leave it. An archive that could not be completed never looks whole.

use super::cat::Cat;
use super::list::{LIST_CACHE_BYTES, damaged_node};
use crate::base::limits::LINK_GROUPS_MAX;
use crate::base::path::{path_of, subtree_prefix};
use crate::base::time::Time;
use crate::format::acl;
use crate::format::list::Item;
use crate::format::tree::{Content, Entry, EntryKind, Meta};
use crate::monitor::{Monitor, Problem};
use crate::object::ObjectError;
use crate::store::snapshots::Snapshot;
use crate::store::{Store, StoreError};
use crate::tree::place::{KeyRange, PlaceError, entry_at};
use crate::tree::reader::Reader;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use tar::{EntryType, Header};

/// Archives are made of these.
const BLOCK: usize = 512;
static ZEROS: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// Numbers beyond these do not fit in a header's octal digits.
const ID_MAX: u32 = 0o7_777_777;
const SIZE_MAX: u64 = 0o77_777_777_777;

/// What ended an archive before its end.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The store. The message says what is missing.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing of this path in the snapshot.
    #[error(transparent)]
    Place(PlaceError),
    /// The store, at the content of this path.
    #[error("{path}: {source}")]
    Content {
        /// The path in the snapshot.
        path: String,
        /// Why it could not be read.
        source: StoreError,
    },
    /// Where it was written to.
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl From<PlaceError> for TarError {
    fn from(error: PlaceError) -> TarError {
        match error {
            PlaceError::Store(error) => TarError::Store(error),
            error => TarError::Place(error),
        }
    }
}

/// What went into an archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TarStats {
    /// Entries that were written.
    pub entries: u64,
    /// What could not be read when it was backed up: named as problems, and not in the archive.
    pub unread: u64,
}

/// Writes what lies at `path`, a directory, as an archive. The index must be loaded. Damage ends it with an error, and
/// the archive is cut off there.
pub fn run(
    store: &Arc<Store>,
    snapshot: &Snapshot,
    path: &[u8],
    out: &mut dyn Write,
    monitor: &dyn Monitor,
) -> Result<TarStats, TarError> {
    let mut reader = Reader::new(store.clone(), LIST_CACHE_BYTES);
    let base = entry_at(&mut reader, snapshot, path)?;
    let range = KeyRange::below(&base.key);
    let base_len = subtree_prefix(&base.key).len();
    let cat = Cat::new(store);
    let mut archive = Archive {
        cat,
        out,
        monitor,
        base_len,
        links: HashMap::new(),
        directories: BTreeMap::new(),
        stats: TarStats::default(),
        in_content: false,
    };
    let written = archive.entry(&base).and_then(|()| {
        let mut failed = None;
        let stop = |failed: &mut Option<TarError>, error| {
            *failed = Some(error);
            ControlFlow::Break(())
        };
        // Two closures, one place for what went wrong.
        let lost = std::cell::RefCell::new(None);
        reader.entries(
            &snapshot.manifest.root,
            &range.from,
            &range.to,
            &mut |entry| match archive.next(entry) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => stop(&mut failed, error),
            },
            &mut |keys, error| {
                monitor.problem(&damaged_node(keys.start, &error));
                stop(&mut lost.borrow_mut(), error.into())
            },
        )?;
        match failed.or(lost.into_inner()) {
            Some(error) => Err(error),
            None => archive.end(),
        }
    });
    if let Err(TarError::Store(_) | TarError::Content { .. }) = &written {
        archive.spoil();
    }
    written.map(|()| archive.stats)
}

/// A file with several names, of which the first is in the archive.
struct First {
    name: Vec<u8>,
    content: [u8; 32],
    said: (u64, Time, u32),
    left: u64,
}

/// Equal for equal contents only.
fn digest(content: &Content) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    match content {
        Content::Empty | Content::Unreadable => {}
        Content::Inline(bytes) => _ = hasher.update(b"inline").update(bytes),
        Content::Items(items) => items.iter().for_each(|item| match item {
            Item::Chunk { id, .. } => _ = hasher.update(b"chunk").update(&id.0),
            Item::Hole { len } => _ = hasher.update(b"hole").update(&len.to_le_bytes()),
        }),
        Content::List { id, .. } => _ = hasher.update(b"list").update(&id.0),
    }
    *hasher.finalize().as_bytes()
}

/// What the file system said of a file's content.
fn said(meta: &Meta) -> (u64, Time, u32) {
    (meta.size, meta.mtime, meta.mode)
}

struct Archive<'a> {
    cat: Cat,
    out: &'a mut dyn Write,
    monitor: &'a dyn Monitor,
    /// Bytes before the relative part of a path, without the slash in front.
    base_len: usize,
    links: HashMap<(u64, u64), First>,
    /// Directories that were met and are not written yet, by what the keys below them begin with.
    directories: BTreeMap<Vec<u8>, Entry>,
    stats: TarStats,
    /// A file's content has begun and not ended.
    in_content: bool,
}

impl Archive<'_> {
    /// The next entry in the tree's order, in which a directory's names come before what lies in any of them.
    fn next(&mut self, entry: Entry) -> Result<(), TarError> {
        while let Some(first) = self.directories.first_entry()
            && first.key().as_slice() <= entry.key.as_slice()
        {
            let directory = first.remove();
            self.entry(&directory)?;
        }
        if entry.meta.kind == EntryKind::Directory {
            self.directories.insert(subtree_prefix(&entry.key), entry);
            return Ok(());
        }
        self.entry(&entry)
    }

    fn end(&mut self) -> Result<(), TarError> {
        while let Some((_, directory)) = self.directories.pop_first() {
            self.entry(&directory)?;
        }
        Ok(self.out.write_all(&ZEROS)?)
    }

    /// Where the archive ends between two entries unpackers would take it for whole: a block that is none of an archive
    /// makes them fail. In the middle of a content they notice by themselves.
    fn spoil(&mut self) {
        if self.in_content {
            return;
        }
        let mut block = [0; BLOCK];
        let text = b"larder could not complete this archive\n";
        block[..text.len()].copy_from_slice(text);
        // The error that led here is told anyway.
        _ = self.out.write_all(&block);
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), TarError> {
        let name = self.name(entry);
        let unread = entry.content == Content::Unreadable;
        let problem = match entry.meta.kind {
            EntryKind::File if unread => Some("could not be read when it was backed up: it is not in the archive"),
            EntryKind::Symlink if unread || entry.meta.target.is_empty() => {
                Some("could not be followed when it was backed up: it is not in the archive")
            }
            EntryKind::Directory if unread => {
                Some("could not be listed when it was backed up: what lies in it is not in the archive")
            }
            _ => None,
        };
        if let Some(message) = problem {
            self.stats.unread += 1;
            self.monitor.problem(&Problem { path: path_of(&entry.key), message: message.into() });
            if entry.meta.kind != EntryKind::Directory {
                return Ok(());
            }
        }
        if entry.changed_while_read {
            self.note(entry, "changed while it was backed up");
        }
        let meta = &entry.meta;
        let (kind, target): (_, &[u8]) = match meta.kind {
            EntryKind::File => return self.file(entry, name),
            EntryKind::Directory => (EntryType::Directory, &[]),
            EntryKind::Symlink => (EntryType::Symlink, &meta.target),
            EntryKind::Fifo => (EntryType::Fifo, &[]),
            EntryKind::CharDevice => (EntryType::Char, &[]),
            EntryKind::BlockDevice => (EntryType::Block, &[]),
            EntryKind::Socket => {
                self.note(entry, "is a socket, which no tar archive holds: left out");
                return Ok(());
            }
        };
        self.header(kind, &name, target, 0, meta)
    }

    fn note(&self, entry: &Entry, what: &str) {
        self.monitor.note(&format!("{} {what}", String::from_utf8_lossy(&path_of(&entry.key))));
    }

    /// `./`, `./directory/`, `./file`.
    fn name(&self, entry: &Entry) -> Vec<u8> {
        let path = path_of(&entry.key);
        let below = path.get(self.base_len + 1..).unwrap_or_default();
        let slash: &[u8] = if entry.meta.kind == EntryKind::Directory && !below.is_empty() { b"/" } else { b"" };
        [b"./", below, slash].concat()
    }

    fn file(&mut self, entry: &Entry, name: Vec<u8>) -> Result<(), TarError> {
        let meta = &entry.meta;
        let inode = (meta.device, meta.inode);
        if meta.nlink > 1
            && let Some(first) = self.links.get_mut(&inode)
            // Two files that were taken for one must not become one.
            && (first.said, first.content) == (said(meta), digest(&entry.content))
        {
            first.left -= 1;
            let target = match first.left {
                0 => self.links.remove(&inode).map(|first| first.name),
                _ => Some(first.name.clone()),
            };
            return self.header(EntryType::Link, &name, &target.unwrap_or_default(), 0, meta);
        }
        let len = self.len_of(entry)?;
        self.header(EntryType::Regular, &name, &[], len, meta)?;
        self.content(entry, len)?;
        if meta.nlink > 1 && self.links.len() < LINK_GROUPS_MAX {
            let first = First { name, content: digest(&entry.content), said: said(meta), left: meta.nlink - 1 };
            self.links.insert(inode, first);
        }
        Ok(())
    }

    /// What the content adds up to: the header promises it.
    fn len_of(&mut self, entry: &Entry) -> Result<u64, TarError> {
        let sum = |items: &[Item]| items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.len()));
        Ok(match &entry.content {
            Content::Empty | Content::Unreadable => 0,
            Content::Inline(bytes) => bytes.len() as u64,
            Content::Items(items) => sum(items),
            Content::List { .. } => self.cat.len(&entry.content).map_err(|error| at(entry, error))?,
        })
    }

    fn content(&mut self, entry: &Entry, len: u64) -> Result<(), TarError> {
        let (mut done, mut failed) = (0, None);
        self.in_content = len > 0;
        let out = &mut *self.out;
        let read = self.cat.content(&entry.content, &mut |bytes| {
            done += bytes.len() as u64;
            match if done > len { Err(io::Error::other("too long")) } else { out.write_all(bytes) } {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        read.map_err(|error| at(entry, error))?;
        if done != len && (failed.is_none() || done > len) {
            let object = "its list of chunks".to_string();
            return Err(at(entry, StoreError::Object(ObjectError::Mismatch { object })));
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        self.pad(len)?;
        self.in_content = false;
        Ok(())
    }

    fn pad(&mut self, len: u64) -> io::Result<()> {
        self.out.write_all(&ZEROS[..(BLOCK as u64 - len % BLOCK as u64) as usize % BLOCK])
    }

    /// A header, and before it a pax header of what does not fit in it.
    fn header(&mut self, kind: EntryType, name: &[u8], target: &[u8], size: u64, meta: &Meta) -> Result<(), TarError> {
        let mut records = Vec::new();
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(meta.mode);
        header.set_uid(meta.uid.min(ID_MAX).into());
        header.set_gid(meta.gid.min(ID_MAX).into());
        header.set_size(size.min(SIZE_MAX));
        header.set_mtime(meta.mtime.s.clamp(0, SIZE_MAX as i64) as u64);
        if let Some(fields) = header.as_ustar_mut() {
            let places: [(&mut [u8], &[u8], &str); 4] = [
                (&mut fields.name, name, "path"),
                (&mut fields.linkname, target, "linkpath"),
                (&mut fields.uname[..31], &meta.user, "uname"),
                (&mut fields.gname[..31], &meta.group, "gname"),
            ];
            for (place, value, key) in places {
                let len = value.len().min(place.len());
                place[..len].copy_from_slice(&value[..len]);
                if len < value.len() {
                    record(&mut records, key.as_bytes(), value);
                }
            }
            if meta.kind.is_device() {
                fields.set_device_major(meta.rdev.0);
                fields.set_device_minor(meta.rdev.1);
            }
        }
        for (key, id) in [("uid", meta.uid), ("gid", meta.gid)] {
            if id > ID_MAX {
                record(&mut records, key.as_bytes(), id.to_string().as_bytes());
            }
        }
        if size > SIZE_MAX {
            record(&mut records, b"size", size.to_string().as_bytes());
        }
        if meta.mtime.ns > 0 || meta.mtime.s < 0 || meta.mtime.s > SIZE_MAX as i64 {
            record(&mut records, b"mtime", seconds(meta.mtime).as_bytes());
        }
        // A further name of a file has the attributes of the first one.
        for xattr in meta.xattrs.iter().filter(|_| kind != EntryType::Link) {
            record(&mut records, &[b"SCHILY.xattr.", &keyword(&xattr.name)[..]].concat(), &xattr.value);
            // Once more as text, which is what unpackers restore ACLs from.
            let key: &[u8] = match xattr.name.as_slice() {
                b"system.posix_acl_access" => b"SCHILY.acl.access",
                b"system.posix_acl_default" => b"SCHILY.acl.default",
                _ => continue,
            };
            if let Some(text) = acl::text(&xattr.value) {
                record(&mut records, key, text.as_bytes());
            }
        }
        if !records.is_empty() {
            self.pax(&records)?;
        }
        self.put(header)
    }

    fn pax(&mut self, records: &[u8]) -> Result<(), TarError> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(records.len() as u64);
        if let Some(fields) = header.as_ustar_mut() {
            fields.name[..9].copy_from_slice(b"PaxHeader");
        }
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(records)?;
        Ok(self.pad(records.len() as u64)?)
    }

    fn put(&mut self, mut header: Header) -> Result<(), TarError> {
        header.set_cksum();
        self.stats.entries += 1;
        Ok(self.out.write_all(header.as_bytes())?)
    }
}

/// An error of the store with the path that it stopped at.
fn at(entry: &Entry, source: StoreError) -> TarError {
    TarError::Content { path: String::from_utf8_lossy(&path_of(&entry.key)).into_owned(), source }
}

/// A pax record: its own length in decimal digits, a space, key=value and a line end.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    out.extend_from_slice(len.to_string().as_bytes());
    [b" ", key, b"=", value, b"\n"].iter().for_each(|part| out.extend_from_slice(part));
}

/// An attribute's name as GNU tar writes it: a key ends at the first `=`.
fn keyword(name: &[u8]) -> Vec<u8> {
    let mut keyword = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'=' => keyword.extend_from_slice(b"%3D"),
            b'%' => keyword.extend_from_slice(b"%25"),
            _ => keyword.push(*byte),
        }
    }
    keyword
}

/// Decimal seconds since 1970; a fraction of a time before then goes the other way.
fn seconds(time: Time) -> String {
    match time {
        Time { s, ns } if s < 0 && ns > 0 => {
            let sign = if s == -1 { "-0".to_string() } else { (s + 1).to_string() };
            format!("{sign}.{:09}", 1_000_000_000 - ns)
        }
        Time { s, ns } => format!("{s}.{ns:09}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_itself() {
        let text = |key: &str, len: usize| {
            let mut out = Vec::new();
            record(&mut out, key.as_bytes(), &vec![b'x'; len]);
            (out.len(), String::from_utf8(out).unwrap())
        };
        assert_eq!(text("path", 1).1, "9 path=x\n");
        for len in [0, 1, 85, 86, 87, 88, 89, 90, 91, 984, 985, 986, 987, 988, 989, 990, 991, 992] {
            let (bytes, text) = text("path", len);
            let (said, _) = text.split_once(' ').unwrap();
            assert_eq!(said.parse(), Ok(bytes), "{len}");
        }
    }

    #[test]
    fn times_before_1970_count_backwards() {
        let text = |s, ns| seconds(Time { s, ns });
        assert_eq!(text(5, 7), "5.000000007");
        assert_eq!(text(-5, 0), "-5.000000000");
        assert_eq!(text(-5, 250_000_000), "-4.750000000");
        assert_eq!(text(-1, 750_000_000), "-0.250000000");
    }
}
