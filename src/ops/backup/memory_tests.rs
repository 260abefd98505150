//! What a backup holds in memory does not grow with the number of chunks, and nothing is stored twice for it.

use super::*;
use crate::base::id::ContentId;
use crate::base::path::key_of;
use crate::format::blob::BlobKind;
use crate::format::tree::{EntryKind, Meta, Xattr};
use crate::monitor::Silent;
use crate::ops::testing::{Bench, meta, noise};
use crate::source::{Description, Fingerprint, FoundEntry, Handle, SourceFile, Walked};
use crate::storage::Storage;
use crate::storage::layer::{Fault, FaultStorage, OperationKind, Plan};
use std::io;

/// Chunks of the tests, and rows that may gather: few against them.
const CHUNKS: u32 = 9000;
const ROWS: usize = 100;
/// What may be claimed at a time: the rows, a batch of 1,024 entries and the one that is cut meanwhile, and packs of some 60
/// chunks on their way.
const HELD_MAX: usize = 4000;

/// Many short files, each one chunk; of each the number that its content is made from.
struct Numbered(Vec<u32>);

impl Numbered {
    fn content(&self, found: &FoundEntry) -> Vec<u8> {
        let number = self.0[found.meta.inode as usize];
        [&number.to_le_bytes()[..], &noise(200, number as u8)].concat()
    }
}

impl Source for Numbered {
    fn describe(&self) -> Description {
        Description { paths: vec![b"/".to_vec()], reopens: true, stable_identity: true }
    }

    fn walk(&self, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()> {
        let mut emit = |path: &str, meta| {
            let key = key_of(path.as_bytes()).unwrap();
            emit(Walked::Entry(FoundEntry::new(key, meta, Handle::KEY)))
        };
        let mut going = emit("/", meta(EntryKind::Directory));
        for inode in 0..self.0.len() as u64 {
            let meta = Meta { size: 204, inode, ..meta(EntryKind::File) };
            going = going && emit(&format!("/{inode:08}"), meta);
        }
        Ok(())
    }

    fn open(&self, found: &FoundEntry) -> io::Result<Box<dyn SourceFile>> {
        Ok(Box::new(Content(self.content(found), Fingerprint::of(&found.meta))))
    }

    fn xattrs(&self, _: &FoundEntry) -> io::Result<Vec<Xattr>> {
        Ok(Vec::new())
    }
}

struct Content(Vec<u8>, Fingerprint);

impl SourceFile for Content {
    fn fingerprint(&self) -> io::Result<Option<Fingerprint>> {
        Ok(Some(self.1))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn next_data(&self, offset: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
        Ok((offset < size).then_some((offset, size)))
    }
}

/// Every content once, then a third of them again, long after their claims were released, and at last some side by side.
fn source() -> Numbered {
    let again = (0..CHUNKS).step_by(3);
    Numbered((0..CHUNKS).chain(again).chain((0..300).map(|n| n / 100)).collect())
}

fn options() -> BackupOptions {
    let host = "here".into();
    BackupOptions { host, segment_rows: ROWS, batches: 1, threads: 2, readers: 1, ..BackupOptions::default() }
}

fn run(store: &Arc<Store>, options: BackupOptions) -> Result<BackupStats, BackupError> {
    super::run(store, &source(), &options, Arc::new(Silent))
}

fn assert_bounded(stats: &BackupStats) {
    assert_eq!((stats.chunks, stats.chunks_novel), (u64::from(CHUNKS + CHUNKS / 3 + 300), u64::from(CHUNKS)));
    assert!(stats.claims_most >= ROWS && stats.claims_most < HELD_MAX, "{} held", stats.claims_most);
}

/// Rows of the chunks in the store's segments, as another machine reads them, each of another chunk.
fn assert_each_is_stored_once(bench: &Bench) {
    let store = bench.open(bench.storage.clone()).unwrap();
    store.load_index().unwrap();
    let (mut ids, mut twice): (HashSet<ContentId>, _) = (HashSet::new(), 0);
    let index = store.index.read();
    index.each_row(&mut |_, row| twice += u32::from(!ids.insert(row.id))).unwrap();
    let mut chunks = 0;
    index.each_row(&mut |_, row| chunks += u32::from(row.kind == BlobKind::Chunks)).unwrap();
    assert_eq!((chunks, twice), (CHUNKS, 0));
}

#[test]
fn claims_are_let_go_and_what_comes_again_much_later_is_still_known() {
    for options in [options(), BackupOptions { batches: 0, readers: 2, segment_rows: 1, ..options() }] {
        let bench = Bench::with_packs(16 << 10);
        let stats = run(&bench.store, options.clone()).unwrap();
        // With more batches more chunks are in flight.
        if options.batches == 1 {
            assert_bounded(&stats);
        }
        assert_eq!(stats.chunks_novel, u64::from(CHUNKS));
        assert_each_is_stored_once(&bench);
        let again = run(&bench.store, BackupOptions { force: true, ..options }).unwrap();
        assert!(again.chunks_novel == 0 && again.claims_most == 0, "{again:?}");
    }
}

#[test]
fn claims_of_adopted_content_are_let_go_too() {
    let bench = Bench::with_packs(16 << 10);
    // The process ends just before its outcome, the third record that it puts.
    let gone = Plan { only: Some(OperationKind::Put), ..Plan::at(2, Fault::Gone) };
    let faulty: Arc<dyn Storage> = Arc::new(FaultStorage::new(bench.storage.clone(), Some(gone)));
    run(&bench.open(faulty).unwrap(), options()).unwrap_err();
    let stats = run(&bench.store, options()).unwrap();
    assert_eq!((stats.chunks_novel, stats.bytes_data_stored), (0, 0), "all is adopted");
    assert!(stats.claims_most >= ROWS && stats.claims_most < HELD_MAX, "{} held", stats.claims_most);
    assert_each_is_stored_once(&bench);
}

#[test]
fn a_dry_run_counts_as_exactly_in_as_little_memory() {
    let bench = Bench::with_packs(16 << 10);
    let stats = run(&bench.store, BackupOptions { dry_run: true, ..options() }).unwrap();
    assert_bounded(&stats);
    let cache = bench.store.places.store_cache(bench.store.id());
    let left = std::fs::read_dir(cache)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("dry-run-"));
    assert_eq!(left.count(), 0);
    assert_eq!(bench.store.index.read().rows(), 0, "nobody else finds what it put aside");
}

#[test]
fn a_cache_that_fails_costs_memory_or_exactness_and_no_backup() {
    let bench = Bench::with_packs(16 << 10);
    let cache = bench.store.places.store_cache(bench.store.id());
    std::fs::remove_dir_all(&cache).unwrap();
    std::fs::write(&cache, "no folder").unwrap();
    let dry = run(&bench.store, BackupOptions { dry_run: true, ..options() }).unwrap();
    assert!(dry.claims_most < HELD_MAX && dry.chunks_novel >= u64::from(CHUNKS), "{dry:?}");
    let stats = run(&bench.store, options()).unwrap();
    assert_eq!(stats.chunks_novel, u64::from(CHUNKS));
    assert!(stats.claims_most >= CHUNKS as usize, "nothing was let go that look-ups do not find");
    assert!(bench.store.take_notices().iter().any(|notice| notice.contains("more memory")));
    assert_each_is_stored_once(&bench);
}
