//! The index: look-ups that miss and that hit, building and merging; and what it takes of memory.
//!
//! `cargo bench --bench index` times 10^6 rows (`LARDER_INDEX_ROWS` for another number).
//! `cargo bench --bench index -- memory 10000000` builds and asks so many rows, prints the resident set by its parts,
//! and fails when anonymous and shared memory grow by more than 2.5 bytes a row, or pass the bound while building.
//! The files lie in the temporary directory (`TMPDIR`); on a tmpfs, mapped pages count as shared memory.

#[path = "common/resident.rs"]
mod resident;

use criterion::{BatchSize, Criterion, Throughput};
use larder::base::id::{ContentId, ObjectId, StoreId};
use larder::format::blob::BlobKind;
use larder::format::pack::PackKind;
use larder::format::segment::{Row, SegmentPack};
use larder::index::Index;
use resident::{mib, processor_time, resident, watched};
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

const STORE: StoreId = StoreId([1; 16]);
/// Rows of one segment, and of one pack.
const SEGMENT_ROWS: u64 = 500_000;
const PACK_ROWS: u64 = 1000;
/// The number of rows that others are compared with; so many that building spills.
const BASE_ROWS: u64 = 500_000;
const GROWTH_MAX: f64 = 2.5;
const BUILDING_MAX: u64 = 64 << 20;

/// A number spread over 64 bits (the finaliser of splitmix64).
fn spread(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// The id of chunk `n`: as even as a hash.
fn id_of(n: u64) -> ContentId {
    let mut id = [0; 32];
    for (i, word) in id.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&spread(n.wrapping_mul(4).wrapping_add(i as u64)).to_le_bytes());
    }
    ContentId(id)
}

/// Adds chunks `from..to` in segments, block by block as they come out of a store.
fn add(index: &mut Index, from: u64, to: u64) {
    let mut builder = index.builder().expect("a builder");
    for start in (from..to).step_by(SEGMENT_ROWS as usize) {
        let end = to.min(start + SEGMENT_ROWS);
        let packs: Vec<SegmentPack> = (start / PACK_ROWS..end.div_ceil(PACK_ROWS))
            .map(|n| SegmentPack {
                id: ObjectId(id_of(n ^ 1 << 62).0),
                kind: PackKind::Data,
                len: 1 << 26,
                header_len: 99,
            })
            .collect();
        builder.segment(ObjectId(id_of(start ^ 1 << 61).0), &packs).expect("a segment");
        for block in (start..end).step_by(1000) {
            let rows: Vec<Row> = (block..end.min(block + 1000))
                .map(|n| Row {
                    id: id_of(n),
                    kind: BlobKind::Chunks,
                    pack: (n / PACK_ROWS - start / PACK_ROWS) as u32,
                    blob_offset: (n % PACK_ROWS) as u32 * 50_000,
                    blob_len: 50_000,
                    inner_offset: 0,
                    inner_len: 100_000,
                })
                .collect();
            builder.rows(&rows).expect("rows");
        }
    }
    index.install(builder).expect("a run");
}

fn built(folder: &Path, rows: u64) -> Index {
    let mut index = Index::open(folder, STORE).expect("an index");
    add(&mut index, 0, rows);
    index
}

fn timings(c: &mut Criterion, rows: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let index = built(folder.path(), rows);
    let mut group = c.benchmark_group(format!("index/{rows} rows"));
    group.throughput(Throughput::Elements(1));
    let mut n = 0u64;
    let mut next = move |from: u64| {
        n += 1;
        from + spread(n) % rows
    };
    // Making an id is part of every figure; the first one shows how much.
    group.bench_function("an id alone", |b| b.iter(|| black_box(id_of(next(0)))));
    group.bench_function("contains, miss", |b| b.iter(|| index.contains(&id_of(next(rows)))));
    group.bench_function("contains, hit", |b| b.iter(|| index.contains(&id_of(next(0)))));
    let mut found = Vec::new();
    group.bench_function("locate, hit", |b| {
        b.iter(|| {
            found.clear();
            index.locate(&id_of(next(0)), &mut found);
            found.len()
        })
    });
    group.finish();

    let mut group = c.benchmark_group("index");
    group.sample_size(10).throughput(Throughput::Elements(rows));
    let empty = || tempfile::tempdir().expect("a folder");
    group.bench_function(format!("build {rows} rows"), |b| {
        b.iter_batched(empty, |folder| (built(folder.path(), rows), folder), BatchSize::PerIteration)
    });
    group.bench_function(format!("add {} rows to {rows} and merge", rows / 8 + 1), |b| {
        let setup = || {
            let folder = empty();
            (built(folder.path(), rows), folder)
        };
        let merge = |(mut index, folder)| {
            add(&mut index, rows, rows + rows / 8 + 1);
            (index, folder)
        };
        b.iter_batched(setup, merge, BatchSize::PerIteration)
    });
    group.finish();
}

/// Builds, merges, opens and asks; prints what is resident after each step, and gives anonymous and shared bytes: the
/// most of all and what is left in the end.
fn memory_of(rows: u64) -> (u64, u64) {
    let print = |what: &str| {
        let [anonymous, file, shared] = resident();
        println!("{what:<42} anonymous {:>9}   shared {:>9}   file {:>9}", mib(anonymous), mib(shared), mib(file));
        anonymous + shared
    };
    let folder = tempfile::tempdir().expect("a folder");
    print("at the start");
    let (mut index, building, time) = watched(|| built(folder.path(), rows));
    print(&format!("{rows} built in {time:.2?}, peak {}", mib(building)));
    let (_, merging, time) = watched(|| add(&mut index, rows, rows + rows / 8 + 1));
    print(&format!("an eighth added in {time:.2?}, peak {}", mib(merging)));
    drop(index);

    let start = Instant::now();
    let index = Index::open(folder.path(), STORE).expect("the index again");
    print(&format!("opened again in {:.2?}", start.elapsed()));
    for (what, from) in [("hits", 0), ("misses", 2 * rows)] {
        for round in ["first touch", "again"] {
            let start = processor_time();
            let found = (0..rows).filter(|n| index.contains(&id_of(from + spread(*n) % rows))).count() as u64;
            let nanoseconds = (processor_time() - start).as_nanos() as f64 / rows as f64;
            print(&format!("{rows} {what}, {round}: {nanoseconds:.0} ns each"));
            assert_eq!(found, if from == 0 { rows } else { 0 }, "the index says what is there");
        }
    }
    let files = std::fs::read_dir(folder.path()).expect("the folder");
    let length: u64 = files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum();
    println!("{:.1} bytes a row on disk", length as f64 / index.rows() as f64);
    (building.max(merging), print("in the end"))
}

/// Compares two sizes, each in a process of its own: what does not depend on the number of rows is no growth.
fn memory(rows: u64) -> Result<(), Box<dyn std::error::Error>> {
    let of = |rows: u64| -> Result<(u64, u64), Box<dyn std::error::Error>> {
        let output = Command::new(std::env::current_exe()?).args(["memory-of", &rows.to_string()]).output()?;
        let text = String::from_utf8(output.stdout)?;
        let (steps, last) = text.trim_end().rsplit_once('\n').ok_or("the measuring process said nothing")?;
        println!("{steps}\n");
        let (peak, left) = last.split_once(' ').ok_or("the measuring process ended early")?;
        Ok((peak.parse()?, left.parse()?))
    };
    if rows <= BASE_ROWS {
        return Err(format!("more than {BASE_ROWS} rows, please").into());
    }
    let ((_, base), (peak, left)) = (of(BASE_ROWS)?, of(rows)?);
    let grown = left.saturating_sub(base) as f64 / (rows - BASE_ROWS) as f64;
    println!("anonymous and shared memory grow by {grown:.2} bytes a row; peak {} while building", mib(peak));
    if grown > GROWTH_MAX || peak > BUILDING_MAX {
        return Err(format!("{GROWTH_MAX} bytes a row and a peak of {} are allowed", mib(BUILDING_MAX)).into());
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.get(1).and_then(|rows| rows.parse().ok());
    match (arguments.first().map(String::as_str), count) {
        (Some("memory-of"), Some(rows)) => {
            let (peak, left) = memory_of(rows);
            println!("{peak} {left}");
        }
        (Some("memory"), Some(rows)) => {
            if let Err(error) = memory(rows) {
                println!("{error}");
                return ExitCode::FAILURE;
            }
        }
        _ => {
            let rows = std::env::var("LARDER_INDEX_ROWS").ok().and_then(|rows| rows.parse().ok());
            let mut criterion = Criterion::default().configure_from_args();
            timings(&mut criterion, rows.unwrap_or(1_000_000));
            criterion.final_summary();
        }
    }
    ExitCode::SUCCESS
}
