//! The index against a model in plain maps, and damaged files.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::fs;

const STORE: StoreId = StoreId([7; 16]);

/// One segment as the store would hand it over.
#[derive(Debug, Clone)]
struct Segment {
    id: ObjectId,
    packs: Vec<SegmentPack>,
    rows: Vec<Row>,
}

fn id_of(n: u64) -> ContentId {
    ContentId(*blake3::hash(&n.to_le_bytes()).as_bytes())
}

fn pack_of(n: u32) -> SegmentPack {
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
fn segment_of(id: u64, packs: &[u32], chunks: impl Iterator<Item = u64>) -> Segment {
    Segment {
        id: ObjectId(id_of(id ^ 1 << 63).0),
        packs: packs.iter().map(|n| pack_of(*n)).collect(),
        rows: chunks.map(|n| row_of(n, (n % packs.len() as u64) as u32)).collect(),
    }
}

fn add(index: &mut Index, segments: &[Segment]) {
    let mut builder = index.builder().unwrap();
    for segment in segments {
        builder.segment(segment.id, &segment.packs).unwrap();
        for rows in segment.rows.chunks(1000) {
            builder.rows(rows).unwrap();
        }
    }
    index.install(builder).unwrap();
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
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
    model.check(&index, 110_000);
    model.check(&Index::open(folder.path(), STORE).unwrap(), 110_000);
}
