//! Building a tree: entries that come in order become content-defined nodes.
//!
//! A node ends where a keyed hash of its last key is below a threshold, between a least and a greatest size, so that
//! equal runs of entries give equal nodes wherever they lie. One node a level is under construction.

use super::level::Level;
use crate::base::id::ContentId;
use crate::format::blob::BlobKind;
use crate::format::config::Config;
use crate::format::tree::{Child, Entry, LeafEncoder, Node, Totals};
use crate::store::StoreError;

/// What a child takes beside its key, about.
const CHILD_BYTES: usize = 48;
/// Inner nodes hold fewer, larger items than leaves: they end more readily.
const INNER_ODDS: u32 = 4;

/// A finished tree.
#[derive(Debug, Clone, Copy)]
pub struct Root {
    /// The id of the root node.
    pub id: ContentId,
    /// The level of the root node; leaves have level 0.
    pub level: u8,
    /// Totals of the whole tree.
    pub totals: Totals,
}

/// Where nodes and lists go.
pub trait PutBlob {
    /// Stores a node or a list, unless the store has it, and gives its id.
    fn put(&mut self, kind: BlobKind, plain: &[u8]) -> Result<ContentId, StoreError>;
}

/// What became of an entry.
#[must_use]
pub enum Pushed {
    /// It is in the tree.
    Taken,
    /// It cannot be in a tree. The text says why.
    LeftOut(String),
}

/// When nodes end.
struct Ends {
    key: [u8; 32],
    bytes_min: usize,
    bytes_max: usize,
    threshold: u32,
}

impl Ends {
    fn leaf(&self, bytes: usize, last: &[u8]) -> bool {
        bytes >= self.bytes_max || (bytes >= self.bytes_min && self.hash(0, last) < self.threshold)
    }

    fn inner(&self, level: u8, open: &[Child]) -> bool {
        let bytes: usize = open.iter().map(|child| child.first.len() + CHILD_BYTES).sum();
        let last = open.last().map_or(&[][..], |child| &child.first);
        bytes >= self.bytes_max
            || (bytes >= self.bytes_min && self.hash(level, last) < self.threshold.saturating_mul(INNER_ODDS))
    }

    /// What decides whether a node of this level ends after `key`.
    fn hash(&self, level: u8, key: &[u8]) -> u32 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[level]).update(key);
        let hash = hasher.finalize();
        let bytes = hash.as_bytes();
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

/// Builds the tree of one snapshot.
pub struct TreeBuilder {
    ends: Ends,
    leaf: LeafEncoder,
    /// The last key of the leaf before.
    ended: Option<Vec<u8>>,
    levels: Vec<Level<Child>>,
}

impl TreeBuilder {
    /// A tree of nodes as large as the store's config says. `boundary_key` is the store's key for the ends of nodes.
    pub fn new(config: &Config, boundary_key: &[u8; 32]) -> TreeBuilder {
        let ends = Ends {
            key: *boundary_key,
            bytes_min: config.node_bytes_min as usize,
            bytes_max: config.node_bytes_max as usize,
            threshold: config.node_threshold,
        };
        TreeBuilder { ends, leaf: LeafEncoder::default(), ended: None, levels: Vec::new() }
    }

    /// Adds the next entry.
    pub fn push(&mut self, entry: &Entry, store: &mut impl PutBlob) -> Result<Pushed, StoreError> {
        // A file system may say what no decoder would accept (a FUSE mount with a time of 2 s in nanoseconds, say): one
        // such entry must not make its whole node unreadable.
        if let Err(reason) = entry.check() {
            let why = format!("left out, since its metadata cannot be stored: {reason}");
            return Ok(Pushed::LeftOut(why));
        }
        // Nor must one that comes twice, as some file systems list a name, or too late.
        if self.leaf.last_key().or(self.ended.as_deref()).is_some_and(|before| before >= entry.key.as_slice()) {
            return Ok(Pushed::LeftOut("left out: it was listed more than once, or out of order".into()));
        }
        self.leaf.push(entry);
        if self.ends.leaf(self.leaf.len(), &entry.key) {
            self.flush_leaf(store)?;
        }
        Ok(Pushed::Taken)
    }

    fn flush_leaf(&mut self, store: &mut impl PutBlob) -> Result<(), StoreError> {
        let (first, totals) = (self.leaf.first_key().to_vec(), self.leaf.totals());
        self.ended = self.leaf.last_key().map(<[u8]>::to_vec);
        let id = store.put(BlobKind::Node, &self.leaf.finish())?;
        self.child(0, Child { first, id, totals }, store)
    }

    /// Adds a finished node to the level above it, and so on upwards.
    fn child(&mut self, mut level: usize, mut child: Child, store: &mut impl PutBlob) -> Result<(), StoreError> {
        loop {
            if self.levels.len() == level {
                self.levels.push(Level::default());
            }
            let ended = self.levels[level].push(child, |open| self.ends.inner(level as u8 + 1, open));
            let Some(children) = ended else { return Ok(()) };
            child = inner(level, children, store)?;
            level += 1;
        }
    }

    /// The root. Nothing may be added any more.
    pub fn finish(&mut self, store: &mut impl PutBlob) -> Result<Root, StoreError> {
        if self.leaf.count() > 0 || self.levels.is_empty() {
            self.flush_leaf(store)?;
        }
        let mut level = 0;
        loop {
            let mut children = self.levels[level].finish();
            if level + 1 == self.levels.len() && children.len() == 1 {
                let root = children.remove(0);
                return Ok(Root { id: root.id, level: level as u8, totals: root.totals });
            }
            let child = inner(level, children, store)?;
            level += 1;
            self.child(level, child, store)?;
        }
    }
}

fn inner(level: usize, children: Vec<Child>, store: &mut impl PutBlob) -> Result<Child, StoreError> {
    let first = children[0].first.clone();
    let node = Node::Inner { level: level as u8 + 1, children };
    let totals = node.totals();
    Ok(Child { first, id: store.put(BlobKind::Node, &node.encode())?, totals })
}
