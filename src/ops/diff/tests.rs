//! Diff over trees in memory, against a plain comparison of two maps.

use super::*;
use crate::base::id::ContentId;
use crate::base::path::key_of;
use crate::format::tree::Node;
use crate::monitor::{Counters, Problem};
use crate::tree::cursor::testing::{Map, Model, build, entry};
use parking_lot::Mutex;
use proptest::prelude::*;

/// Everything that differs, and what it took.
fn diff(a: &Model, b: &Model, ranges: [KeyRange; 2], prefixes: [usize; 2]) -> (Vec<(char, Vec<u8>)>, DiffStats) {
    let mut map = Map::default();
    let (a, b) = (build(a, &mut map), build(b, &mut map));
    diff_in(&map, &map, a, b, ranges, prefixes, &Counters::default())
}

fn diff_in(
    a_map: &Map,
    b_map: &Map,
    a: (ContentId, u8),
    b: (ContentId, u8),
    ranges: [KeyRange; 2],
    prefixes: [usize; 2],
    monitor: &dyn Monitor,
) -> (Vec<(char, Vec<u8>)>, DiffStats) {
    let same_place = ranges[0] == ranges[1];
    let [a_range, b_range] = ranges;
    let a = TreeCursor::at_root(a_map.clone(), a.0, a.1, a_range);
    let b = TreeCursor::at_root(b_map.clone(), b.0, b.1, b_range);
    let mut found = Vec::new();
    let mut pair = Pair { a, b, prefixes, same_place, blind: Blind::default(), unlisted: Default::default() };
    let stats = pair.walk(
        &mut |change| {
            found.push((change.marker.letter(), change.path.clone()));
            ControlFlow::Continue(())
        },
        monitor,
    );
    (found, stats.unwrap())
}

/// What a comparison of two maps gives, in key order.
fn plain(a: &Model, b: &Model) -> Vec<(char, Vec<u8>)> {
    let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let marker = |key: &Vec<u8>| match (a.get(key), b.get(key)) {
        (None, Some(_)) => Some('+'),
        (Some(_), None) => Some('-'),
        (Some(x), Some(y)) if x == y => None,
        (Some((x, _)), Some((y, _))) if (*x == 0) != (*y == 0) => Some('T'),
        (Some((x, _)), Some((y, _))) if x != y => Some('M'),
        _ => Some('U'),
    };
    keys.into_iter().filter_map(|key| marker(key).map(|m| (m, path_of(key)))).collect()
}

fn big(n: usize) -> Model {
    (0..n).map(|i| (key_of(format!("/d{}/f{i}", i % 7).as_bytes()).unwrap(), (1 + (i % 250) as u8, 0o600))).collect()
}

fn models() -> impl Strategy<Value = (Model, Model)> {
    let path = prop::collection::vec(prop::sample::select(vec!["a", "b", "c.x", "\u{1}"]), 0..4);
    let value = (0u8..4, prop::sample::select(vec![0o600u32, 0o644]));
    let base = prop::collection::btree_map(path.clone(), value.clone(), 0..60);
    let edits = prop::collection::vec((path, prop::option::of(value)), 0..8);
    (base, edits).prop_map(|(base, edits)| {
        let key = |parts: Vec<&str>| key_of(format!("/{}", parts.join("/")).as_bytes()).unwrap();
        let a: Model = base.into_iter().map(|(path, value)| (key(path), value)).collect();
        let mut b = a.clone();
        for (path, value) in edits {
            match value {
                Some(value) => b.insert(key(path), value),
                None => b.remove(&key(path)),
            };
        }
        (a, b)
    })
}

proptest! {
    #[test]
    fn walking_two_trees_finds_what_comparing_two_maps_finds((a, b) in models()) {
        let everything = [KeyRange::default(), KeyRange::default()];
        prop_assert_eq!(diff(&a, &b, everything, [0, 0]).0, plain(&a, &b));
    }

    #[test]
    fn a_directory_is_compared_with_the_same_or_another_one((a, b) in models(), other in any::<bool>()) {
        let directory = |name: &str| key_of(name.as_bytes()).unwrap();
        let (first, second) = (directory("/a"), directory(if other { "/b" } else { "/a" }));
        let prefixes = [subtree_prefix(&first).len(), subtree_prefix(&second).len()];
        let below = |model: &Model, directory: &[u8], len: usize| -> Model {
            let range = KeyRange::below(directory);
            model.iter().filter(|(k, _)| range.contains(k)).map(|(k, v)| (k[len..].to_vec(), *v)).collect()
        };
        let expected = plain(&below(&a, &first, prefixes[0]), &below(&b, &second, prefixes[1]));
        let ranges = [KeyRange::below(&first), KeyRange::below(&second)];
        let found = diff(&a, &b, ranges, prefixes).0;
        prop_assert_eq!(found.iter().map(|f| f.0).collect::<String>(), expected.iter().map(|f| f.0).collect::<String>());
    }
}

#[test]
fn equal_trees_are_compared_by_their_roots_alone() {
    let (found, stats) = diff(&big(5000), &big(5000), [KeyRange::default(), KeyRange::default()], [0, 0]);
    assert_eq!(found, []);
    assert_eq!(stats, DiffStats::default());
}

#[test]
fn the_cost_follows_the_difference() {
    let a = big(5000);
    let mut b = a.clone();
    b.insert(key_of(b"/d3/new").unwrap(), (3, 0));
    b.remove(&key_of(b"/d5/f5").unwrap());
    let (found, stats) = diff(&a, &b, [KeyRange::default(), KeyRange::default()], [0, 0]);
    assert_eq!(found, [('+', b"/d3/new".to_vec()), ('-', b"/d5/f5".to_vec())]);
    assert!(stats.nodes_opened < 60, "{} of about 1,700 nodes opened", stats.nodes_opened);
}

#[test]
fn a_damaged_node_hides_its_range_and_invents_nothing() {
    #[derive(Default)]
    struct Problems(Mutex<Vec<Problem>>);
    impl Monitor for Problems {
        fn add(&self, _: crate::monitor::Counter, _: u64) {}
        fn problem(&self, problem: &Problem) {
            self.0.lock().push(problem.clone());
        }
    }
    let a = big(400);
    let b: Model = a.iter().map(|(key, (content, _))| (key.clone(), (*content, 0o777))).collect();
    let mut map = Map::default();
    let (a_root, b_root) = (build(&a, &mut map), build(&b, &mut map));
    let whole = plain(&a, &b);
    assert_eq!(whole.len(), 400);
    let leaves: Vec<_> = map.nodes.iter().filter(|(_, n)| matches!(n, Node::Leaf(_))).map(|(id, _)| *id).collect();
    for leaf in leaves {
        let Some(Node::Leaf(lost)) = map.nodes.get(&leaf).cloned() else { panic!("a leaf") };
        let damaged = Map { damaged: vec![leaf], ..map.clone() };
        let problems = Problems::default();
        let everything = [KeyRange::default(), KeyRange::default()];
        let (found, stats) = diff_in(&damaged, &damaged, a_root, b_root, everything, [0, 0], &problems);
        let expected: Vec<_> =
            whole.iter().filter(|(_, path)| !lost.iter().any(|e| path_of(&e.key) == *path)).cloned().collect();
        assert_eq!(found, expected);
        assert_eq!(stats.damaged, 1);
        assert_eq!(problems.0.into_inner()[0].path, path_of(&lost[0].key));
    }
}

#[test]
fn what_changed_is_told_by_its_kind() {
    let file = |content| entry(b"\0f", (content, 0o644));
    assert_eq!(compare(&file(1), &file(1)), None);
    assert_eq!(compare(&file(1), &file(2)), Some((Marker::Modified, vec!["content"])));
    assert_eq!(compare(&file(1), &entry(b"\0f", (0, 0o644))), Some((Marker::Type, vec!["kind"])));
    let mut other = file(1);
    other.meta.mode = 0o600;
    other.meta.mtime.ns = 1;
    other.meta.ctime.s = 77;
    other.meta.inode = 77;
    assert_eq!(compare(&file(1), &other), Some((Marker::Metadata, vec!["mode", "mtime"])));
    let link = |target: &[u8]| {
        let mut link = file(0);
        link.meta.kind = EntryKind::Symlink;
        link.meta.target = target.to_vec();
        link
    };
    assert_eq!(compare(&link(b"a"), &link(b"b")), Some((Marker::Modified, vec!["target"])));
}
