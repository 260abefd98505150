//! Damaged, cut, swapped and made-up run files: never a panic, never a chunk that is not there.

use super::entry::{self, Entry, PACKS_MAX};
use super::filter::Descriptor;
use super::layout::{HEAD_LEN, PAGE_LEN};
use super::tests::{STORE, add, files, id_of, segment_of};
use super::*;
use proptest::prelude::*;
use std::fs;
use std::ops::Deref;

const ROWS: u64 = 90;

/// The file of a small run with chunks `0..ROWS`.
fn small_run() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::open(folder.path(), STORE).unwrap();
    add(&mut index, &[segment_of(1, &[1, 2], 0..ROWS / 2), segment_of(2, &[2, 3], ROWS / 2..ROWS)]);
    fs::read(&files(folder.path())[0]).unwrap()
}

fn found<B: Deref<Target = [u8]>>(run: &Run<B>, id: &ContentId) -> Vec<(Option<SegmentPack>, Option<Row>)> {
    let mut found = Vec::new();
    run.find(id, |entry| {
        found.push((run.pack(entry::pack(entry)), entry::row(entry)));
        ControlFlow::Continue(())
    });
    found
}

/// Everything that can be asked of a run, for its effect.
fn ask_everything(run: &mut Run<&[u8]>) {
    for n in 0..ROWS + 20 {
        found(run, &id_of(n));
    }
    let entries: Vec<Entry> = run.entries().filter_map(|entry| entry.ok().copied()).take(1 << 16).collect();
    for entry in &entries {
        found(run, &ContentId(*entry::id(entry)));
    }
    let packs = run.packs().map(|pack| pack.id).collect();
    run.hide(&packs);
    assert!(entries.iter().all(|entry| found(run, &ContentId(*entry::id(entry))).is_empty()), "all packs are hidden");
    assert_eq!(run.segments().count(), run.head().segments as usize);
}

#[test]
fn whatever_byte_of_a_run_is_changed_it_is_refused_or_says_nothing_wrong() {
    let sound = small_run();
    let whole = Run::new(&sound[..]).unwrap();
    let ids: Vec<_> = (0..ROWS + 20).map(id_of).collect();
    let expected: Vec<_> = ids.iter().map(|id| found(&whole, id)).collect();
    assert!(expected.iter().enumerate().all(|(n, found)| found.len() == usize::from((n as u64) < ROWS)));
    let (partition, tables) = (whole.head().partitions[0], whole.head().packs_range().end + 64);
    let pages = partition.first_page as usize * PAGE_LEN..(partition.first_page as usize + 2) * PAGE_LEN;
    assert_eq!(partition.pages(), 2);
    let mut bytes = sound.clone();
    for at in 0..sound.len() {
        let covered = pages.contains(&at) || partition.filter_range().contains(&at);
        if at > tables && !covered && !at.is_multiple_of(16) {
            continue; // Padding, of which a part will do.
        }
        bytes[at] ^= 1 << (at % 8);
        match Run::new(&bytes[..]) {
            Err(_) => assert!(at < tables, "byte {at} is no part of head and tables"),
            Ok(run) => {
                assert!(at >= tables, "byte {at} of head and tables is covered");
                let mut lost = 0;
                for (id, expected) in ids.iter().zip(&expected) {
                    let found = found(&run, id);
                    assert!(found.is_empty() || found == *expected, "byte {at} makes {id} {found:?}");
                    lost += usize::from(found != *expected);
                }
                assert_eq!((lost > 0, run.is_damaged()), (covered, covered), "byte {at}: {lost} chunks are lost");
            }
        }
        bytes[at] = sound[at];
    }
}

#[test]
fn a_flipped_bit_in_an_id_does_not_make_the_other_id_known() {
    let sound = small_run();
    let whole = Run::new(&sound[..]).unwrap();
    let start = whole.head().partitions[0].first_page as usize * PAGE_LEN;
    let mut bytes = sound.clone();
    // The last byte of the first id: the page, the place and the filter's key stay the same.
    bytes[start + 31] ^= 1;
    let run = Run::new(&bytes[..]).unwrap();
    let id = |bytes: &[u8]| ContentId(*bytes[start..].first_chunk().unwrap());
    assert!(found(&run, &id(&bytes)).is_empty());
    assert!(run.is_damaged());
    assert_eq!(found(&whole, &id(&sound)).len(), 1);
}

#[test]
fn a_run_cut_short_or_grown_is_refused() {
    let sound = small_run();
    for len in (0..sound.len()).step_by(61).chain([sound.len() - 1]) {
        assert!(Run::new(&sound[..len]).is_err(), "{len}");
    }
    assert!(Run::new([&sound[..], &[0]].concat()).is_err());
}

#[test]
fn a_page_at_another_place_or_of_another_run_is_noticed() {
    let (sound, other) = (small_run(), small_run());
    let page = Run::new(&sound[..]).unwrap().head().partitions[0].first_page as usize * PAGE_LEN;
    let mut swapped = sound.clone();
    swapped.copy_within(page + PAGE_LEN..page + 2 * PAGE_LEN, page);
    let mut mixed = sound;
    mixed[page..page + PAGE_LEN].copy_from_slice(&other[page..page + PAGE_LEN]);
    for bytes in [swapped, mixed] {
        let run = Run::new(&bytes[..]).unwrap();
        assert!(run.entries().any(|entry| entry.is_err()));
        assert!(run.is_damaged());
    }
}

/// Corrects the checksum of the tables, as somebody does who makes up a file.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i])) as usize;
    let end = HEAD_LEN + word(104) * 32 + word(108) * 44 + (64usize << word(112).min(10));
    if let Some(covered) = bytes.get(40..end) {
        let sum = blake3::hash(covered);
        bytes[8..40].copy_from_slice(sum.as_bytes());
    }
    bytes
}

/// The same for every page and filter of a file whose tables are read.
fn with_all_checksums(bytes: Vec<u8>) -> Vec<u8> {
    let mut bytes = with_checksum(bytes);
    let Ok(head) = layout::Head::decode(&bytes) else { return bytes };
    for (number, page) in bytes.as_chunks_mut::<PAGE_LEN>().0.iter_mut().enumerate() {
        if head.partitions.iter().any(|p| (p.first_page..p.first_page + p.pages()).contains(&(number as u32))) {
            layout::seal_page(page, number as u32, &head.key);
        }
    }
    let sum = *blake3::keyed_hash(&head.key, &bytes[head.partitions[0].filter_range()]).as_bytes();
    let end = head.packs_range().end;
    bytes[end + 32..end + 64].copy_from_slice(&sum);
    with_checksum(bytes)
}

proptest! {
    #[test]
    fn made_up_tables_pages_and_filters_with_right_checksums_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        in_tables in any::<bool>(),
    ) {
        let mut bytes = small_run();
        let end = if in_tables { HEAD_LEN + 2 * 32 + 3 * 44 + 64 } else { bytes.len() };
        for (at, value) in changes {
            bytes[at.index(end)] = value;
        }
        let bytes = with_all_checksums(bytes);
        if let Ok(mut run) = Run::new(&bytes[..]) {
            ask_everything(&mut run);
        }
    }

    #[test]
    fn any_bytes_as_a_run_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Run::new(&bytes[..]).is_err());
    }

    #[test]
    fn a_filter_whose_shape_fits_is_read_without_leaving_it(
        seed in any::<u64>(), log in 0u32..12, segments in 1u32..40, key in any::<u64>(), fill in any::<u8>()
    ) {
        let (segment, all) = (1u32 << log, segments << log);
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        for (place, word) in bytes[8..].chunks_exact_mut(4).zip([segment, segment - 1, all]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let descriptor = Descriptor(bytes);
        prop_assert!(descriptor.fits() && descriptor.bytes() == (all + 2 * segment) as usize);
        descriptor.contains(&vec![fill; descriptor.bytes()], key);
        for changed in 8..20 {
            let mut bytes = bytes;
            bytes[changed] ^= 1 << (seed % 8);
            let changed = Descriptor(bytes);
            if changed.fits() && changed.bytes() < 1 << 20 {
                changed.contains(&vec![fill; changed.bytes()], key);
            }
        }
    }
}

#[test]
fn a_damaged_run_is_dropped_and_its_segments_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::open(folder.path(), STORE).unwrap();
    let segments = [segment_of(1, &[1], 0..5000), segment_of(2, &[2], 5000..5010)];
    add(&mut index, &segments[..1]);
    add(&mut index, &segments[1..]);
    let file = files(folder.path()).into_iter().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
    drop(index);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    // Not in place: a run file is never written to.
    fs::remove_file(&file).unwrap();
    fs::write(&file, bytes).unwrap();

    let mut index = Index::open(folder.path(), STORE).unwrap();
    assert!(!index.is_damaged(), "pages are read when they are needed");
    let there = (0..5010).filter(|n| index.contains(&id_of(*n))).count();
    // A page is missing, and what is found by way of it.
    assert!((4700..4933).contains(&there), "{there}");
    assert!(index.is_damaged());
    assert!(index.each_row(&mut |_, _| {}).is_err());
    let live = segments.iter().map(|segment| segment.id).collect();
    assert_eq!(index.retain_segments(&live).unwrap(), [segments[0].id]);
    assert!(!index.is_damaged());
    add(&mut index, &segments[..1]);
    assert!((0..5010).all(|n| index.contains(&id_of(n))));
}

#[test]
fn a_damaged_run_is_never_merged_into_a_sound_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::open(folder.path(), STORE).unwrap();
    add(&mut index, &[segment_of(1, &[1], 0..500)]);
    let file = &files(folder.path())[0];
    let mut bytes = fs::read(file).unwrap();
    bytes[PAGE_LEN + 5] ^= 4;
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
    let mut index = Index::open(folder.path(), STORE).unwrap();
    add(&mut index, &[segment_of(2, &[2], 500..1000)]);
    assert!(index.is_damaged());
    assert_eq!(files(folder.path()).len(), 2);
    assert!((500..1000).all(|n| index.contains(&id_of(n))));
}

#[test]
fn damaged_foreign_and_left_over_files_are_removed_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut index = Index::open(folder.path(), STORE).unwrap();
    add(&mut index, &[segment_of(1, &[1], 0..10)]);
    let mut foreign = Index::open(folder.path(), StoreId([8; 16])).unwrap();
    assert!(files(folder.path()).is_empty(), "the other store's runs are foreign there");
    add(&mut foreign, &[segment_of(1, &[1], 0..10)]);
    fs::write(path("empty.run1"), "").unwrap();
    fs::write(path("torn.run1"), &small_run()[..PAGE_LEN]).unwrap();
    fs::write(path("notes.txt"), "not ours").unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 24 * 3600);
    for name in [".run-killed", ".run-now", ".run-busy", ".other-old"] {
        let file = fs::File::create(path(name)).unwrap();
        if name != ".run-now" {
            file.set_modified(old).unwrap();
        }
    }
    let busy = fs::File::open(path(".run-busy")).unwrap();
    busy.lock_shared().unwrap();
    let index = Index::open(folder.path(), STORE).unwrap();
    assert!(index.segments().is_empty());
    let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".other-old", ".run-busy", ".run-now", "notes.txt"].map(std::ffi::OsString::from));
}

#[test]
fn rows_that_cannot_be_indexed_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(folder.path(), STORE).unwrap();
    let segment = segment_of(1, &[1, 2], 0..2);
    let mut builder = index.builder().unwrap();
    assert!(matches!(builder.rows(&segment.rows), Err(IndexError::Row(_))), "no segment yet");
    builder.segment(segment.id, &segment.packs).unwrap();
    for row in [Row { pack: 2, ..segment.rows[0] }, Row { pack: PACKS_MAX, ..segment.rows[0] }] {
        assert!(matches!(builder.rows(&[row]), Err(IndexError::Row(_))));
    }
    for kind in [BlobKind::Padding, BlobKind::Table, BlobKind::IndexRows] {
        assert!(matches!(builder.rows(&[Row { kind, ..segment.rows[0] }]), Err(IndexError::Row(_))));
    }
}

#[test]
fn a_page_that_is_gone_later_makes_its_rows_absent_and_does_not_end_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    fs::write(&path, small_run()).unwrap();
    let run = Run::open(&path).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    let there = (0..ROWS).filter(|n| !found(&run, &id_of(*n)).is_empty()).count();
    assert_eq!(there, 0);
}

#[test]
fn what_is_no_file_in_the_place_of_a_run_is_not_waited_for_and_costs_no_other_run() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::open(folder.path(), STORE).unwrap();
    add(&mut index, &[segment_of(1, &[1, 2], 0..ROWS)]);
    drop(index);
    for name in ["0.run1", "lock", "1.run1"] {
        let path = folder.path().join(name);
        _ = fs::remove_file(&path);
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }
    fs::create_dir(folder.path().join("2.run1")).unwrap();
    let index = Index::open(folder.path(), STORE).unwrap();
    assert!((0..ROWS).all(|n| index.contains(&id_of(n))));
    assert!(!folder.path().join("0.run1").exists() && !folder.path().join("1.run1").exists());
}
