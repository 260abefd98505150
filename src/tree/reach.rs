//! Everything that is reachable from the root of a snapshot: its nodes, its lists and its chunks.
//!
//! [`Reach`] knows the shape. It goes down from a root, compares each node with what its parent says of it, and visits
//! only once what several snapshots share. A [`Visitor`] knows the purpose. It reads the nodes, is told of each chunk,
//! and combines the states of parts. A check asks whether everything is there; a deletion asks what must stay.

use crate::base::id::ContentId;
use crate::format::blob::BlobKind;
use crate::format::list::{Item, ListChild, ListNode};
use crate::format::tree::{Content, Entry, Node, Totals};
use std::collections::HashMap;

/// A reference to a tree node, and what it says of the node.
#[derive(Debug, Clone, Copy)]
pub struct NodeReference<'a> {
    pub id: &'a ContentId,
    /// Height above the leaves.
    pub level: u8,
    pub totals: &'a Totals,
    /// The first key below the node; `None` for a root.
    pub first: Option<&'a [u8]>,
    /// All keys below the node are less; empty: no bound.
    pub upper: &'a [u8],
}

impl NodeReference<'_> {
    /// Stands for what is said of the node, so that a node is passed over only where the same is said of it.
    fn digest(&self) -> u64 {
        let mut hasher = blake3::Hasher::new();
        let Totals { entries, files, directories, bytes, flawed } = self.totals;
        for number in [*entries, *files, *directories, *bytes, *flawed, u64::from(self.level)] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(self.first.unwrap_or_default());
        hasher.finalize().as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// What is done with everything that is reachable.
pub trait Visitor {
    /// What is known of a part of a snapshot.
    type State: Copy;

    /// The state of a part of which nothing is known to be wrong.
    const EMPTY: Self::State;

    /// The state of two parts together.
    fn join(one: Self::State, other: Self::State) -> Self::State;

    /// Whether the walk is to end. What was not visited then counts as [`Visitor::EMPTY`], and is not remembered.
    fn is_over(&self) -> bool;

    /// Reads a tree node and gives the state of the node alone. An error is the state of all below it.
    fn node(&mut self, reference: &NodeReference<'_>) -> Result<(Node, Self::State), Self::State>;

    /// Reads a list node, as [`Visitor::node`] does a tree node.
    fn list(&mut self, id: &ContentId) -> Result<(ListNode, Self::State), Self::State>;

    /// Hears of a chunk of so many bytes. One that occurs several times is heard of as often.
    fn chunk(&mut self, id: &ContentId, len: u32) -> Self::State;

    /// Hears that a node or list is not what refers to it says: `what` differs.
    fn contradiction(&mut self, kind: BlobKind, id: &ContentId, what: &'static str) -> Self::State;

    /// Hears of an entry once its content was visited.
    fn entry(&mut self, _entry: &Entry, _content: Self::State) {}

    /// All below a node or list was visited. True when it need not be visited again: then [`Visitor::again`] gives its
    /// state from now on.
    fn settle(&mut self, id: &ContentId, state: Self::State) -> bool;

    /// The state of something settled, which was met again.
    fn again(&self, id: &ContentId) -> Self::State;
}

/// Goes through everything that is reachable from roots, one root after another.
pub struct Reach<V: Visitor> {
    pub visitor: V,
    /// Nodes and lists that are settled: half of the id, and what was said of it.
    settled: HashMap<[u8; 16], u64>,
    /// How many nodes and lists were visited.
    pub nodes: u64,
    /// How many entries.
    pub entries: u64,
    /// How many references to chunks.
    pub chunks: u64,
}

/// What stands for an id where millions are kept.
pub fn half(id: &ContentId) -> [u8; 16] {
    id.as_bytes().first_chunk().copied().unwrap_or_default()
}

impl<V: Visitor> Reach<V> {
    pub fn new(visitor: V) -> Reach<V> {
        Reach { visitor, settled: HashMap::new(), nodes: 0, entries: 0, chunks: 0 }
    }

    /// Visits all that is reachable from a root.
    pub fn root(&mut self, root: &ContentId, level: u8, totals: &Totals) -> V::State {
        self.node(&NodeReference { id: root, level, totals, first: None, upper: &[] })
    }

    fn settle(&mut self, id: &ContentId, digest: u64, state: V::State) {
        // What an early end left out was not visited.
        if !self.visitor.is_over() && self.visitor.settle(id, state) {
            self.settled.insert(half(id), digest);
        }
    }

    fn known(&self, id: &ContentId, digest: u64) -> Option<V::State> {
        (self.settled.get(&half(id)) == Some(&digest)).then(|| self.visitor.again(id))
    }

    /// A node and all below it. The recursion ends with the level, which falls by one each time.
    fn node(&mut self, reference: &NodeReference<'_>) -> V::State {
        if self.visitor.is_over() {
            return V::EMPTY;
        }
        let digest = reference.digest();
        if let Some(state) = self.known(reference.id, digest) {
            return state;
        }
        let (node, mut state) = match self.visitor.node(reference) {
            Ok(read) => read,
            Err(state) => return state,
        };
        self.nodes += 1;
        if let Some(what) = contradiction(&node, reference) {
            state = V::join(state, self.visitor.contradiction(BlobKind::Node, reference.id, what));
        }
        match &node {
            Node::Leaf(entries) => {
                self.entries += entries.len() as u64;
                for entry in entries {
                    let content = self.content(entry);
                    self.visitor.entry(entry, content);
                    state = V::join(state, content);
                }
            }
            // Its level was compared, so that what follows ends.
            Node::Inner { level, children } if *level == reference.level && *level > 0 => {
                for (at, child) in children.iter().enumerate() {
                    let upper = children.get(at + 1).map_or(reference.upper, |next| &next.first);
                    let first = Some(&child.first[..]);
                    let below = NodeReference { id: &child.id, level: level - 1, totals: &child.totals, first, upper };
                    state = V::join(state, self.node(&below));
                }
            }
            Node::Inner { .. } => {}
        }
        self.settle(reference.id, digest, state);
        state
    }

    fn content(&mut self, entry: &Entry) -> V::State {
        match &entry.content {
            Content::Empty | Content::Inline(_) | Content::Unreadable => V::EMPTY,
            Content::Items(items) => self.items(items),
            Content::List { id, level, items } => {
                let bytes = (!entry.changed_while_read).then_some(entry.meta.size);
                self.list(id, *level, bytes, *items)
            }
        }
    }

    fn items(&mut self, items: &[Item]) -> V::State {
        let mut state = V::EMPTY;
        for item in items {
            let Item::Chunk { id, len } = item else { continue };
            self.chunks += 1;
            state = V::join(state, self.visitor.chunk(id, *len));
        }
        state
    }

    /// A list node and all below it, which stands for so many bytes (if known) and items.
    fn list(&mut self, id: &ContentId, level: u8, bytes: Option<u64>, items: u64) -> V::State {
        if self.visitor.is_over() {
            return V::EMPTY;
        }
        let digest = items ^ bytes.unwrap_or(u64::MAX).rotate_left(32) ^ u64::from(level) << 56;
        if let Some(state) = self.known(id, digest) {
            return state;
        }
        let (node, mut state) = match self.visitor.list(id) {
            Ok(read) => read,
            Err(state) => return state,
        };
        self.nodes += 1;
        let fits = fits(&node, level, bytes, items);
        if !fits {
            let what = "its level, bytes or number of items";
            state = V::join(state, self.visitor.contradiction(BlobKind::List, id, what));
        }
        match &node {
            ListNode::Leaf(leaf) => state = V::join(state, self.items(leaf)),
            ListNode::Inner { level: below, children } if fits && *below > 0 => {
                for child in children {
                    state = V::join(state, self.list(&child.id, below - 1, Some(child.bytes), child.items));
                }
            }
            ListNode::Inner { .. } => {}
        }
        self.settle(id, digest, state);
        state
    }
}

/// Whether a list node is what refers to it says.
fn fits(node: &ListNode, level: u8, bytes: Option<u64>, items: u64) -> bool {
    let (found_level, found_bytes, found_items) = match node {
        ListNode::Leaf(leaf) => (0, leaf.iter().map(Item::len).fold(0, u64::saturating_add), leaf.len() as u64),
        ListNode::Inner { level, children } => {
            let add = |part: fn(&ListChild) -> u64| children.iter().map(part).fold(0, u64::saturating_add);
            (*level, add(|c| c.bytes), add(|c| c.items))
        }
    };
    found_level == level && bytes.is_none_or(|bytes| bytes == found_bytes) && found_items == items
}

/// What of a node is not as its parent says.
fn contradiction(node: &Node, reference: &NodeReference<'_>) -> Option<&'static str> {
    let (level, first, last): (u8, &[u8], &[u8]) = match node {
        Node::Leaf(entries) => {
            (0, entries.first().map_or(&[], |entry| &entry.key), entries.last().map_or(&[], |entry| &entry.key))
        }
        Node::Inner { level, children } => {
            (*level, children.first().map_or(&[], |c| &c.first), children.last().map_or(&[], |c| &c.first))
        }
    };
    if level != reference.level {
        Some("its level")
    } else if reference.first.is_some_and(|key| key != first) {
        Some("its first path")
    } else if !reference.upper.is_empty() && last >= reference.upper {
        Some("its last path")
    } else if node.totals() != *reference.totals {
        Some("its totals")
    } else {
        None
    }
}
