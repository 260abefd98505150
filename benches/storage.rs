//! What local storage costs: a durable record, a pack of 64 MiB in blocks (and the same through the page cache, to
//! compare with), ranges of a pack that stays open, a listing.
//!
//! In a temporary folder, or below `LARDER_BENCH_DIR`: the disk decides most of it. `cargo bench --bench storage`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use larder::base::id::ObjectId;
use larder::base::limits::{BLOCK_BYTES, KIB, PACK_BYTES};
use larder::storage::{Area, Block, LocalStorage, Storage, StorageKey};
use std::cell::Cell;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;

/// A store in a folder that goes away, and names for objects.
struct Bench {
    folder: tempfile::TempDir,
    storage: LocalStorage,
    next: Cell<u64>,
}

impl Bench {
    fn new() -> Bench {
        let base = std::env::var_os("LARDER_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
        let folder = tempfile::tempdir_in(base).expect("a folder");
        let storage = LocalStorage::create(&folder.path().join("store")).expect("a store");
        Bench { folder, storage, next: Cell::new(0) }
    }

    /// A new name, spread over the folders as hashes are.
    fn id(&self) -> ObjectId {
        let n = self.next.get();
        self.next.set(n + 1);
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        id[8..16].copy_from_slice(&n.to_be_bytes());
        ObjectId(id)
    }

    fn pack(&self, block: &mut Block) -> StorageKey {
        let mut writer = self.storage.writer(Area::Packs).expect("a writer");
        for _ in 0..PACK_BYTES / block.len() {
            writer.append(block).expect("room");
        }
        let key = StorageKey::Pack(self.id());
        writer.commit(&key).expect("durable");
        key
    }
}

fn full_block() -> Block {
    let mut block = Block::new(BLOCK_BYTES);
    block.fill(&vec![0xa5; BLOCK_BYTES]);
    block
}

fn writes(c: &mut Criterion) {
    let bench = Bench::new();
    let mut group = c.benchmark_group("storage");
    group.sample_size(20);
    group.bench_function("put a record of 4 KiB, durable", |b| {
        let bytes = [1; 4 * KIB];
        b.iter(|| bench.storage.put_if_absent(&StorageKey::State(bench.id()), &bytes).expect("durable"));
    });
    group.sample_size(10).throughput(Throughput::Bytes(PACK_BYTES as u64));
    let mut block = full_block();
    group.bench_function("a pack in blocks, durable", |b| {
        let delete = |key| bench.storage.delete(&key).expect("deleted");
        let last = Cell::new(None);
        b.iter_batched(|| last.take().map(delete), |_| last.set(Some(bench.pack(&mut block))), BatchSize::PerIteration);
        last.take().map(delete);
    });
    group.bench_function("a pack through the page cache, durable", |b| {
        let path = bench.folder.path().join("plain");
        let remove = || drop(fs::remove_file(&path));
        let write = |()| {
            let mut file = File::create(&path).expect("a file");
            (0..PACK_BYTES / BLOCK_BYTES).for_each(|_| file.write_all(block.bytes()).expect("room"));
            file.sync_all().expect("durable");
        };
        b.iter_batched(remove, write, BatchSize::PerIteration);
        remove();
    });
}

fn reads(c: &mut Criterion) {
    let bench = Bench::new();
    let mut group = c.benchmark_group("storage");
    let key = bench.pack(&mut full_block());
    for len in [4 * KIB, 256 * KIB] {
        let mut buf = vec![0; len];
        let mut at = 0;
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("a range of {} KiB of a pack, cached", len / KIB), |b| {
            b.iter(|| {
                at = (at + 7 * len) % (PACK_BYTES - len);
                bench.storage.get_range(&key, at as u64, black_box(&mut buf)).expect("there");
            });
        });
    }
    const OBJECTS: u64 = 2000;
    for _ in 0..OBJECTS {
        bench.storage.put_if_absent(&StorageKey::Tree(bench.id()), b"x").expect("durable");
    }
    group.sample_size(20).throughput(Throughput::Elements(OBJECTS));
    group.bench_function("list objects in 256 folders", |b| {
        b.iter(|| {
            let mut count = 0;
            bench.storage.list(Area::Trees, &mut |_| count += 1).expect("listed");
            assert_eq!(count, OBJECTS);
        });
    });
}

criterion_group!(benches, writes, reads);
criterion_main!(benches);
