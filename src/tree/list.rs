//! Content of a file as items: inline in its entry up to 64, above that a tree of lists.
//!
//! A list node ends at a chunk whose id (a keyed hash already, so as good as random) begins below a threshold, never
//! before `ITEMS_MIN` and always by `ITEMS_MAX` items: equal runs of chunks give equal nodes wherever they lie. The
//! levels above are cut in the same way by the nodes' ids. Built as the items come: a node at most is held per level.

use super::level::Level;
use crate::base::id::ContentId;
use crate::base::limits::LIST_ITEMS_INLINE;
use crate::format::list::{Item, ListChild, ListNode};
use crate::format::tree::Content;
use crate::store::StoreError;

const ITEMS_MIN: usize = 64;
const ITEMS_MAX: usize = 1024;
/// One id in 256 ends a node.
const THRESHOLD: u32 = 1 << 24;

fn ends(id: &ContentId, count: usize) -> bool {
    let head = u32::from_le_bytes([id.0[0], id.0[1], id.0[2], id.0[3]]);
    count >= ITEMS_MAX || (count >= ITEMS_MIN && head < THRESHOLD)
}

/// Where list nodes go: gives their id.
pub type StoreNode<'a> = dyn FnMut(&ListNode) -> Result<ContentId, StoreError> + 'a;

/// Gathers the items of one file.
#[derive(Default)]
pub struct ListBuilder {
    items: Vec<Item>,
    count: u64,
    bytes: u64,
    /// Open nodes of level 1, 2, ….
    levels: Vec<Level<ListChild>>,
}

impl ListBuilder {
    /// Takes the next item. Holes that meet become one.
    pub fn push(&mut self, item: Item, store: &mut StoreNode<'_>) -> Result<(), StoreError> {
        if item.len() == 0 {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(item.len());
        if let (Item::Hole { len }, Some(Item::Hole { len: last })) = (item, self.items.last_mut()) {
            *last += len;
            return Ok(());
        }
        // Only a chunk ends a node, and only once an item follows: short files never become a tree.
        let full = self.items.len() >= LIST_ITEMS_INLINE
            && matches!(self.items.last(), Some(Item::Chunk { id, .. }) if ends(id, self.items.len()));
        if full {
            self.flush_leaf(store)?;
        }
        self.items.push(item);
        self.count += 1;
        Ok(())
    }

    fn flush_leaf(&mut self, store: &mut StoreNode<'_>) -> Result<(), StoreError> {
        let bytes = self.items.iter().map(Item::len).sum();
        let items = self.items.len() as u64;
        let id = store(&ListNode::Leaf(std::mem::take(&mut self.items)))?;
        self.child(0, ListChild { id, bytes, items }, store)
    }

    /// Adds a finished node to the level above it, and so on upwards.
    fn child(&mut self, mut level: usize, mut child: ListChild, store: &mut StoreNode<'_>) -> Result<(), StoreError> {
        loop {
            if self.levels.len() == level {
                self.levels.push(Level::default());
            }
            let ended = self.levels[level].push(child, |open| open.last().is_some_and(|c| ends(&c.id, open.len())));
            let Some(node) = ended else { return Ok(()) };
            child = inner(level, node, store)?;
            level += 1;
        }
    }

    /// Bytes of all items so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file's content; the builder is empty again.
    pub fn finish(&mut self, store: &mut StoreNode<'_>) -> Result<Content, StoreError> {
        self.bytes = 0;
        let items = std::mem::take(&mut self.count);
        if self.levels.is_empty() && self.items.len() <= LIST_ITEMS_INLINE {
            let items = std::mem::take(&mut self.items);
            return Ok(if items.is_empty() { Content::Empty } else { Content::Items(items) });
        }
        self.flush_leaf(store)?;
        let mut level = 0;
        loop {
            let node = self.levels[level].finish();
            if level + 1 == self.levels.len() && node.len() == 1 {
                self.levels.clear();
                return Ok(Content::List { id: node[0].id, level: level as u8, items });
            }
            let child = inner(level, node, store)?;
            level += 1;
            self.child(level, child, store)?;
        }
    }
}

fn inner(level: usize, children: Vec<ListChild>, store: &mut StoreNode<'_>) -> Result<ListChild, StoreError> {
    let bytes = children.iter().map(|c| c.bytes).sum();
    let items = children.iter().map(|c| c.items).sum();
    let id = store(&ListNode::Inner { level: level as u8 + 1, children })?;
    Ok(ListChild { id, bytes, items })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn build(items: &[Item]) -> (Content, HashMap<ContentId, ListNode>) {
        let mut nodes = HashMap::new();
        let mut store = |node: &ListNode| {
            let id = crate::crypto::hash::content_id(&[7; 32], &node.encode());
            nodes.insert(id, node.clone());
            Ok(id)
        };
        let mut builder = ListBuilder::default();
        items.iter().for_each(|item| builder.push(*item, &mut store).unwrap());
        (builder.finish(&mut store).unwrap(), nodes)
    }

    fn flatten(id: &ContentId, nodes: &HashMap<ContentId, ListNode>, level: u8, out: &mut Vec<Item>) {
        match &nodes[id] {
            ListNode::Leaf(items) => {
                assert_eq!(level, 0);
                out.extend(items);
            }
            ListNode::Inner { level: own, children } => {
                assert_eq!(*own, level);
                assert!(children.len() >= 2);
                for child in children {
                    let before = out.len();
                    flatten(&child.id, nodes, level - 1, out);
                    assert_eq!(child.items, (out.len() - before) as u64);
                    assert_eq!(child.bytes, out[before..].iter().map(Item::len).sum::<u64>());
                }
            }
        }
    }

    fn chunks(range: std::ops::Range<u64>) -> Vec<Item> {
        let id = |n: u64| crate::crypto::hash::content_id(&[1; 32], &n.to_le_bytes());
        range.map(|n| Item::Chunk { id: id(n), len: 1 + (n % 9) as u32 }).collect()
    }

    #[test]
    fn lists_of_any_length_give_their_items_back() {
        for count in [0, 1, 2, 63, 64, 65, 66, 1000, 30_000, 120_000] {
            let items = chunks(0..count);
            let (content, nodes) = build(&items);
            match content {
                Content::Empty => assert_eq!(count, 0),
                Content::Items(found) => assert_eq!(found, items),
                Content::List { id, level, items: total } => {
                    let mut found = vec![];
                    flatten(&id, &nodes, level, &mut found);
                    assert_eq!((found, total), (items, count));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_insertion_changes_few_nodes() {
        let before = build(&chunks(0..20_000)).1;
        let after = build(&[chunks(0..500), chunks(90_000..90_001), chunks(500..20_000)].concat()).1;
        let fresh = after.keys().filter(|id| !before.contains_key(id)).count();
        assert!(before.len() > 50 && fresh <= 6, "{fresh} of {}", after.len());
    }

    #[test]
    fn holes_that_meet_become_one() {
        let hole = |len| Item::Hole { len };
        assert_eq!(build(&[hole(1), hole(2), hole(0), hole(3)]).0, Content::Items(vec![hole(6)]));
    }
}
