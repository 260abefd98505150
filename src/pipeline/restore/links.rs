//! Hard links. The first name of a file is restored, and the other names are linked to it.

use super::item::{FirstName, Folder};
use crate::base::limits::LINK_GROUPS_MAX;
use crate::destination::Destination;
use crate::format::list::Item;
use crate::format::tree::{Content, Entry};
use std::collections::HashMap;
use std::sync::Arc;

/// Groups whose names did not all come yet. Beyond the limit further names become files of their own.
///
/// Device and inode number do not make a group: in a union of file systems unrelated files have equal ones, and each of
/// them may have several names. So of one number there may be several groups.
pub struct Links<D: Destination> {
    groups: HashMap<(u64, u64), Vec<Group<D>>>,
    count: usize,
}

struct Group<D: Destination> {
    first: Arc<FirstName<D>>,
    fingerprint: [u8; 16],
    met: u64,
}

/// What an entry is among the names of its file.
pub enum Link<D: Destination> {
    /// Its file has one name.
    None,
    /// The first: to be kept when it is restored.
    First,
    /// Another name of this one.
    Other(Arc<FirstName<D>>),
    /// Another file than those before it with this inode number: it is a first name too.
    Differs,
}

impl<D: Destination> Default for Links<D> {
    fn default() -> Links<D> {
        Links { groups: HashMap::new(), count: 0 }
    }
}

impl<D: Destination> Links<D> {
    /// Looks an entry up.
    pub fn meet(&mut self, entry: &Entry, _folder: &Folder<D>, _name: &[u8]) -> Link<D> {
        let meta = &entry.meta;
        if meta.nlink < 2 {
            return Link::None;
        }
        let key = (meta.device, meta.inode);
        let first = if self.count < LINK_GROUPS_MAX { Link::First } else { Link::None };
        let Some(groups) = self.groups.get_mut(&key) else { return first };
        let own = fingerprint(entry);
        let Some(at) = groups.iter().position(|group| group.fingerprint == own) else {
            return if self.count < LINK_GROUPS_MAX { Link::Differs } else { Link::None };
        };
        let group = &mut groups[at];
        group.met += 1;
        let first = group.first.clone();
        if group.met >= meta.nlink {
            groups.swap_remove(at);
            self.count -= 1;
            if groups.is_empty() {
                self.groups.remove(&key);
            }
        }
        Link::Other(first)
    }

    /// Keeps the first name of a group.
    pub fn keep(&mut self, entry: &Entry, first: Arc<FirstName<D>>) {
        let group = Group { first, fingerprint: fingerprint(entry), met: 1 };
        self.groups.entry((entry.meta.device, entry.meta.inode)).or_default().push(group);
        self.count += 1;
    }
}

/// Stands for content and for what an inode has once, whatever its names; equal for names of one file that did not change
/// between them. Extended attributes cannot differ where the ctime does not.
pub fn fingerprint(entry: &Entry) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    let meta = &entry.meta;
    hasher.update(&[meta.kind as u8]);
    for number in [meta.mode, meta.uid, meta.gid, meta.mtime.ns, meta.ctime.ns] {
        hasher.update(&number.to_le_bytes());
    }
    for number in [meta.size, meta.mtime.s as u64, meta.ctime.s as u64] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&(meta.target.len() as u64).to_le_bytes());
    hasher.update(&entry.meta.target);
    hasher.update(&u64::from(entry.meta.rdev.0).to_le_bytes());
    hasher.update(&u64::from(entry.meta.rdev.1).to_le_bytes());
    match &entry.content {
        Content::Empty | Content::Unreadable => {}
        Content::Inline(bytes) => _ = hasher.update(b"inline").update(bytes),
        Content::Items(items) => {
            for item in items {
                match item {
                    Item::Chunk { id, len } => _ = hasher.update(id.as_bytes()).update(&len.to_le_bytes()),
                    Item::Hole { len } => _ = hasher.update(&[0; 32]).update(&len.to_le_bytes()),
                }
            }
        }
        Content::List { id, .. } => _ = hasher.update(b"list").update(id.as_bytes()),
    }
    hasher.finalize().as_bytes()[..16].try_into().unwrap_or_default()
}
