//! Directories that could not be listed are marked in a tree that is built already.
//!
//! A directory's entry comes with those of the directory it lies in, perhaps millions of entries before it is its turn
//! to be listed. So its mark comes late: the nodes on the way to it are read back and written anew. A mark changes the
//! length of no entry, so that the tree is the one that would have been built with it. Runs only when there are such
//! directories.

use super::tree::NodeStore;
use crate::base::id::ContentId;
use crate::format::blob::BlobKind;
use crate::format::tree::{Content, EntryKind, Node, Totals};
use crate::store::StoreError;
use crate::tree::build::{PutBlob, Root};
use crate::tree::reader::Reader;

/// Nodes of a tree of these keys' order lie together: few are opened twice.
const CACHE_BYTES: usize = 1 << 20;

/// The tree with these directories (keys, sorted) marked.
pub fn not_listed(store: &mut NodeStore<'_>, root: Root, keys: &[Vec<u8>]) -> Root {
    if keys.is_empty() {
        return root;
    }
    let marked = store.make_readable().and_then(|()| {
        let mut reader = Reader::new(store.session.store().clone(), CACHE_BYTES);
        mark(store, &mut reader, &root.id, keys)
    });
    // The tree without marks is durable by then: it is not given up for them. A session that an error ended commits none.
    match marked {
        Ok((id, totals)) => Root { id, totals, ..root },
        Err(error) => {
            store.note(&format!("directories that could not be listed are not marked in the snapshot: {error}"));
            root
        }
    }
}

/// A node with its entries of these keys marked.
fn mark(
    store: &mut NodeStore<'_>,
    reader: &mut Reader,
    id: &ContentId,
    keys: &[Vec<u8>],
) -> Result<(ContentId, Totals), StoreError> {
    let mut node = reader.node(id)?;
    match &mut node {
        Node::Leaf(entries) => {
            let directories = entries.iter_mut().filter(|entry| entry.meta.kind == EntryKind::Directory);
            for entry in directories.filter(|entry| keys.binary_search(&entry.key).is_ok()) {
                entry.content = Content::Unreadable;
            }
        }
        Node::Inner { children, .. } => {
            let mut keys = keys;
            for at in 0..children.len() {
                let below = match children.get(at + 1) {
                    Some(next) => keys.partition_point(|key| *key < next.first),
                    None => keys.len(),
                };
                let (here, later) = keys.split_at(below);
                keys = later;
                if !here.is_empty() {
                    let child = &mut children[at];
                    (child.id, child.totals) = mark(store, reader, &child.id.clone(), here)?;
                }
            }
        }
    }
    Ok((store.put(BlobKind::Node, &node.encode())?, node.totals()))
}
