//! Names of places in a snapshot: `ID:path` for people, and a range of keys for the tree.

use super::reader::Reader;
use crate::base::id::ObjectId;
use crate::base::path::{after, children_prefix, key_of, subtree_prefix};
use crate::format::tree::Entry;
use crate::store::StoreError;
use crate::store::snapshots::Snapshot;

/// What is wrong with a place that a person named.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// The store failed while the place was looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is no path.
    #[error("{path:?} is no path in a snapshot: name it without `..`")]
    NoPath {
        /// What was given.
        path: String,
    },
    /// There is nothing, or not what was asked for.
    #[error("{path}: {why} (snapshot {snapshot})")]
    Unfit {
        /// The snapshot that was looked at.
        snapshot: ObjectId,
        /// The path in it.
        path: String,
        /// What does not fit.
        why: &'static str,
    },
    /// The tree has nothing of this path.
    #[error("the snapshot has no {path:?}")]
    Nothing {
        /// The path in the snapshot.
        path: String,
    },
}

impl PlaceError {
    /// Whether an object of the store is damaged or missing, as opposed to something failing.
    pub fn is_damage(&self) -> bool {
        matches!(self, PlaceError::Store(error) if error.is_damage())
    }
}

/// A place in a snapshot as a person names it: `latest`, an id or its beginning, and a path: `ID:path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPath {
    /// `latest`, an id or the beginning of one.
    pub snapshot: String,
    /// An absolute path in it.
    pub path: Option<Vec<u8>>,
}

impl SnapshotPath {
    /// Reads `SNAP` or `SNAP:path`; a path without a leading `/` is taken from the root.
    pub fn parse(text: &[u8]) -> Result<SnapshotPath, PlaceError> {
        let (name, path) = match text.iter().position(|&b| b == b':') {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let not_a_name = || StoreError::NoSnapshot(String::from_utf8_lossy(text).into_owned());
        let snapshot = std::str::from_utf8(name).map_err(|_| not_a_name())?.to_string();
        let not_a_path = |path: &[u8]| PlaceError::NoPath { path: String::from_utf8_lossy(path).into_owned() };
        let path = path.map(|p| normal_path(p).ok_or_else(|| not_a_path(p))).transpose()?;
        Ok(SnapshotPath { snapshot, path })
    }
}

/// The absolute path without doubled or trailing slashes and without `.`; `None` when it is not a path.
pub fn normal_path(path: &[u8]) -> Option<Vec<u8>> {
    let mut normal = Vec::with_capacity(path.len() + 1);
    for component in path.split(|&b| b == b'/').filter(|c| !c.is_empty() && *c != b".") {
        normal.push(b'/');
        normal.extend_from_slice(component);
    }
    if normal.is_empty() {
        normal.push(b'/');
    }
    key_of(&normal).ok().map(|_| normal)
}

/// Keys in `[from, to)`; an empty `to` means to the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRange {
    pub from: Vec<u8>,
    /// The key that ends it.
    pub to: Vec<u8>,
}

impl KeyRange {
    /// Everything below a directory, not the directory itself.
    pub fn below(directory: &[u8]) -> KeyRange {
        if directory.is_empty() {
            // No key but the root's own is smaller.
            return KeyRange { from: vec![0], to: Vec::new() };
        }
        Self::of_prefix(subtree_prefix(directory))
    }

    /// The directory's own entries.
    pub fn children(directory: &[u8]) -> KeyRange {
        Self::of_prefix(children_prefix(directory))
    }

    pub fn only(key: &[u8]) -> KeyRange {
        KeyRange { from: key.to_vec(), to: [key, &[0]].concat() }
    }

    fn of_prefix(prefix: Vec<u8>) -> KeyRange {
        KeyRange { to: after(&prefix), from: prefix }
    }

    /// Whether a key lies in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.from.as_slice() && (self.to.is_empty() || key < self.to.as_slice())
    }
}

/// The entry at a path; an error when there is none.
pub fn entry_at(reader: &mut Reader, snapshot: &Snapshot, path: &[u8]) -> Result<Entry, PlaceError> {
    let missing =
        |why| PlaceError::Unfit { snapshot: snapshot.id, path: String::from_utf8_lossy(path).into_owned(), why };
    let key = key_of(path).map_err(|_| missing("not a path"))?;
    reader.entry(&snapshot.manifest.root, &key)?.ok_or_else(|| missing("not in this snapshot"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_snapshot_and_maybe_a_path() {
        let parse = |s: &[u8]| SnapshotPath::parse(s).map_err(|e| e.to_string());
        let place = |snapshot: &str, path: Option<&[u8]>| {
            Ok(SnapshotPath { snapshot: snapshot.into(), path: path.map(<[u8]>::to_vec) })
        };
        assert_eq!(parse(b"latest"), place("latest", None));
        assert_eq!(parse(b"ab12:"), place("ab12", Some(b"/")));
        assert_eq!(parse(b"ab12:etc//x/./"), place("ab12", Some(b"/etc/x")));
        assert_eq!(parse(b"ab12:/a:b\xff"), place("ab12", Some(b"/a:b\xff")));
        assert!(parse(b"ab12:/a/../b").is_err(), "a path that climbs is refused");
        assert!(parse(b"\xff").is_err());
    }

    #[test]
    fn a_range_holds_what_lies_below_and_nothing_else() {
        let key = |p: &str| key_of(p.as_bytes()).unwrap();
        let below = KeyRange::below(&key("/a"));
        for inside in ["/a/b", "/a/b/c", "/a/\u{ff}"] {
            assert!(below.contains(&key(inside)), "{inside}");
        }
        for outside in ["/", "/a", "/a.x", "/a.x/b", "/b", "/aa/b"] {
            assert!(!below.contains(&key(outside)), "{outside}");
        }
        let children = KeyRange::children(&key("/a"));
        assert!(children.contains(&key("/a/b")) && !children.contains(&key("/a/b/c")));
        let top = KeyRange::children(&key("/"));
        assert!(top.contains(&key("/a")) && !top.contains(&key("/")) && !top.contains(&key("/a/b")));
        let all = KeyRange::below(&key("/"));
        assert!(all.contains(&key("/z/z")) && all.contains(&key("/\u{1}")) && !all.contains(&key("/")));
    }
}
