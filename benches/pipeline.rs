//! A whole backup of a small tree into memory, an unchanged one, and a restore: what the stages cost together, without a
//! disk. `cargo bench --bench pipeline`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use larder::crypto::slot::Credential;
use larder::monitor::Silent;
use larder::ops::backup::{self, BackupOptions};
use larder::ops::restore::{self, RestoreOptions};
use larder::source::fs::{FsOptions, FsSource};
use larder::storage::MemoryStorage;
use larder::store::open::CreateOptions;
use larder::store::{MachineFolders, Store};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Text in many files, noise in a big one.
const FILES: u32 = 400;
const BIG: usize = 8 << 20;

fn tree(at: &Path) -> u64 {
    let line = |n: u32| format!("\tif (entry->number == {}) return entry_{};\n", n % 977, n.wrapping_mul(n) % 1013);
    let mut bytes = 0;
    for n in 0..FILES {
        let folder = at.join(format!("part-{}", n / 50));
        fs::create_dir_all(&folder).expect("a folder");
        let text: String = (0..20 + n * 2).map(|i| line(n * 131 + i)).collect();
        fs::write(folder.join(format!("file-{n}")), &text).expect("a file");
        bytes += text.len() as u64;
    }
    let mut noise = vec![0; BIG];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    fs::write(at.join("noise"), &noise).expect("a file");
    bytes + BIG as u64
}

/// A store in memory; its folders go with the second.
fn store() -> (Arc<Store>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let places = MachineFolders { config: folder.path().join("config"), cache: folder.path().join("cache") };
    let key = Credential::KeyFile([7; 32].into());
    let store = Store::create(Arc::new(MemoryStorage::new()), &key, places, CreateOptions::default());
    (Arc::new(store.expect("a store")), folder)
}

fn back_up(store: &Arc<Store>, data: &Path) -> backup::BackupStats {
    let options = FsOptions { roots: vec![data.to_path_buf()], ..FsOptions::default() };
    let source = FsSource::new(options).expect("a source");
    let options = BackupOptions { host: "bench".into(), ..BackupOptions::default() };
    backup::run(store, &source, &options, Arc::new(Silent)).expect("a backup")
}

fn pipeline(c: &mut Criterion) {
    let data = tempfile::tempdir().expect("a folder");
    let bytes = tree(data.path());
    let mut group = c.benchmark_group("pipeline");
    group.sample_size(20).throughput(Throughput::Bytes(bytes));
    group.bench_function("first backup", |b| {
        let run = |(store, folder): (Arc<Store>, tempfile::TempDir)| {
            assert_eq!(back_up(&store, data.path()).bytes_read, bytes);
            (store, folder)
        };
        b.iter_batched(store, run, BatchSize::PerIteration);
    });
    // Files this young would be read again by a second backup.
    std::thread::sleep(Duration::from_millis(2100));
    let backed_up = || {
        let (store, folder) = store();
        back_up(&store, data.path());
        (store, folder)
    };
    // Each round begins with one snapshot, or it would measure how the list of snapshots grows.
    group.measurement_time(Duration::from_millis(500)).warm_up_time(Duration::from_millis(100));
    group.bench_function("unchanged backup", |b| {
        let run = |(store, folder): (Arc<Store>, tempfile::TempDir)| {
            assert_eq!(back_up(&store, data.path()).bytes_read, 0);
            (store, folder)
        };
        b.iter_batched(backed_up, run, BatchSize::PerIteration);
    });
    let (store, _folder) = backed_up();
    group.measurement_time(Duration::from_secs(5));
    group.bench_function("restore", |b| {
        let target = || tempfile::tempdir().expect("a folder");
        let run = |target: tempfile::TempDir| {
            let at = target.path().to_path_buf();
            let options = RestoreOptions { snapshot: "latest".into(), target: at, ..RestoreOptions::default() };
            assert_eq!(restore::run(&store, &options, &Silent).expect("a restore").bytes, bytes);
            target
        };
        b.iter_batched(target, run, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
