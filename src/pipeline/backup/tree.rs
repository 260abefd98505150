//! The tree stage: entries go in order into the tree of the snapshot, and nodes that the store lacks go into tree packs.
//!
//! Takes: [`TreeBatch`]es in stream order from dedup. Gives: the root and its totals. Owns: the pack writer of trees,
//! links not yet complete, the tree and the list under construction. Bound: one place a permit. Errors: the store's.

use super::context::BackupContext;
use super::item::{BatchEntry, EntryContent, FirstLink, Link, Plan, TreeBatch};
use super::{mark, upload};
use crate::base::id::ContentId;
use crate::base::path::path_of;
use crate::crypto::hash::content_id;
use crate::format::blob::BlobKind;
use crate::format::extension::with_file_flags;
use crate::format::list::{Item, ListNode};
use crate::format::tree::{Content, Entry, Meta};
use crate::object::writer::{PackWriter, StoredPack};
use crate::store::StoreError;
use crate::store::session::Session;
use crate::tree::build::{Pushed, PutBlob, Root, TreeBuilder};
use crate::tree::list::ListBuilder;
use crossbeam_channel::Receiver;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// Stores nodes that are not there yet.
pub(super) struct NodeStore<'a> {
    context: &'a BackupContext,
    pub(super) session: &'a Session,
    packs: PackWriter,
}

impl PutBlob for NodeStore<'_> {
    fn put(&mut self, kind: BlobKind, plain: &[u8]) -> Result<ContentId, StoreError> {
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
}

impl NodeStore<'_> {
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
fn tell(context: &BackupContext, session: &Session, packs: Vec<StoredPack>) -> Result<(), StoreError> {
    packs.into_iter().try_for_each(|pack| {
        context.counts.metadata_bytes.fetch_add(u64::from(pack.len), Relaxed);
        upload::stored(context, session, pack)
    })
}

/// The entries of one snapshot on their way into its tree.
struct Entries<'a> {
    store: NodeStore<'a>,
    tree: TreeBuilder,
    list: ListBuilder,
}

/// The plain thread. `None` when the run failed.
pub fn run(
    context: &Arc<BackupContext>,
    session: &Session,
    packs: PackWriter,
    input: Receiver<TreeBatch>,
) -> Option<Root> {
    let meter = &context.meters.tree;
    let mut entries = Entries::new(context, session, packs);
    while let Some(batch) = meter.recv(&input) {
        meter.work(|| context.failure.guard(|| Ok(entries.batch(batch)?)));
    }
    meter.work(|| context.failure.guard(|| Ok(entries.finish()?)))
}

impl<'a> Entries<'a> {
    fn new(context: &'a BackupContext, session: &'a Session, packs: PackWriter) -> Entries<'a> {
        Entries {
            store: NodeStore { context, session, packs },
            tree: TreeBuilder::new(&context.config, &context.ring.keys.boundary),
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
            meta.xattrs = std::mem::take(&mut *big.xattrs.lock());
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
            "the first hard link of this file was removed, replaced or unreadable when it was read: the next backup \
             reads this one"
                .into();
        self.store.context.problem(&path_of(key), message);
        None
    }

    fn push(&mut self, entry: &Entry) -> Result<(), StoreError> {
        if let Pushed::LeftOut(why) = self.tree.push(entry, &mut self.store)? {
            self.store.context.problem(&path_of(&entry.key), why);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Root, StoreError> {
        let root = self.tree.finish(&mut self.store)?;
        let not_listed = self.store.context.take_not_listed();
        let root = mark::not_listed(&mut self.store, root, &not_listed);
        let NodeStore { context, session, packs } = self.store;
        tell(context, session, packs.finish()?)?;
        Ok(root)
    }
}
