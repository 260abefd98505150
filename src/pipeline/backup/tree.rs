//! The tree builder: entries in order become content-defined nodes, and nodes that the store lacks go into tree packs.
//!
//! Takes: [`TreeBatch`]es in stream order from dedup. Gives: the root and its totals. Owns: the pack writer of trees,
//! links not yet complete, a node under construction per level. Bound: one place a permit. Errors: the store's.

use super::context::Context;
use super::item::{BatchEntry, EntryContent, FirstLink, Link, Plan, TreeBatch};
use super::level::Level;
use super::list::ListBuilder;
use super::{mark, upload};
use crate::base::id::ContentId;
use crate::base::path::path_of;
use crate::crypto::hash::content_id;
use crate::format::blob::BlobKind;
use crate::format::extension::with_file_flags;
use crate::format::list::{Item, ListNode};
use crate::format::tree::{Child, Content, Entry, LeafEncoder, Meta, Node, Totals};
use crate::object::writer::{PackWriter, StoredPack};
use crate::store::StoreError;
use crate::store::session::Session;
use crossbeam_channel::Receiver;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// The finished tree.
#[derive(Debug, Clone, Copy)]
pub struct Root {
    /// The root node.
    pub id: ContentId,
    /// Its level.
    pub level: u8,
    /// Totals of the tree.
    pub totals: Totals,
}

/// Stores nodes that are not there yet.
pub(super) struct NodeStore<'a> {
    context: &'a Context,
    pub(super) session: &'a Session,
    packs: PackWriter,
}

impl NodeStore<'_> {
    /// Stores a node or a list, if it is not there yet.
    pub(super) fn put(&mut self, kind: BlobKind, plain: &[u8]) -> Result<ContentId, StoreError> {
        let keys = &self.context.ring.keys;
        let id = content_id(if kind == BlobKind::Node { &keys.node_id } else { &keys.list_id }, plain);
        let generation = self.context.claims.generation();
        if self.context.in_index(&id) || !self.context.claim(id, generation) {
            return Ok(id);
        }
        match self.context.adoptable.get(&id) {
            Some(location) => self.context.claims.release(self.session.adopted(&[(id, location)])?),
            None => self.packs.append(kind, id, plain)?,
        }
        tell(self.context, self.session, self.packs.take_stored())?;
        Ok(id)
    }

    /// Something a person should know.
    pub(super) fn note(&self, message: &str) {
        self.context.monitor.note(message);
    }

    /// From here on a reader finds everything that was put.
    pub(super) fn make_readable(&mut self) -> Result<(), StoreError> {
        self.packs.close_open()?;
        tell(self.context, self.session, self.packs.take_stored())?;
        self.context.claims.release(self.session.install_rows()?);
        Ok(())
    }
}

/// Packs of trees that became durable.
fn tell(context: &Context, session: &Session, packs: Vec<StoredPack>) -> Result<(), StoreError> {
    packs.into_iter().try_for_each(|pack| {
        context.counts.metadata_bytes.fetch_add(u64::from(pack.len), Relaxed);
        upload::stored(context, session, pack)
    })
}

/// Builds the tree of one snapshot.
pub struct TreeBuilder<'a> {
    store: NodeStore<'a>,
    boundary_key: &'a [u8; 32],
    leaf: LeafEncoder,
    /// The last key of the leaf before.
    ended: Option<Vec<u8>>,
    levels: Vec<Level<Child>>,
    list: ListBuilder,
}

/// The plain thread. `None` when the run failed.
pub fn run(context: &Arc<Context>, session: &Session, packs: PackWriter, input: Receiver<TreeBatch>) -> Option<Root> {
    let meter = &context.meters.tree;
    let mut builder = TreeBuilder::new(context, session, packs);
    while let Some(batch) = meter.recv(&input) {
        meter.work(|| context.failure.guard(|| builder.batch(batch)));
    }
    meter.work(|| context.failure.guard(|| builder.finish()))
}

impl<'a> TreeBuilder<'a> {
    fn new(context: &'a Context, session: &'a Session, packs: PackWriter) -> TreeBuilder<'a> {
        TreeBuilder {
            store: NodeStore { context, session, packs },
            boundary_key: &context.ring.keys.boundary,
            leaf: LeafEncoder::default(),
            ended: None,
            levels: Vec::new(),
            list: ListBuilder::default(),
        }
    }

    fn batch(&mut self, batch: TreeBatch) -> Result<(), StoreError> {
        self.pieces(batch.pieces)?;
        batch.entries.into_iter().try_for_each(|(entry, content)| self.entry(entry, content))
    }

    fn pieces(&mut self, pieces: impl IntoIterator<Item = Item>) -> Result<(), StoreError> {
        let store = &mut self.store;
        let mut put = |node: &ListNode| store.put(BlobKind::List, &node.encode());
        pieces.into_iter().try_for_each(|item| self.list.push(item, &mut put))
    }

    fn finish_list(&mut self) -> Result<Content, StoreError> {
        let store = &mut self.store;
        self.list.finish(&mut |node: &ListNode| store.put(BlobKind::List, &node.encode()))
    }

    fn entry(&mut self, batch_entry: BatchEntry, content: EntryContent) -> Result<(), StoreError> {
        let BatchEntry { found, plan, xattrs, mut changed, before, parent, link, .. } = batch_entry;
        let (mut meta, mut flags) = (found.meta, found.flags);
        meta.xattrs = xattrs.unwrap_or_default();
        let mut content = match content {
            EntryContent::Ready(content) => content,
            EntryContent::Items(items) => {
                self.pieces(items)?;
                self.finish_list()?
            }
            EntryContent::Pieces => {
                // The size of a file is that of what is stored of it, whatever the system said.
                meta.size = self.list.bytes();
                self.finish_list()?
            }
            EntryContent::Linked => match self.linked(link.as_ref(), &found.key) {
                Some(first) => {
                    (meta, flags, changed) = (first.meta.clone(), first.flags, first.changed);
                    first.content.clone()
                }
                None => Content::Unreadable,
            },
        };
        if let Plan::Big(big) = plan {
            flags |= big.file.get().and_then(|file| file.as_ref()).map_or(0, |file| file.more_flags());
            changed = big.changed.load(Acquire);
            if let Some((other, was_as_walked)) = big.state.other() {
                meta = Meta { size: meta.size, ..other.clone() };
                changed |= was_as_walked;
            }
            meta.xattrs = std::mem::take(&mut *big.xattrs.lock().unwrap_or_else(|e| e.into_inner()));
            if big.vanished.load(Acquire) {
                return Ok(());
            }
            if big.failed.load(Acquire) {
                content = Content::Unreadable;
            }
        }
        if content == Content::Unreadable {
            meta.size = 0;
            changed = false;
        }
        if let Some(Link::First(group)) = &link {
            _ = group.first.set(FirstLink { content: content.clone(), meta: meta.clone(), flags, changed });
        }
        if before.is_some_and(|before| before == content) {
            self.store.context.counts.files_equal.fetch_add(1, Relaxed);
        }
        let extensions = with_file_flags(flags);
        let entry = Entry { key: found.key, meta, content, changed_while_read: changed, extensions };
        if let Some(comparison) = &self.store.context.comparison {
            comparison.compare(&entry, parent.as_deref());
        }
        self.push(&entry)
    }

    /// What the first name of the file brought. `None` when that was another file by the time it was read, or could not
    /// be read, and this name had passed the reader by then.
    fn linked<'l>(&self, link: Option<&'l Link>, key: &[u8]) -> Option<&'l FirstLink> {
        if let Some(Link::Later(group)) = link
            && !group.astray.load(Acquire)
            && let Some(first) = group.first.get()
        {
            return Some(first);
        }
        let message =
            "another name of this file came first, and was removed, replaced or unreadable by the time it was \
                       read: the next backup reads this one"
                .into();
        self.store.context.problem(&path_of(key), message);
        None
    }

    fn push(&mut self, entry: &Entry) -> Result<(), StoreError> {
        // A file system may say what no decoder would accept (a FUSE mount with a time of 2 s in nanoseconds, say): one
        // such entry must not make its whole node unreadable.
        if let Err(reason) = entry.check() {
            let message = format!("left out: what the file system says of it cannot be recorded: {reason}");
            self.store.context.problem(&path_of(&entry.key), message);
            return Ok(());
        }
        // Nor must one that comes twice, as some file systems list a name, or too late.
        if self.leaf.last_key().or(self.ended.as_deref()).is_some_and(|before| before >= entry.key.as_slice()) {
            let message = "left out: it was listed more than once, or out of order".into();
            self.store.context.problem(&path_of(&entry.key), message);
            return Ok(());
        }
        let config = &self.store.context.config;
        self.leaf.push(entry);
        let len = self.leaf.len();
        let ends = len >= config.node_bytes_max as usize
            || (len >= config.node_bytes_min as usize
                && boundary(self.boundary_key, 0, &entry.key) < config.node_threshold);
        if ends { self.flush_leaf() } else { Ok(()) }
    }

    fn flush_leaf(&mut self) -> Result<(), StoreError> {
        let (first, totals) = (self.leaf.first_key().to_vec(), self.leaf.totals());
        self.ended = self.leaf.last_key().map(<[u8]>::to_vec);
        let id = self.store.put(BlobKind::Node, &self.leaf.finish())?;
        self.child(0, Child { first, id, totals })
    }

    /// Adds a finished node to the level above it, and so on upwards.
    fn child(&mut self, mut level: usize, mut child: Child) -> Result<(), StoreError> {
        loop {
            if self.levels.len() == level {
                self.levels.push(Level::default());
            }
            let (config, key) = (&self.store.context.config, self.boundary_key);
            let ended = self.levels[level].push(child, |open| {
                let bytes: usize = open.iter().map(|c| c.first.len() + CHILD_BYTES).sum();
                let last = open.last().map_or(&[][..], |c| &c.first);
                bytes >= config.node_bytes_max as usize
                    || (bytes >= config.node_bytes_min as usize
                        && boundary(key, level as u8 + 1, last) < config.node_threshold.saturating_mul(INNER_ODDS))
            });
            let Some(children) = ended else { return Ok(()) };
            child = self.inner(level, children)?;
            level += 1;
        }
    }

    fn inner(&mut self, level: usize, children: Vec<Child>) -> Result<Child, StoreError> {
        let first = children[0].first.clone();
        let node = Node::Inner { level: level as u8 + 1, children };
        let totals = node.totals();
        Ok(Child { first, id: self.store.put(BlobKind::Node, &node.encode())?, totals })
    }

    fn finish(mut self) -> Result<Root, StoreError> {
        if self.leaf.count() > 0 || self.levels.is_empty() {
            self.flush_leaf()?;
        }
        let mut level = 0;
        let root = loop {
            let mut children = self.levels[level].finish();
            if level + 1 == self.levels.len() && children.len() == 1 {
                let root = children.remove(0);
                break Root { id: root.id, level: level as u8, totals: root.totals };
            }
            let child = self.inner(level, children)?;
            level += 1;
            self.child(level, child)?;
        };
        let not_listed = self.store.context.take_not_listed();
        let root = mark::not_listed(&mut self.store, root, &not_listed);
        let NodeStore { context, session, packs } = self.store;
        tell(context, session, packs.finish()?)?;
        Ok(root)
    }
}

/// What a child takes beside its key, about.
const CHILD_BYTES: usize = 48;
/// Inner nodes hold fewer, larger items than leaves: they end more readily.
const INNER_ODDS: u32 = 4;

/// What decides whether a node ends after `key`.
fn boundary(key: &[u8; 32], level: u8, entry_key: &[u8]) -> u32 {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&[level]).update(entry_key);
    let hash = hasher.finalize();
    let bytes = hash.as_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
