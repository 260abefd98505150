//! Walks trees and lists without recursion, and compares each node with what its parent says of it.

use super::reader::Reader;
use crate::base::id::ContentId;
use crate::base::limits::TREE_LEVELS_MAX;
use crate::format::blob::BlobKind;
use crate::format::list::{Item, ListChild, ListNode};
use crate::format::tree::{Child, Content, Entry, Node, Totals};
use crate::object::ObjectError;
use crate::store::StoreError;
use std::ops::{ControlFlow, Range};

/// Is told of a node that cannot be read: the range of keys that is lost with it, and why. The error says whether the
/// node is damaged or the storage failed.
pub type EachDamaged<'a> = dyn FnMut(Range<&[u8]>, StoreError) -> ControlFlow<()> + 'a;

/// A node to be read, and what is known of it.
struct Expected {
    id: ContentId,
    /// Its keys lie from here…
    from: Vec<u8>,
    /// … up to here; empty: no bound.
    until: Vec<u8>,
    /// What its parent says; `None` for the root.
    parent: Option<(u8, Totals)>,
}

fn before(key: &[u8], until: &[u8]) -> bool {
    until.is_empty() || key < until
}

/// The keys of a node's first and last items.
fn ends(node: &Node) -> Option<(&[u8], &[u8])> {
    match node {
        Node::Leaf(entries) => Some((&entries.first()?.key, &entries.last()?.key)),
        Node::Inner { children, .. } => Some((&children.first()?.first, &children.last()?.first)),
    }
}

impl Expected {
    fn root(id: &ContentId) -> Expected {
        Expected { id: *id, from: Vec::new(), until: Vec::new(), parent: None }
    }

    fn child(level: u8, child: Child, until: Vec<u8>) -> Expected {
        Expected { id: child.id, from: child.first, until, parent: Some((level, child.totals)) }
    }

    /// Whether the node is what its parent says, so that levels descend, keys stay in their range and totals add up.
    fn fits(&self, node: &Node) -> bool {
        let level = match node {
            Node::Leaf(_) => 0,
            Node::Inner { level, .. } => *level,
        };
        let below = self.parent.map_or(TREE_LEVELS_MAX as u8, |(level, _)| level);
        let level_fits = if self.parent.is_some() { level + 1 == below } else { level < below };
        let totals_fit = self.parent.is_none_or(|(_, totals)| totals == node.totals());
        let keys_fit = match ends(node) {
            Some((first, last)) => (self.parent.is_none() || first == self.from) && before(last, &self.until),
            None => self.parent.is_none(),
        };
        level_fits && totals_fit && keys_fit
    }
}

fn wrong(kind: BlobKind, id: &ContentId) -> StoreError {
    ObjectError::Mismatch { object: format!("{kind:?} {id} is not what its parent says") }.into()
}

impl Reader {
    fn expected(&mut self, expected: &Expected) -> Result<Node, StoreError> {
        let node = self.node(&expected.id)?;
        if expected.fits(&node) { Ok(node) } else { Err(wrong(BlobKind::Node, &expected.id)) }
    }

    /// Entries with keys in `[from, to)` (`to` empty: to the end), in order. A node that cannot be read is handed to
    /// `damaged` with the range of keys that is lost with it (an empty end: to the end of the tree) and passed over.
    pub fn entries(
        &mut self,
        root: &ContentId,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
        damaged: &mut EachDamaged<'_>,
    ) -> Result<(), StoreError> {
        let mut stack = vec![Expected::root(root)];
        while let Some(next) = stack.pop() {
            let flow = match self.expected(&next) {
                Ok(Node::Leaf(entries)) => {
                    let wanted = entries.into_iter().filter(|e| e.key.as_slice() >= from && before(&e.key, to));
                    let mut wanted = wanted;
                    wanted.try_for_each(&mut *each)
                }
                Ok(Node::Inner { level, children }) => {
                    push_children(&mut stack, level, children, &next.until, from, to);
                    ControlFlow::Continue(())
                }
                Err(error) if error.is_damage() || error.is_unreadable() => damaged(&next.from..&next.until, error),
                Err(error) => return Err(error),
            };
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The entry of one key.
    pub fn entry(&mut self, root: &ContentId, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let mut next = Expected::root(root);
        loop {
            match self.expected(&next)? {
                Node::Leaf(mut entries) => {
                    let found = entries.binary_search_by(|entry| entry.key.as_slice().cmp(key));
                    return Ok(found.ok().map(|at| entries.swap_remove(at)));
                }
                Node::Inner { level, mut children } => {
                    let after = children.partition_point(|child| child.first.as_slice() <= key);
                    let Some(at) = after.checked_sub(1) else { return Ok(None) };
                    let until = children.get_mut(after).map_or(next.until, |child| std::mem::take(&mut child.first));
                    next = Expected::child(level, children.swap_remove(at), until);
                }
            }
        }
    }

    /// Items of a file's content in order, lists resolved.
    pub fn items(
        &mut self,
        content: &Content,
        each: &mut dyn FnMut(Item) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let (root, level, items) = match content {
            Content::Items(items) => {
                _ = items.iter().copied().try_for_each(each);
                return Ok(());
            }
            Content::List { id, level, items } => (*id, *level, *items),
            Content::Empty | Content::Inline(_) | Content::Unreadable => return Ok(()),
        };
        // (node, level, items below it, bytes if they are known)
        let mut stack = vec![(root, level, items, None)];
        while let Some((id, level, items, bytes)) = stack.pop() {
            let node = self.list(&id)?;
            let (found_level, found_items, found_bytes) = measure(&node);
            if found_level != level || found_items != items || bytes.is_some_and(|bytes| bytes != found_bytes) {
                return Err(wrong(BlobKind::List, &id));
            }
            match node {
                ListNode::Leaf(items) => {
                    if items.into_iter().try_for_each(&mut *each).is_break() {
                        return Ok(());
                    }
                }
                ListNode::Inner { level, children } => {
                    let below = level.checked_sub(1).ok_or_else(|| wrong(BlobKind::List, &id))?;
                    let child = |c: &ListChild| (c.id, below, c.items, Some(c.bytes));
                    stack.extend(children.iter().rev().map(child));
                }
            }
        }
        Ok(())
    }
}

/// Level, items and bytes of a list node.
fn measure(node: &ListNode) -> (u8, u64, u64) {
    match node {
        ListNode::Leaf(items) => {
            (0, items.len() as u64, items.iter().fold(0, |sum, item| item.len().saturating_add(sum)))
        }
        ListNode::Inner { level, children } => {
            let sum = |f: fn(&ListChild) -> u64| children.iter().map(f).fold(0, u64::saturating_add);
            (*level, sum(|child| child.items), sum(|child| child.bytes))
        }
    }
}

/// The children that can hold keys in `[from, to)`, so that the first of them is popped first.
fn push_children(stack: &mut Vec<Expected>, level: u8, children: Vec<Child>, until: &[u8], from: &[u8], to: &[u8]) {
    let mut until = until.to_vec();
    for child in children.into_iter().rev() {
        let next_until = child.first.clone();
        let overlaps = before(&child.first, to) && (until.is_empty() || until.as_slice() > from);
        if overlaps {
            stack.push(Expected::child(level, child, until));
        }
        until = next_until;
    }
}
