//! Tier a, in this process: what must come out the same on every machine, counted on fixed work with a fixed secret in
//! a store in memory, every pool at one thread.

use super::allocations::{self, Allocations};
use super::baseline::{Value, Values};
use super::work::{self, ROOT, Work};
use crate::chunking::{Cutter, default_params};
use crate::crypto::keys::StoreKeys;
use crate::crypto::slot::Credential;
use crate::harness::BenchError;
use crate::monitor::Silent;
use crate::ops::backup::{self, BackupOptions, BackupStats};
use crate::ops::check::{self, CheckOptions, ReadData};
use crate::ops::restore::{self, RestoreOptions};
use crate::storage::layer::{Operation, OperationKind, RecordStorage};
use crate::storage::{
    Area, Block, Capabilities, Created, Listed, MemoryStorage, Storage, StorageError, StorageKey, StorageWriter,
};
use crate::store::open::{BENCH_SECRET, CreateOptions};
use crate::store::{MachineFolders, Store};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A small store: several packs come of little work.
const PACK_BYTES: u32 = 4 << 20;
/// Areas whose objects hold times and numbers of processes.
const VARIES: [Area; 2] = [Area::Sessions, Area::Snapshots];
/// Runs that the peak of a first backup is the median of: how many blocks are on their way is a matter of chance.
const PEAK_RUNS: usize = 7;

/// Everything that was counted: at 0 %, and what may move a little.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counted {
    /// Cut points, chunks, bytes, requests.
    pub exact: Values,
    /// Calls of the allocator and the peak of what it gave, by operation; empty where the allocator does not count.
    pub memory: Values,
}

/// Counts. Folders of the machine that a store needs are made below `folder`.
pub fn take(work: &Work, folder: &Path, cancel: &Arc<AtomicBool>) -> Result<Counted, BenchError> {
    let cutter = cutter()?;
    let mut counted = Counted::default();
    cuts(&mut counted.exact, |data, lengths| cutter.cuts(data, lengths));
    let record = Arc::new(RecordStorage::new(Arc::new(MemoryStorage::new())));
    let store = Arc::new(create(record.clone(), folder)?);
    record.take();
    let source = work.source();
    for name in ["first", "unchanged"] {
        let options = backup_options(cancel);
        let (stats, memory) = allocations::measure(|| backup::run(&store, &source, &options, Arc::new(Silent)));
        backup_counts(&mut counted.exact, name, &stats?);
        requests(&mut counted.exact, name, &record)?;
        remember(&mut counted.memory, name, memory, name == "unchanged");
    }
    peak_of_first(&mut counted.memory, work, folder, cancel)?;
    layout(&mut counted.exact, &store)?;
    let target = folder.join("restored");
    let options = restore_options(&target, cancel);
    let (stats, memory) = allocations::measure(|| restore::run(&store, &options, &Silent));
    stats?;
    requests(&mut counted.exact, "restore", &record)?;
    remember(&mut counted.memory, "restore", memory, true);
    let options = CheckOptions { read_data: ReadData::All, threads: 1, cancel: cancel.clone() };
    let report = check::run(&store, &options, &Silent)?;
    if !report.findings.is_empty() {
        return Err(BenchError::NotMeasured(format!("the store that was counted is damaged: {:?}", report.findings)));
    }
    requests(&mut counted.exact, "check", &record)?;
    Ok(counted)
}

/// The cutter of the fixed secret.
pub fn cutter() -> Result<Cutter, BenchError> {
    Cutter::new(default_params(), &StoreKeys::new(&BENCH_SECRET).gear).map_err(|e| BenchError::Invalid(e.to_string()))
}

/// A store in memory with the fixed secret.
pub fn create(storage: Arc<dyn Storage>, folder: &Path) -> Result<Store, BenchError> {
    let places = MachineFolders { config: folder.join("config"), cache: folder.join("cache") };
    let options = CreateOptions {
        store_secret: Some(BENCH_SECRET.into()),
        pack_bytes: Some(PACK_BYTES),
        ..CreateOptions::default()
    };
    Ok(Store::create(storage, &Credential::KeyFile([7; 32].into()), places, options)?)
}

/// One thread of each kind, a fixed number of batches, a fixed time.
pub fn backup_options(cancel: &Arc<AtomicBool>) -> BackupOptions {
    BackupOptions {
        host: "gate".into(),
        time: Some(crate::base::time::Time { s: 1_577_836_800, ns: 0 }),
        threads: 1,
        readers: 1,
        batches: 2,
        cancel: cancel.clone(),
        ..BackupOptions::default()
    }
}

/// The same of a restore.
pub fn restore_options(target: &Path, cancel: &Arc<AtomicBool>) -> RestoreOptions {
    RestoreOptions {
        snapshot: "latest".into(),
        path: ROOT.into(),
        target: target.to_path_buf(),
        threads: 1,
        host: "gate".into(),
        cancel: cancel.clone(),
        ..RestoreOptions::default()
    }
}

/// Golden hashes of all cut points, of bytes that meet every way to cut: by hash, at the longest, at the end of a file.
pub fn cuts(into: &mut Values, cut: impl Fn(&[u8], &mut Vec<u32>)) {
    let runs: Vec<u8> = (0..3 << 20).map(|i: u32| (i >> 15) as u8).collect();
    let inputs = [
        ("noise", work::noise(1, 6 << 20)),
        ("text", work::text(2, 6 << 20)),
        ("zeros", vec![0; (3 << 20) + 1]),
        ("runs", runs),
    ];
    for (name, data) in inputs {
        let mut lengths = Vec::new();
        cut(&data, &mut lengths);
        let mut hasher = blake3::Hasher::new();
        lengths.iter().for_each(|length| _ = hasher.update(&length.to_le_bytes()));
        into.insert(format!("cuts/{name}/count"), Value::Number(lengths.len() as u64));
        into.insert(format!("cuts/{name}/hash"), Value::Text(hasher.finalize().to_hex().to_string()));
    }
}

fn backup_counts(into: &mut Values, name: &str, stats: &BackupStats) {
    let numbers = [
        ("files", stats.files),
        ("bytes read", stats.bytes_read),
        ("chunks", stats.chunks),
        ("chunks novel", stats.chunks_novel),
        ("bytes novel", stats.bytes_novel),
        ("bytes of data stored", stats.bytes_data_stored),
        ("packs", stats.packs),
        ("problems", stats.problem_count),
    ];
    into.extend(numbers.map(|(what, n)| (format!("{name}/{what}"), Value::Number(n))));
}

/// Where every chunk and node lies. Packs end in padding; what is sealed is counted to the byte here.
fn layout(into: &mut Values, store: &Store) -> Result<(), BenchError> {
    store.load_index()?;
    let index = store.index.read();
    let (mut hasher, mut blobs, mut rows) = (blake3::Hasher::new(), HashSet::new(), 0);
    let read = index.each_row(&mut |pack, row| {
        rows += 1;
        blobs.insert((pack.id, row.blob_offset, row.blob_len));
        hasher.update(&row.id.0).update(&[row.kind as u8]);
        for number in [row.blob_offset, row.blob_len, row.inner_offset, row.inner_len] {
            hasher.update(&number.to_le_bytes());
        }
    });
    read.map_err(|error| BenchError::NotMeasured(format!("the index: {error}")))?;
    let sealed: u64 = blobs.iter().map(|(_, _, len)| u64::from(*len)).sum();
    into.insert("layout/rows".into(), Value::Number(rows));
    into.insert("layout/blobs".into(), Value::Number(blobs.len() as u64));
    into.insert("layout/bytes sealed".into(), Value::Number(sealed));
    into.insert("layout/hash".into(), Value::Text(hasher.finalize().to_hex().to_string()));
    Ok(())
}

/// What the storage was asked for since the last time, and what it holds. Session records and manifests hold the time and
/// the number of the process, whose digits differ in length: their requests count, their bytes do not.
fn requests(into: &mut Values, name: &str, record: &RecordStorage) -> Result<(), BenchError> {
    let operations = record.take();
    for kind in OperationKind::ALL {
        let count = operations.iter().filter(|operation| operation.kind == kind).count() as u64;
        let id = format!("{kind:?}").to_lowercase();
        into.insert(format!("{name}/requests/{id}"), Value::Number(count));
        let fixed = |operation: &&Operation| operation.kind == kind && !VARIES.contains(&operation.area);
        let bytes: u64 = operations.iter().filter(fixed).map(|operation| operation.bytes).sum();
        if kind != OperationKind::List && bytes > 0 {
            into.insert(format!("{name}/bytes/{id}"), Value::Number(bytes));
        }
    }
    for area in Area::ALL.into_iter().filter(|area| !VARIES.contains(area)) {
        let mut bytes = 0;
        record.list(area, &mut |listed| bytes += listed.len).map_err(crate::store::StoreError::from)?;
        into.insert(format!("{name}/stored/{}", area.folder()), Value::Number(bytes));
    }
    record.take();
    Ok(())
}

fn remember(into: &mut Values, name: &str, memory: Option<Allocations>, with_peak: bool) {
    if let Some(Allocations { calls, peak }) = memory {
        into.insert(format!("{name}/allocations"), Value::Number(calls));
        if with_peak {
            into.insert(format!("{name}/peak bytes"), Value::Number(peak));
        }
    }
}

/// The peak of a first backup: with one batch in flight, and packs that go nowhere, as how far the storage in memory is
/// with its copy of one pack when the next one begins is a matter of chance.
fn peak_of_first(into: &mut Values, work: &Work, folder: &Path, cancel: &Arc<AtomicBool>) -> Result<(), BenchError> {
    let mut peaks = Vec::new();
    for run in 0..PEAK_RUNS {
        let folder = folder.join(format!("peak-{run}"));
        let store = Arc::new(create(Arc::new(Discard(MemoryStorage::new())), &folder)?);
        let options = BackupOptions { batches: 1, ..backup_options(cancel) };
        let source = work.source();
        let (stats, memory) = allocations::measure(|| backup::run(&store, &source, &options, Arc::new(Silent)));
        stats?;
        peaks.extend(memory.map(|memory| memory.peak));
    }
    peaks.sort_unstable();
    if let Some(middle) = peaks.get(peaks.len() / 2) {
        into.insert("first/peak bytes".into(), Value::Number(*middle));
    }
    Ok(())
}

/// Storage in memory that throws data packs away.
struct Discard(MemoryStorage);

impl Storage for Discard {
    fn location(&self) -> String {
        self.0.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn put_if_absent(&self, key: &StorageKey, bytes: &[u8]) -> Result<Created, StorageError> {
        self.0.put_if_absent(key, bytes)
    }

    fn writer(&self, area: Area) -> Result<Box<dyn StorageWriter>, StorageError> {
        if area == Area::Packs { Ok(Box::new(Nowhere)) } else { self.0.writer(area) }
    }

    fn get(&self, key: &StorageKey, max: usize) -> Result<Vec<u8>, StorageError> {
        self.0.get(key, max)
    }

    fn get_range(&self, key: &StorageKey, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.0.get_range(key, offset, buf)
    }

    fn head(&self, key: &StorageKey) -> Result<Listed, StorageError> {
        self.0.head(key)
    }

    fn list(&self, area: Area, found: &mut dyn FnMut(Listed)) -> Result<(), StorageError> {
        self.0.list(area, found)
    }

    fn delete(&self, key: &StorageKey) -> Result<(), StorageError> {
        self.0.delete(key)
    }
}

struct Nowhere;

impl StorageWriter for Nowhere {
    fn append(&mut self, _block: &mut Block) -> Result<(), StorageError> {
        Ok(())
    }

    fn commit(self: Box<Self>, _key: &StorageKey) -> Result<Created, StorageError> {
        Ok(Created::New)
    }

    fn abort(self: Box<Self>) {}
}
