//! How fast files are cut: by the `fastcdc` crate's loop (the definition), as whole files are, and the two halves of
//! cutting one big file on several cores; scans on every CPU path. All cut the same bytes, so the times compare directly.
//! `cargo bench --bench chunking`; `LARDER_BENCH_DATA=FILE …` takes the first 32 MiB of a file, in batches, too.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder::base::limits::BATCH_BYTES;
use larder::chunking::{Cutter, Hits, ScanPath, Selector, default_params};
use std::hint::black_box;
use std::io::Read;

const SAMPLE_BYTES: usize = 32 << 20;

/// Random bytes, and lines of text, one batch of each; and a part of the data that was named.
fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let mut noise = vec![0; BATCH_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let line = |i: u32| format!("\tif (entry->number == {}) return entry_{};\n", i % 977, i / 13).into_bytes();
    let mut inputs = vec![("noise", noise), ("text", (0..).flat_map(line).take(BATCH_BYTES).collect())];
    if let Some(path) = std::env::var_os("LARDER_BENCH_DATA") {
        let mut sample = Vec::new();
        let file = std::fs::File::open(path).expect("LARDER_BENCH_DATA names a file");
        file.take(SAMPLE_BYTES as u64).read_to_end(&mut sample).expect("the file can be read");
        inputs.push(("data", sample));
    }
    inputs
}

fn cut(c: &mut Criterion) {
    let new = || Cutter::new(default_params(), &[1; 32]).expect("the default is allowed");
    let paths: Vec<_> = ScanPath::here().into_iter().filter_map(|path| new().on(path)).collect();
    let cutter = new();
    for (name, data) in inputs() {
        let mut group = c.benchmark_group(format!("chunking/{name}"));
        group.throughput(Throughput::Bytes(data.len() as u64));
        let (mut lengths, mut hits) = (Vec::new(), Hits::default());
        group.bench_function("definition", |b| {
            b.iter(|| {
                let mut rest = &data[..];
                while !rest.is_empty() {
                    rest = &rest[black_box(cutter.cut(rest))..];
                }
            });
        });
        for cutter in &paths {
            group.bench_function(format!("whole file, {}", cutter.path().name()), |b| {
                b.iter(|| {
                    lengths.clear();
                    cutter.cuts(black_box(&data), &mut lengths);
                });
            });
            group.bench_function(format!("scan, {}", cutter.path().name()), |b| {
                b.iter(|| {
                    for batch in black_box(&data).chunks(BATCH_BYTES) {
                        cutter.scan(&[], batch, &mut hits);
                    }
                });
            });
        }
        cutter.scan(&[], &data, &mut hits);
        group.bench_function("select", |b| {
            b.iter(|| {
                lengths.clear();
                Selector::new().select(&cutter, black_box(&data), &hits, true, &mut lengths);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, cut);
criterion_main!(benches);
