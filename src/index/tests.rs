//! The index against a model in plain maps, and damaged files.

use super::*;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::fs;

pub(super) const STORE: StoreId = StoreId([7; 16]);

/// One segment as the store would hand it over.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub id: ObjectId,
    pub packs: Vec<SegmentPack>,
    pub rows: Vec<Row>,
}

pub(super) fn id_of(n: u64) -> ContentId {
    ContentId(*blake3::hash(&n.to_le_bytes()).as_bytes())
}

pub(super) fn pack_of(n: u32) -> SegmentPack {
    let kind = if n.is_multiple_of(3) { PackKind::Tree } else { PackKind::Data };
    SegmentPack { id: ObjectId([n as u8; 32]), kind, len: 1 << 20 | n, header_len: 100 + n }
}

/// A row for chunk `n`, all of whose fields depend on it.
fn row_of(n: u64, pack: u32) -> Row {
    let kind = [BlobKind::Chunks, BlobKind::Node, BlobKind::List][(n % 3) as usize];
    let n32 = n as u32;
    Row { id: id_of(n), kind, pack, blob_offset: n32, blob_len: n32 ^ 1, inner_offset: n32 ^ 2, inner_len: n32 ^ 3 }
}

/// Chunks `from..to`, spread over the packs given.
pub(super) fn segment_of(id: u64, packs: &[u32], chunks: impl Iterator<Item = u64>) -> Segment {
    Segment {
        id: ObjectId(id_of(id ^ 1 << 63).0),
        packs: packs.iter().map(|n| pack_of(*n)).collect(),
        rows: chunks.map(|n| row_of(n, (n % packs.len() as u64) as u32)).collect(),
    }
}

pub(super) fn add(index: &mut Index, segments: &[Segment]) {
    let mut builder = index.builder().unwrap();
    for segment in segments {
        builder.segment(segment.id, &segment.packs).unwrap();
        for rows in segment.rows.chunks(1000) {
            builder.rows(rows).unwrap();
        }
    }
    index.install(builder).unwrap();
}

pub(super) fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|e| e == "run1")).collect()
}

/// What the index should say.
#[derive(Default)]
struct Model {
    segments: HashMap<ObjectId, Segment>,
    hidden: HashSet<ObjectId>,
}

impl Model {
    fn locations(&self) -> HashMap<ContentId, BTreeSet<Location>> {
        let mut all: HashMap<ContentId, BTreeSet<Location>> = HashMap::new();
        for (segment, row) in self.segments.values().flat_map(|s| s.rows.iter().map(move |row| (s, row))) {
            let pack = segment.packs[row.pack as usize];
            if !self.hidden.contains(&pack.id) {
                all.entry(row.id).or_default().insert(location(&pack, row));
            }
        }
        all
    }

    /// Compares everything, asking for chunks `0..universe`.
    fn check(&self, index: &Index, universe: u64) {
        assert_eq!(index.segments(), self.segments.keys().copied().collect());
        let expected = self.locations();
        let mut found = Vec::new();
        for id in (0..universe).map(id_of) {
            let expected = expected.get(&id);
            assert_eq!(index.contains(&id), expected.is_some(), "{id}");
            found.clear();
            index.locate(&id, &mut found);
            assert_eq!(found.len(), expected.map_or(0, BTreeSet::len), "{id}");
            assert!(found.iter().all(|location| expected.unwrap().contains(location)), "{id}");
        }
        let packs: HashSet<ObjectId> = self.segments.values().flat_map(|s| s.packs.iter().map(|p| p.id)).collect();
        let known = index.packs();
        assert_eq!(known.len(), packs.len());
        assert!(known.iter().all(|pack| packs.contains(&pack.id)));

        let mut rows = BTreeSet::new();
        let mut last = None;
        index
            .each_row(&mut |pack, row| {
                assert!(last.replace(row.id) <= Some(row.id), "rows come in id order");
                assert!(rows.insert((row.id, location(pack, row))), "each row comes once");
            })
            .unwrap();
        let visible = Model { segments: self.segments.clone(), hidden: HashSet::new() }.locations();
        assert_eq!(rows.len(), visible.values().map(BTreeSet::len).sum::<usize>());
        assert!(rows.iter().all(|(id, location)| visible[id].contains(location)));
        assert!(index.rows() >= rows.len() as u64);
        assert!(!index.is_damaged());
    }
}

#[derive(Debug, Clone)]
enum Op {
    /// New segments in one run: first chunk, number of chunks, packs.
    Add(Vec<(u64, u64, Vec<u32>)>),
    /// Forget the segments whose number modulo 5 is this.
    Retain(u64),
    Hide(u32),
    Reopen,
    /// Another process adds a segment, and maybe merges, while this one has the folder open.
    Elsewhere(u64, u64),
}

/// What the store does when it has listed its segments.
fn retain(index: &mut Index, model: &Model) {
    let again = index.retain_segments(&model.segments.keys().copied().collect()).unwrap();
    let again: Vec<_> = again.iter().map(|id| model.segments[id].clone()).collect();
    add(index, &again);
}

const UNIVERSE: u64 = 3000;

fn any_op() -> impl Strategy<Value = Op> {
    let segment = (0..UNIVERSE, 0..400u64, prop::collection::vec(0..12u32, 1..4));
    prop_oneof![
        6 => prop::collection::vec(segment, 0..4).prop_map(Op::Add),
        1 => (0..5u64).prop_map(Op::Retain),
        1 => (0..12u32).prop_map(Op::Hide),
        2 => Just(Op::Reopen),
        2 => (0..UNIVERSE, 0..300u64).prop_map(|(from, count)| Op::Elsewhere(from, count)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_added_retained_hidden_merged_and_reopened_the_index_says_what_a_map_says(
        ops in prop::collection::vec(any_op(), 1..24)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::open(folder.path(), STORE).unwrap();
        let mut model = Model::default();
        let mut next = 0;
        let mut segment = |from: u64, count: u64, packs: &[u32]| {
            next += 1;
            segment_of(next, packs, (from..from + count).map(|n| n % UNIVERSE))
        };
        for op in ops {
            match op {
                Op::Add(segments) => {
                    let segments: Vec<_> = segments.iter().map(|(from, n, packs)| segment(*from, *n, packs)).collect();
                    add(&mut index, &segments);
                    model.segments.extend(segments.into_iter().map(|s| (s.id, s)));
                }
                Op::Retain(remainder) => {
                    let gone = |id: &ObjectId| u64::from(id.0[0]) % 5 == remainder;
                    model.segments.retain(|id, _| !gone(id));
                    retain(&mut index, &model);
                }
                Op::Hide(pack) => {
                    let packs = HashSet::from([pack_of(pack).id]);
                    index.hide_packs(&packs);
                    model.hidden.extend(packs);
                }
                Op::Reopen => {
                    index = Index::open(folder.path(), STORE).unwrap();
                    model.hidden.clear();
                    // The other process may have left a segment here that is gone by now.
                    retain(&mut index, &model);
                }
                Op::Elsewhere(from, count) => {
                    let segment = segment(from, count, &[1, 2, 3]);
                    let mut other = Index::open(folder.path(), STORE).unwrap();
                    add(&mut other, std::slice::from_ref(&segment));
                    // Here it is read as well, because this process does not know what the other one did.
                    add(&mut index, std::slice::from_ref(&segment));
                    model.segments.insert(segment.id, segment);
                }
            }
        }
        model.check(&index, UNIVERSE + 100);
    }
}

#[test]
fn a_hundred_thousand_rows_in_spilled_pieces_are_all_found_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::open(folder.path(), STORE).unwrap();
    let mut model = Model::default();
    for n in 0..3 {
        // Every third chunk of the second and third one lies in the first, too.
        let segment = segment_of(
            n,
            &[n as u32, 20, 30],
            (0..33_000).map(|i| if n > 0 && i % 3 == 0 { i } else { 33_000 * n + i }),
        );
        add(&mut index, std::slice::from_ref(&segment));
        model.segments.insert(segment.id, segment);
    }
    assert_eq!(files(folder.path()).len(), 1, "runs of equal size are merged");
    drop(index);
    model.check(&Index::open(folder.path(), STORE).unwrap(), 110_000);
}

#[test]
fn processes_that_add_and_merge_at_once_in_one_folder_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for process in 0..3u64 {
            let folder = folder.path();
            scope.spawn(move || {
                let mut index = Index::open(folder, STORE).unwrap();
                for n in 0..12 {
                    let number = process * 100 + n;
                    add(&mut index, &[segment_of(number, &[number as u32], number * 50..number * 50 + 50)]);
                    if n % 4 == 3 {
                        let other = Index::open(folder, STORE).unwrap();
                        assert!((0..=n).all(|n| other.contains(&id_of((process * 100 + n) * 50))));
                    }
                }
                assert!((0..600).all(|n| index.contains(&id_of(process * 5000 + n))));
            });
        }
    });
    let index = Index::open(folder.path(), STORE).unwrap();
    assert_eq!(index.segments().len(), 36);
    assert!((0..3).all(|process| (0..600).all(|n| index.contains(&id_of(process * 5000 + n)))));
    assert!(!(600..700).any(|n| index.contains(&id_of(n))));
}

#[test]
fn many_small_runs_beside_a_large_one_are_merged_among_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::open(folder.path(), STORE).unwrap();
    add(&mut index, &[segment_of(0, &[1], 0..20_000)]);
    for n in 1..60 {
        add(&mut index, &[segment_of(n, &[2], 20_000 + n * 10..20_010 + n * 10)]);
        assert!(files(folder.path()).len() <= RUNS_MAX, "{n}");
    }
    assert_eq!(index.runs[0].rows(), 20_000, "the large one is as it was");
    assert_eq!((index.rows(), index.segments().len()), (20_590, 60));
    assert!((0..20_590).all(|n| index.contains(&id_of(n)) != (20_000..20_010).contains(&n)), "all are found");
}

#[test]
fn private_runs_are_found_here_only_until_they_are_published() {
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::open(folder.path(), STORE).unwrap();
    for round in 0..2 {
        for n in 0..20 {
            let segment = segment_of(n, &[1], n * 10..n * 10 + 10);
            let mut builder = index.builder().unwrap();
            builder.segment(segment.id, &segment.packs).unwrap();
            builder.rows(&segment.rows).unwrap();
            let run = builder.finish(STORE).unwrap();
            index.install_private(run).unwrap();
            let merged = index.merged_private().unwrap();
            assert_eq!(merged.is_some(), index.private.len() > RUNS_MAX);
            merged.map_or(Ok(()), |merged| index.replace_private(merged)).unwrap();
            assert!(index.private.len() <= RUNS_MAX && index.private.is_sorted_by_key(|(r, _)| Reverse(r.rows())));
        }
        assert!((0..200).all(|n| index.contains(&id_of(n))) && !index.contains(&id_of(200)));
        assert!(index.segments().is_empty());
        assert!(Index::open(folder.path(), STORE).unwrap().segments().is_empty());
        if round == 0 {
            index.forget_private();
            assert!(!(0..200).any(|n| index.contains(&id_of(n))));
        }
    }
    index.publish_private().unwrap();
    index.merge().unwrap();
    for index in [index, Index::open(folder.path(), STORE).unwrap()] {
        assert_eq!((index.segments().len(), index.rows()), (20, 200));
        assert!((0..200).all(|n| index.contains(&id_of(n))));
    }
}

#[test]
fn what_was_merged_of_private_runs_replaces_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::open(folder.path(), STORE).unwrap();
    let run = |index: &Index, n: u64| {
        let segment = segment_of(n, &[1], n * 10..n * 10 + 10);
        let mut builder = index.builder().unwrap();
        builder.segment(segment.id, &segment.packs).unwrap();
        builder.rows(&segment.rows).unwrap();
        builder.finish(STORE).unwrap()
    };
    for n in 0..10 {
        let run = run(&index, n);
        index.install_private(run).unwrap();
    }
    let merged = index.merged_private().unwrap().unwrap();
    let late = run(&index, 10);
    index.install_private(late).unwrap();
    index.replace_private(merged).unwrap();
    assert!((0..110).all(|n| index.contains(&id_of(n))), "the late one is still there");
}

#[test]
fn a_segment_that_says_something_else_of_a_pack_does_not_change_what_others_say() {
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::open(folder.path(), STORE).unwrap();
    let honest = segment_of(1, &[1], 0..10);
    let mut other = segment_of(2, &[1], 5..20);
    other.packs[0].header_len = 7;
    add(&mut index, &[other, honest]);
    let mut found = Vec::new();
    index.locate(&id_of(5), &mut found);
    let headers: BTreeSet<u32> = found.iter().map(|location| location.pack_header_len).collect();
    assert_eq!(headers, BTreeSet::from([7, 101]));
    found.clear();
    index.locate(&id_of(1), &mut found);
    assert_eq!((found.len(), found[0].pack_header_len), (1, 101));
    assert_eq!(index.packs().len(), 1);
}

#[test]
fn ids_that_lie_close_together_are_found_and_their_neighbours_are_not() {
    // Nobody's hashes look like this, but a segment may hold any ids.
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::open(folder.path(), STORE).unwrap();
    let id = |n: u64, spread: u64| {
        let mut id = [0xff; 32];
        id[..8].copy_from_slice(&n.wrapping_mul(spread).to_be_bytes());
        id[8..16].copy_from_slice(&n.to_be_bytes());
        ContentId(id)
    };
    let spreads = [0, 1, 1 << 40, 3 << 48, u64::MAX];
    let mut segment = segment_of(1, &[1, 2], 0..40_000);
    for (n, row) in segment.rows.iter_mut().enumerate() {
        row.id = id(n as u64 / 5 * 2, spreads[n % 5]);
    }
    // One id so often that it fills several pages.
    segment.rows.extend((0..400).map(|n| Row { id: id(1001, 1), blob_offset: n, ..row_of(0, 0) }));
    add(&mut index, std::slice::from_ref(&segment));
    assert!(segment.rows.iter().all(|row| index.contains(&row.id)));
    assert!(!(0..8000).any(|n| n != 500 && spreads.iter().any(|spread| index.contains(&id(2 * n + 1, *spread)))));
    let mut found = Vec::new();
    index.locate(&id(1001, 1), &mut found);
    assert_eq!(found.len(), 400);
    let last = segment.rows.iter().map(|row| row.id).max().unwrap();
    assert!(index.contains(&last) && !index.contains(&ContentId([0xff; 32])));
}
