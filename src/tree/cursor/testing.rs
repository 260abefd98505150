//! Trees in memory, for the tests of what walks them.

use super::Nodes;
use crate::base::id::ContentId;
use crate::base::time::Time;
use crate::crypto::hash::content_id;
use crate::format::list::Item;
use crate::format::tree::{Child, Content, Entry, EntryKind, Meta, Node, Totals};
use crate::object::ObjectError;
use crate::store::StoreError;
use std::collections::{BTreeMap, HashMap};

/// Path to (content number, mode).
pub type Model = BTreeMap<Vec<u8>, (u8, u32)>;

/// A directory for content 0, a file of so many bytes otherwise.
pub fn entry(key: &[u8], (content, mode): (u8, u32)) -> Entry {
    let kind = if content == 0 { EntryKind::Directory } else { EntryKind::File };
    let meta = Meta {
        kind,
        mode,
        uid: 0,
        gid: 0,
        user: Vec::new(),
        group: Vec::new(),
        size: u64::from(content),
        mtime: Time::default(),
        ctime: Time::default(),
        btime: None,
        nlink: 1,
        device: 1,
        inode: u64::from(content),
        rdev: (0, 0),
        target: Vec::new(),
        xattrs: Vec::new(),
    };
    let chunk = Item::Chunk { id: ContentId([content; 32]), len: u32::from(content) };
    let content = if content == 0 { Content::Empty } else { Content::Items(vec![chunk]) };
    Entry { key: key.to_vec(), meta, content, changed_while_read: false, extensions: Vec::new() }
}

/// Nodes by id, and which of them are damaged.
#[derive(Clone, Default)]
pub struct Map {
    /// Every node ever built into it.
    pub nodes: HashMap<ContentId, Node>,
    /// Nodes that give an error.
    pub damaged: Vec<ContentId>,
}

impl Nodes for Map {
    fn node(&mut self, id: &ContentId) -> Result<Node, StoreError> {
        match self.nodes.get(id) {
            Some(node) if !self.damaged.contains(id) => Ok(node.clone()),
            _ => Err(StoreError::Object(ObjectError::Mismatch { object: id.to_string() })),
        }
    }
}

/// A tree with about four items a node, cut where a hash of level and key says so. Gives root and its level.
pub fn build(model: &Model, map: &mut Map) -> (ContentId, u8) {
    let entries: Vec<Entry> = model.iter().map(|(key, value)| entry(key, *value)).collect();
    let ends = |level: u8, key: &[u8]| content_id(&[level; 32], key).0[0] < 64;
    let mut children = Vec::new();
    let mut leaf = Vec::new();
    for entry in entries {
        let end = ends(0, &entry.key);
        leaf.push(entry);
        if end {
            children.push(add(map, Node::Leaf(std::mem::take(&mut leaf))));
        }
    }
    if !leaf.is_empty() || children.is_empty() {
        children.push(add(map, Node::Leaf(leaf)));
    }
    let mut level = 0;
    while children.len() > 1 {
        level += 1;
        let mut above = Vec::new();
        let mut group: Vec<Child> = Vec::new();
        for child in children {
            let end = group.len() >= 2 && ends(level, &child.first);
            group.push(child);
            if end {
                above.push(add(map, Node::Inner { level, children: std::mem::take(&mut group) }));
            }
        }
        if !group.is_empty() {
            above.push(add(map, Node::Inner { level, children: group }));
        }
        children = above;
    }
    (children[0].id, level)
}

fn add(map: &mut Map, node: Node) -> Child {
    let first = match &node {
        Node::Leaf(entries) => entries.first().map(|e| e.key.clone()).unwrap_or_default(),
        Node::Inner { children, .. } => children[0].first.clone(),
    };
    let id = content_id(&[9; 32], format!("{node:?}").as_bytes());
    map.nodes.insert(id, node);
    Child { first, id, totals: Totals::default() }
}
