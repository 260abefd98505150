//! Every snapshot's whole tree: nodes, lists and chunks are there, totals and order hold; what is lost is named by path.
//!
//! What was found whole once is not walked again for another snapshot; what is damaged is, so that its paths are
//! named in each.

use super::contents::{Availability, Contents};
use super::findings::Findings;
use super::{Affected, Severity, Subject};
use crate::base::id::{ContentId, ObjectId};
use crate::base::limits::SOURCE_ERRORS_MAX;
use crate::base::path::path_of;
use crate::format::blob::BlobKind;
use crate::format::list::{Item, ListChild, ListNode};
use crate::format::snapshot::Manifest;
use crate::format::tree::{Content, Entry, Node, Totals};
use crate::monitor::{Counter, Monitor};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What a parent says of a node.
struct Expected<'a> {
    id: &'a ContentId,
    level: u8,
    totals: &'a Totals,
    /// The first key below it; `None` for the root.
    first: Option<&'a [u8]>,
    /// All keys below it are less; empty: no bound.
    upper: &'a [u8],
}

impl Expected<'_> {
    /// Stands for what is said, so that a node met again is not walked again only if the same is said of it.
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

/// Walks the trees of snapshots.
pub(super) struct Walker<'a> {
    contents: Contents<'a>,
    findings: &'a Findings<'a>,
    monitor: &'a dyn Monitor,
    cancel: &'a AtomicBool,
    snapshot: ObjectId,
    /// Nodes and lists below which all is well: half of the id, and what their parent said.
    whole: HashMap<[u8; 16], u64>,
    /// Contents that were named already.
    named: HashSet<ContentId>,
    pub nodes: u64,
    pub entries: u64,
    pub chunks: u64,
}

fn half(id: &ContentId) -> [u8; 16] {
    id.as_bytes().first_chunk().copied().unwrap_or_default()
}

impl<'a> Walker<'a> {
    pub fn new(
        contents: Contents<'a>,
        findings: &'a Findings<'a>,
        monitor: &'a dyn Monitor,
        cancel: &'a AtomicBool,
    ) -> Walker<'a> {
        Walker {
            contents,
            findings,
            monitor,
            cancel,
            snapshot: ObjectId([0; 32]),
            whole: HashMap::new(),
            named: HashSet::new(),
            nodes: 0,
            entries: 0,
            chunks: 0,
        }
    }

    /// Walks one snapshot.
    pub fn snapshot(&mut self, id: ObjectId, manifest: &Manifest) {
        self.snapshot = id;
        let Manifest { root, root_level, totals, .. } = manifest;
        self.node(&Expected { id: root, level: *root_level, totals, first: None, upper: &[] });
    }

    /// Names a node, list or chunk, once.
    fn name(&mut self, kind: BlobKind, id: &ContentId, message: impl Into<String>) {
        if self.named.len() < SOURCE_ERRORS_MAX && self.named.insert(*id) {
            self.findings.add(Severity::Damage, Subject::Content(kind, *id), message);
        }
    }

    /// Whether all is well in and below a node. Recursion ends with the level, which falls by one each time.
    fn node(&mut self, expected: &Expected<'_>) -> bool {
        let digest = expected.digest();
        if self.whole.get(&half(expected.id)) == Some(&digest) || self.cancel.load(Relaxed) {
            return true;
        }
        let node = self.contents.read(BlobKind::Node, expected.id);
        let node = node.and_then(|plain| Node::decode(plain).map_err(|e| e.to_string()));
        let node = match node {
            Ok(node) => node,
            Err(error) => {
                let from = path_of(expected.first.unwrap_or_default());
                let until = if expected.upper.is_empty() { vec![] } else { path_of(expected.upper) };
                self.name(BlobKind::Node, expected.id, format!("tree node cannot be read: {error}"));
                self.findings.affected(Affected { snapshot: self.snapshot, path: from, until: Some(until) });
                return false;
            }
        };
        self.nodes += 1;
        self.monitor.add(Counter::ObjectsChecked, 1);
        let mut well = match contradiction(&node, expected) {
            None => true,
            Some(what) => {
                self.name(BlobKind::Node, expected.id, format!("tree node contradicts its parent: {what}"));
                self.findings.affected_snapshot(self.snapshot);
                false
            }
        };
        match &node {
            Node::Leaf(entries) => {
                self.entries += entries.len() as u64;
                for entry in entries {
                    if !self.content(entry) {
                        well = false;
                        let path = path_of(&entry.key);
                        self.findings.affected(Affected { snapshot: self.snapshot, path, until: None });
                    }
                }
            }
            // Its level was compared, so that what follows ends.
            Node::Inner { level, children } if *level == expected.level && *level > 0 => {
                for (at, child) in children.iter().enumerate() {
                    let upper = children.get(at + 1).map_or(expected.upper, |next| &next.first);
                    let first = Some(&child.first[..]);
                    let below = Expected { id: &child.id, level: level - 1, totals: &child.totals, first, upper };
                    well &= self.node(&below);
                }
            }
            Node::Inner { .. } => {}
        }
        if well {
            self.whole.insert(half(expected.id), digest);
        }
        well
    }

    /// Whether an entry's content is all there.
    fn content(&mut self, entry: &Entry) -> bool {
        match &entry.content {
            Content::Empty | Content::Inline(_) | Content::Unreadable => true,
            Content::Items(items) => self.items(items),
            Content::List { id, level, items } => {
                let bytes = (!entry.changed_while_read).then_some(entry.meta.size);
                self.list(id, *level, bytes, *items)
            }
        }
    }

    fn items(&mut self, items: &[Item]) -> bool {
        let mut well = true;
        for item in items {
            let Item::Chunk { id, len } = item else { continue };
            self.chunks += 1;
            match self.contents.chunk(id, *len) {
                Availability::Here => {}
                // Its pack has been named.
                Availability::Damaged => well = false,
                Availability::Unknown => {
                    well = false;
                    self.name(BlobKind::Chunks, id, "chunk is not in the index of the store");
                }
            }
        }
        well
    }

    /// Whether all is well in and below a list node that stands for so many bytes (if known) and items.
    fn list(&mut self, id: &ContentId, level: u8, bytes: Option<u64>, items: u64) -> bool {
        let digest = items ^ bytes.unwrap_or(u64::MAX).rotate_left(32) ^ u64::from(level) << 56;
        if self.whole.get(&half(id)) == Some(&digest) {
            return true;
        }
        let node = self.contents.read(BlobKind::List, id);
        let node = match node.and_then(|plain| ListNode::decode(plain).map_err(|e| e.to_string())) {
            Ok(node) => node,
            Err(error) => {
                self.name(BlobKind::List, id, format!("list of a file's chunks cannot be read: {error}"));
                return false;
            }
        };
        self.nodes += 1;
        let (found_level, found_bytes, found_items) = match &node {
            ListNode::Leaf(leaf) => (0, leaf.iter().map(Item::len).fold(0, u64::saturating_add), leaf.len() as u64),
            ListNode::Inner { level, children } => {
                let add = |part: fn(&ListChild) -> u64| children.iter().map(part).fold(0, u64::saturating_add);
                (*level, add(|c| c.bytes), add(|c| c.items))
            }
        };
        let fits = found_level == level && bytes.is_none_or(|bytes| bytes == found_bytes) && found_items == items;
        if !fits {
            self.name(BlobKind::List, id, "list of a file's chunks contradicts what refers to it");
        }
        let mut well = fits;
        match &node {
            ListNode::Leaf(leaf) => well &= self.items(leaf),
            ListNode::Inner { level: below, children } if fits && *below > 0 => {
                for child in children {
                    well &= self.list(&child.id, below - 1, Some(child.bytes), child.items);
                }
            }
            ListNode::Inner { .. } => {}
        }
        if well {
            self.whole.insert(half(id), digest);
        }
        well
    }
}

/// What of a node is not as its parent says.
fn contradiction(node: &Node, expected: &Expected<'_>) -> Option<&'static str> {
    let (level, first, last): (u8, &[u8], &[u8]) = match node {
        Node::Leaf(entries) => {
            let key = |entry: Option<&'_ Entry>| entry.map_or(&[][..], |entry| &entry.key[..]).to_vec();
            return contradicts(0, &key(entries.first()), &key(entries.last()), node, expected);
        }
        Node::Inner { level, children } => {
            (*level, children.first().map_or(&[], |c| &c.first), children.last().map_or(&[], |c| &c.first))
        }
    };
    contradicts(level, first, last, node, expected)
}

fn contradicts(level: u8, first: &[u8], last: &[u8], node: &Node, expected: &Expected<'_>) -> Option<&'static str> {
    if level != expected.level {
        Some("its level")
    } else if expected.first.is_some_and(|key| key != first) {
        Some("its first path")
    } else if !expected.upper.is_empty() && last >= expected.upper {
        Some("its last path")
    } else if node.totals() != *expected.totals {
        Some("its totals")
    } else {
        None
    }
}
