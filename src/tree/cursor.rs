//! A position in a snapshot's tree that can step over whole subtrees. `diff` and `find` walk with it.

use super::place::KeyRange;
use super::reader::Reader;
use crate::base::id::ContentId;
use crate::format::tree::{Child, Entry, Node};
use crate::object::ObjectError;
use crate::store::StoreError;
use crate::store::snapshots::Snapshot;

#[cfg(test)]
pub mod testing;

/// What lies at a cursor: a subtree that has not been opened, or an entry.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// A node nobody has looked into yet.
    Subtree {
        /// Its id: equal ids hold equal entries.
        id: &'a ContentId,
        level: u8,
    },
    Entry,
}

enum Frame {
    /// Children of a node of this level, and which is next.
    Inner(u8, std::vec::IntoIter<Child>),
    /// Entries of a leaf.
    Leaf(std::vec::IntoIter<Entry>),
}

/// Gives nodes: a store's reader, or a map in tests.
pub trait Nodes {
    /// The decoded node.
    fn node(&mut self, id: &ContentId) -> Result<Node, StoreError>;
}

impl Nodes for Reader {
    fn node(&mut self, id: &ContentId) -> Result<Node, StoreError> {
        Reader::node(self, id)
    }
}

/// Walks the entries of a tree in order, within a range of keys. Holds one node a level.
pub struct TreeCursor<N: Nodes> {
    nodes: N,
    range: KeyRange,
    stack: Vec<Frame>,
}

impl<N: Nodes> TreeCursor<N> {
    /// Before the first entry in `range` of the snapshot's tree.
    pub fn new(nodes: N, snapshot: &Snapshot, range: KeyRange) -> TreeCursor<N> {
        Self::at_root(nodes, snapshot.manifest.root, snapshot.manifest.root_level, range)
    }

    /// The same for a root and its level.
    pub fn at_root(nodes: N, root: ContentId, level: u8, range: KeyRange) -> TreeCursor<N> {
        let root = Child { first: Vec::new(), id: root, totals: Default::default() };
        // As if the root were the only child of a node above it; 255 is beyond every level that a decoder accepts.
        let above = level.saturating_add(1);
        TreeCursor { nodes, range, stack: vec![Frame::Inner(above, vec![root].into_iter())] }
    }

    /// The first key of what lies here (not below the range's first key) and what it is; `None` at the end.
    pub fn peek(&mut self) -> Option<(&[u8], Place<'_>)> {
        while self.stack.last().is_some_and(Frame::is_done) {
            self.stack.pop();
        }
        let KeyRange { from, to } = &self.range;
        let (first, place) = match self.stack.last()? {
            Frame::Inner(level, children) => {
                let child = children.as_slice().first()?;
                (child.first.as_slice(), Place::Subtree { id: &child.id, level: level - 1 })
            }
            Frame::Leaf(entries) => {
                let entry = entries.as_slice().first()?;
                (entry.key.as_slice(), Place::Entry)
            }
        };
        if !to.is_empty() && first >= to.as_slice() {
            return None;
        }
        Some((first.max(from.as_slice()), place))
    }

    /// Steps over what lies here: an entry or a whole subtree. Gives the entry.
    pub fn skip(&mut self) -> Option<Entry> {
        match self.stack.last_mut()? {
            Frame::Inner(_, children) => {
                children.next();
                None
            }
            Frame::Leaf(entries) => entries.next(),
        }
    }

    /// Opens the subtree that lies here; an entry stays as it is. When the node cannot be read the cursor stands behind
    /// it: everything it held is missing.
    pub fn descend(&mut self) -> Result<(), StoreError> {
        let Some(Frame::Inner(level, children)) = self.stack.last_mut() else { return Ok(()) };
        let level = *level - 1;
        let Some(child) = children.next() else { return Ok(()) };
        let node = self.nodes.node(&child.id)?;
        let from = self.range.from.as_slice();
        let frame = match node {
            Node::Leaf(mut entries) if level == 0 => {
                entries.drain(..entries.partition_point(|e| e.key.as_slice() < from));
                Frame::Leaf(entries.into_iter())
            }
            Node::Inner { level: stated, mut children } if stated == level => {
                // The last child that begins at or before `from` may hold it.
                let before = children.partition_point(|c| c.first.as_slice() <= from);
                children.drain(..before.saturating_sub(1));
                Frame::Inner(level, children.into_iter())
            }
            // A node of another level than its place says: no tree that was ever written.
            _ => return Err(StoreError::Object(ObjectError::Mismatch { object: format!("tree node {}", child.id) })),
        };
        self.stack.push(frame);
        Ok(())
    }
}

impl Frame {
    fn is_done(&self) -> bool {
        match self {
            Frame::Inner(_, children) => children.as_slice().is_empty(),
            Frame::Leaf(entries) => entries.as_slice().is_empty(),
        }
    }
}
