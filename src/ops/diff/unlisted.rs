//! Directories that could not be listed at the time of a backup. What the snapshot lacks in them is not reported as
//! removed.

use crate::base::path::path_of;
use crate::format::tree::{Content, Entry, EntryKind};
use crate::monitor::Problem;
use std::collections::BTreeSet;

/// What the keys below such directories begin with.
#[derive(Debug, Default)]
pub struct Unlisted(BTreeSet<Vec<u8>>);

impl Unlisted {
    /// Of a comparison that begins; `all`: of the directory that everything lies in.
    pub fn new(all: bool) -> Unlisted {
        Unlisted(if all { BTreeSet::from([Vec::new()]) } else { BTreeSet::new() })
    }

    /// Whether an entry is a directory that could not be listed when it was backed up.
    pub fn is(entry: &Entry) -> bool {
        entry.meta.kind == EntryKind::Directory && entry.content == Content::Unreadable
    }

    /// What is said of one.
    pub fn problem(entry: &Entry) -> Problem {
        let message =
            "it could not be listed at the time of the backup, so what the snapshot lacks in it is not compared";
        Problem { path: path_of(&entry.key), message: message.into() }
    }

    pub fn add(&mut self, prefix: &[u8]) {
        self.0.insert(prefix.to_vec());
    }

    /// Whether a key lies below one of them.
    pub fn covers(&self, key: &[u8]) -> bool {
        let ends = |&at: &usize| at == 0 || key[at - 1] == 0;
        !self.0.is_empty() && (0..=key.len()).filter(ends).any(|at| self.0.contains(&key[..at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::{key_of, subtree_prefix};

    #[test]
    fn what_lies_below_is_covered_and_nothing_else() {
        let mut unlisted = Unlisted::default();
        let key = |path: &str| key_of(path.as_bytes()).unwrap();
        assert!(!unlisted.covers(&key("/a/b")));
        unlisted.add(&subtree_prefix(&key("/a/b")));
        for (path, covered) in
            [("/a/b/c", true), ("/a/b/c/d", true), ("/a/b", false), ("/a/bc/d", false), ("/a", false), ("/", false)]
        {
            assert_eq!(unlisted.covers(&key(path)), covered, "{path}");
        }
        assert!(Unlisted::new(true).covers(&key("/x")));
    }
}
