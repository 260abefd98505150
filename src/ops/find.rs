//! `find`: entries by name, path, kind, time and size, across snapshots.
//!
//! Snapshots share most of their nodes: a subtree in which nothing matched is not looked into again.

use super::list::{LIST_CACHE_BYTES, damaged_node};
use crate::base::id::ContentId;
use crate::base::limits::{FIND_BARREN_MAX, TREE_LEVELS_MAX};
use crate::base::path::path_of;
use crate::base::pattern::AnyGlob;
use crate::base::time::Time;
use crate::format::tree::{Child, Entry, EntryKind, Node};
use crate::monitor::Monitor;
use crate::object::ObjectError;
use crate::store::snapshots::Snapshot;
use crate::store::{Store, StoreError};
use crate::tree::cursor::Nodes;
use crate::tree::reader::Reader;
use std::collections::HashSet;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What to look for. Everything given must hold; of several patterns one must match.
#[derive(Debug, Clone, Default)]
pub struct FindOptions {
    /// Globs. One with a `/` is matched against whole paths (without a leading `/` at any depth), others against names.
    pub patterns: Vec<OsString>,
    /// Letters match in either case.
    pub ignore_case: bool,
    /// Only entries of these kinds; empty: all.
    pub kinds: Vec<EntryKind>,
    /// Only what was modified at or after this time.
    pub newer: Option<Time>,
    /// Only what was modified before this time.
    pub older: Option<Time>,
    /// Only what has at least so many bytes.
    pub min_bytes: Option<u64>,
    /// Only what has at most so many bytes.
    pub max_bytes: Option<u64>,
}

/// A pattern that is no glob.
#[derive(Debug, thiserror::Error)]
#[error("pattern {pattern:?}: {message}")]
pub struct PatternError {
    /// The pattern as it was given.
    pub pattern: OsString,
    /// What is wrong with it.
    pub message: String,
}

/// What a search met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FindStats {
    /// Entries that matched.
    pub found: u64,
    /// Tree nodes that were read.
    pub nodes_opened: u64,
    /// Nodes that are damaged.
    pub damaged: u64,
    /// Nodes that the storage failed to give.
    pub unreadable: u64,
}

/// What entries are held against, compiled.
pub struct Matcher {
    patterns: Vec<Pattern>,
    any_of_paths: bool,
    options: FindOptions,
}

struct Pattern {
    glob: AnyGlob,
    of_path: bool,
    matched: AtomicBool,
}

impl Matcher {
    /// Compiles the patterns.
    pub fn new(options: FindOptions) -> Result<Matcher, PatternError> {
        let compile = |pattern: &OsString| {
            let bytes = pattern.as_bytes();
            let of_path = bytes.contains(&b'/');
            let anywhere = if of_path && !bytes.starts_with(b"/") { &b"**/"[..] } else { b"" };
            let glob = AnyGlob::new(&[anywhere, bytes].concat(), of_path, options.ignore_case);
            let glob = glob.map_err(|message| PatternError { pattern: pattern.clone(), message })?;
            Ok(Pattern { glob, of_path, matched: AtomicBool::new(false) })
        };
        let patterns = options.patterns.iter().map(compile).collect::<Result<Vec<_>, _>>()?;
        Ok(Matcher { any_of_paths: patterns.iter().any(|p| p.of_path), patterns, options })
    }

    /// Patterns that matched nothing so far.
    pub fn without_match(&self) -> impl Iterator<Item = &OsString> {
        let unmatched = |(_, pattern): &(_, &Pattern)| !pattern.matched.load(Relaxed);
        self.options.patterns.iter().zip(&self.patterns).filter(unmatched).map(|(text, _)| text)
    }

    /// Whether an entry is what is looked for.
    pub fn matches(&self, entry: &Entry) -> bool {
        let (o, meta) = (&self.options, &entry.meta);
        (o.kinds.is_empty() || o.kinds.contains(&meta.kind))
            && o.newer.is_none_or(|t| meta.mtime >= t)
            && o.older.is_none_or(|t| meta.mtime < t)
            && o.min_bytes.is_none_or(|n| meta.size >= n)
            && o.max_bytes.is_none_or(|n| meta.size <= n)
            && (o.patterns.is_empty() || self.matches_path(&entry.key))
    }

    fn matches_path(&self, key: &[u8]) -> bool {
        let name = key.rsplit(|&b| b == 0).next().unwrap_or_default();
        let path = if self.any_of_paths { path_of(key) } else { Vec::new() };
        let mut any = false;
        for pattern in &self.patterns {
            // One that matched already has nothing to add.
            if any && pattern.matched.load(Relaxed) {
                continue;
            }
            if pattern.glob.is_match(if pattern.of_path { &path } else { name }) {
                any = true;
                pattern.matched.store(true, Relaxed);
            }
        }
        any
    }
}

/// Gives every match, snapshot by snapshot in the order given, in tree order within one, until `each` breaks.
/// The index must be loaded.
pub fn run(
    store: &Arc<Store>,
    snapshots: &[Snapshot],
    matcher: &Matcher,
    each: &mut dyn FnMut(&Snapshot, &Entry) -> ControlFlow<()>,
    monitor: &dyn Monitor,
) -> Result<FindStats, StoreError> {
    let nodes = Reader::new(store.clone(), LIST_CACHE_BYTES);
    let mut search = Search { nodes, matcher, barren: HashSet::new(), stats: FindStats::default(), monitor };
    for snapshot in snapshots {
        let manifest = &snapshot.manifest;
        let root = Child { first: Vec::new(), id: manifest.root, totals: manifest.totals };
        let mut tell = |entry: &Entry| each(snapshot, entry);
        if search.node(&root, manifest.root_level, &mut tell)?.flow.is_break() {
            break;
        }
    }
    Ok(search.stats)
}

struct Search<'a, N: Nodes> {
    nodes: N,
    matcher: &'a Matcher,
    /// Nodes in and below which nothing matches.
    barren: HashSet<ContentId>,
    stats: FindStats,
    monitor: &'a dyn Monitor,
}

/// What came of a node.
struct Visited {
    barren: bool,
    flow: ControlFlow<()>,
}

impl<N: Nodes> Search<'_, N> {
    /// Looks into a node. Goes down one level a call, at most [`TREE_LEVELS_MAX`] deep.
    fn node(
        &mut self,
        child: &Child,
        level: u8,
        tell: &mut dyn FnMut(&Entry) -> ControlFlow<()>,
    ) -> Result<Visited, StoreError> {
        if self.barren.contains(&child.id) {
            return Ok(Visited { barren: true, flow: ControlFlow::Continue(()) });
        }
        self.stats.nodes_opened += 1;
        let node = match self.nodes.node(&child.id) {
            Ok(node) => node,
            Err(e) if e.is_damage() || e.is_unreadable() => return Ok(self.damaged(child, &e)),
            Err(e) => return Err(e),
        };
        let visited = match node {
            Node::Leaf(entries) if level == 0 => self.leaf(&entries, tell),
            Node::Inner { level: stated, children } if stated == level && usize::from(level) < TREE_LEVELS_MAX => {
                let mut visited = Visited { barren: true, flow: ControlFlow::Continue(()) };
                for child in &children {
                    let below = self.node(child, level - 1, tell)?;
                    visited.barren &= below.barren;
                    if below.flow.is_break() {
                        return Ok(Visited { barren: false, flow: below.flow });
                    }
                }
                visited
            }
            _ => {
                let mismatch = ObjectError::Mismatch { object: format!("tree node {}", child.id) };
                return Ok(self.damaged(child, &StoreError::Object(mismatch)));
            }
        };
        if visited.barren && self.barren.len() < FIND_BARREN_MAX {
            self.barren.insert(child.id);
        }
        Ok(visited)
    }

    fn leaf(&mut self, entries: &[Entry], tell: &mut dyn FnMut(&Entry) -> ControlFlow<()>) -> Visited {
        let mut barren = true;
        for entry in entries.iter().filter(|e| self.matcher.matches(e)) {
            barren = false;
            self.stats.found += 1;
            if tell(entry).is_break() {
                return Visited { barren, flow: ControlFlow::Break(()) };
            }
        }
        Visited { barren, flow: ControlFlow::Continue(()) }
    }

    fn damaged(&mut self, child: &Child, error: &StoreError) -> Visited {
        *(if error.is_damage() { &mut self.stats.damaged } else { &mut self.stats.unreadable }) += 1;
        self.monitor.problem(&damaged_node(&child.first, error));
        Visited { barren: false, flow: ControlFlow::Continue(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::key_of;
    use crate::monitor::Silent;
    use crate::tree::cursor::testing::{Map, Model, build, entry};

    fn file(path: &str) -> Entry {
        let mut file = entry(&key_of(path.as_bytes()).unwrap(), (100, 0o644));
        file.meta.mtime.s = 50;
        file
    }

    fn finds(options: FindOptions, path: &str) -> bool {
        Matcher::new(options).unwrap().matches(&file(path))
    }

    fn pattern(pattern: &str) -> FindOptions {
        FindOptions { patterns: vec![pattern.into()], ..Default::default() }
    }

    #[test]
    fn a_pattern_without_a_slash_is_a_name_and_one_with_a_slash_a_path() {
        assert!(finds(pattern("*.conf"), "/etc/a/x.conf"));
        assert!(!finds(pattern("etc"), "/etc/a/x.conf"));
        assert!(finds(pattern("a/*.conf"), "/etc/a/x.conf"));
        assert!(!finds(pattern("etc/*.conf"), "/etc/a/x.conf"), "* stays within one directory");
        assert!(finds(pattern("/etc/**"), "/etc/a/x.conf"));
        assert!(!finds(pattern("/a/*.conf"), "/etc/a/x.conf"));
        assert!(!finds(pattern("X.CONF"), "/etc/a/x.conf"));
        assert!(finds(FindOptions { ignore_case: true, ..pattern("X.CONF") }, "/etc/a/x.conf"));
        let bad = Matcher::new(pattern("a[")).err().expect("an open bracket is no glob");
        assert!(bad.to_string().contains("\"a[\""), "{bad}");
    }

    #[test]
    fn kind_time_and_size_all_have_to_hold() {
        let all = FindOptions {
            kinds: vec![EntryKind::File],
            newer: Some(Time { s: 50, ns: 0 }),
            older: Some(Time { s: 51, ns: 0 }),
            min_bytes: Some(100),
            max_bytes: Some(100),
            ..Default::default()
        };
        assert!(finds(all.clone(), "/x"));
        assert!(!finds(FindOptions { kinds: vec![EntryKind::Directory], ..all.clone() }, "/x"));
        assert!(!finds(FindOptions { newer: Some(Time { s: 50, ns: 1 }), ..all.clone() }, "/x"));
        assert!(!finds(FindOptions { older: Some(Time { s: 50, ns: 0 }), ..all.clone() }, "/x"));
        assert!(!finds(FindOptions { min_bytes: Some(101), ..all.clone() }, "/x"));
        assert!(!finds(FindOptions { max_bytes: Some(99), ..all }, "/x"));
    }

    #[test]
    fn a_snapshot_that_shares_its_nodes_costs_only_what_differs() {
        let path = |name: String| key_of(name.as_bytes()).unwrap();
        let first: Model =
            (0..3000).map(|i| (path(format!("/d{}/f{i}", i % 5)), (1 + (i % 200) as u8, 0o600))).collect();
        let mut second = first.clone();
        second.insert(path("/d2/wanted".into()), (9, 0o600));
        let mut map = Map::default();
        let roots = [build(&first, &mut map), build(&second, &mut map)];
        let matcher = Matcher::new(pattern("wanted")).unwrap();
        let mut search = Search {
            nodes: map,
            matcher: &matcher,
            barren: HashSet::new(),
            stats: FindStats::default(),
            monitor: &Silent,
        };
        let mut opened = Vec::new();
        for (id, level) in roots {
            let root = Child { first: Vec::new(), id, totals: Default::default() };
            _ = search.node(&root, level, &mut |_| ControlFlow::Continue(())).unwrap();
            opened.push(search.stats.nodes_opened);
        }
        assert_eq!(search.stats.found, 1);
        assert!(opened[0] > 500, "the first is searched whole: {opened:?}");
        assert!(opened[1] - opened[0] < 30, "the second only where it differs: {opened:?}");
    }
}
