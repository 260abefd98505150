//! The parent snapshot's entries, read ahead in tree order for the merge-join with the walk.

use super::scan::item_is_stored;
use crate::base::id::ContentId;
use crate::base::time::Time;
use crate::format::list::ListNode;
use crate::format::tree::{Content, Entry};
use crate::store::Store;
use crate::tree::reader::Reader;
use crossbeam_channel::{Receiver, Sender};
use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Entries handed over at once.
const RUN: usize = 512;

/// The receiving end: entries by ascending key.
pub struct ParentEntries {
    input: Receiver<Vec<Entry>>,
    run: std::vec::IntoIter<Entry>,
    next: Option<Entry>,
    /// Only times before this are trusted: the parent's start by the source's clock, minus 2 s.
    pub trusted_before: Time,
    /// Reads lists of long files.
    lists: RefCell<Reader>,
}

impl ParentEntries {
    /// Entries that come from [`read`].
    pub fn new(store: Arc<Store>, input: Receiver<Vec<Entry>>, parent_started: Time) -> ParentEntries {
        ParentEntries {
            input,
            run: Vec::new().into_iter(),
            next: None,
            trusted_before: parent_started.plus_seconds(-2),
            lists: RefCell::new(Reader::new(store, 0)),
        }
    }

    /// Whether all of a long file's content lies where it can be relied on: the nodes of its list and its chunks. Reads
    /// the list, so it is asked only in stores in which damage was found.
    pub fn is_list_stored(&self, content: &Content) -> bool {
        let Content::List { id, .. } = content else { return true };
        let mut lists = self.lists.borrow_mut();
        let store = lists.store().clone();
        let (mut seen, mut left) = (HashSet::from([*id]), vec![*id]);
        while let Some(id) = left.pop() {
            // Read first: what turns out damaged then is not relied on any more.
            let Ok(node) = lists.list(&id) else { return false };
            let index = store.index.read();
            let items_are = match &node {
                ListNode::Leaf(items) => items.iter().all(|item| item_is_stored(&index, item)),
                ListNode::Inner { .. } => true,
            };
            if !items_are || !index.contains(&id) {
                return false;
            }
            if let ListNode::Inner { children, .. } = node {
                left.extend(children.iter().map(|child| child.id).filter(|id| seen.insert(*id)));
            }
        }
        true
    }

    /// The parent's entry of exactly this key. Keys must be asked for in ascending order.
    pub fn take(&mut self, key: &[u8]) -> Option<Entry> {
        loop {
            if self.next.is_none() {
                self.next = self.run.next();
            }
            match &self.next {
                Some(entry) if entry.key.as_slice() < key => self.next = None,
                Some(entry) if entry.key == key => return self.next.take(),
                Some(_) => return None,
                None => self.run = self.input.recv().ok()?.into_iter(),
            }
        }
    }
}

/// Reads the parent's tree until its end or until nobody listens. Entries in nodes that cannot be read are simply not
/// there: their files are read again, and nodes that are damaged are not relied on from then on.
pub fn read(store: &Arc<Store>, root: ContentId, stop: &AtomicBool, output: Sender<Vec<Entry>>) {
    let mut reader = Reader::new(store.clone(), 0);
    let mut run = Vec::with_capacity(RUN);
    let result = reader.entries(
        &root,
        &[],
        &[],
        &mut |entry| {
            run.push(entry);
            if run.len() == RUN {
                let full = std::mem::replace(&mut run, Vec::with_capacity(RUN));
                if output.send(full).is_err() || stop.load(Relaxed) {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        },
        &mut |_, _| ControlFlow::Continue(()),
    );
    if result.is_ok() {
        _ = output.send(run);
    }
}
