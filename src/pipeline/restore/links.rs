//! Names of one file: the first is restored, the others are linked to it.

use super::item::{FirstName, Folder};
use crate::base::limits::LINK_GROUPS_MAX;
use crate::destination::Destination;
use crate::format::list::Item;
use crate::format::tree::{Content, Entry};
use std::collections::HashMap;
use std::sync::Arc;

/// Groups whose names did not all come yet. Beyond the limit further names become files of their own.
pub struct Links<D: Destination>(HashMap<(u64, u64), Group<D>>);

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
    /// Another name by its inode, but not by its content.
    Differs,
}

impl<D: Destination> Default for Links<D> {
    fn default() -> Links<D> {
        Links(HashMap::new())
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
        let Some(group) = self.0.get_mut(&key) else {
            return if self.0.len() < LINK_GROUPS_MAX { Link::First } else { Link::None };
        };
        group.met += 1;
        let same = group.fingerprint == fingerprint(entry);
        let first = group.first.clone();
        if group.met >= meta.nlink {
            self.0.remove(&key);
        }
        if same { Link::Other(first) } else { Link::Differs }
    }

    /// Keeps the first name of a group.
    pub fn keep(&mut self, entry: &Entry, first: Arc<FirstName<D>>) {
        let group = Group { first, fingerprint: fingerprint(entry), met: 1 };
        self.0.insert((entry.meta.device, entry.meta.inode), group);
    }
}

/// Stands for kind and content; equal for names of one file that did not change between them.
pub fn fingerprint(entry: &Entry) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[entry.meta.kind as u8]);
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
