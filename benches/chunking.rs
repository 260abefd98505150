//! How fast files are cut: by the `fastcdc` crate's loop (the definition), as whole files are, and the two halves of
//! cutting one big file on several cores. All cut the same bytes, so the times compare directly.
//! `cargo bench --bench chunking`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder::base::limits::BATCH_BYTES;
use larder::chunking::{Cutter, Hits, Selector, default_params};
use std::hint::black_box;

/// Random bytes, and lines of text, one batch of each.
fn inputs() -> [(&'static str, Vec<u8>); 2] {
    let mut noise = vec![0; BATCH_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let line = |i: u32| format!("\tif (entry->number == {}) return entry_{};\n", i % 977, i / 13).into_bytes();
    [("noise", noise), ("text", (0..).flat_map(line).take(BATCH_BYTES).collect())]
}

fn cut(c: &mut Criterion) {
    let cutter = Cutter::new(default_params(), &[1; 32]).expect("the default is allowed");
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
        group.bench_function("whole file", |b| {
            b.iter(|| {
                lengths.clear();
                cutter.cuts(black_box(&data), &mut lengths);
            });
        });
        group.bench_function("scan", |b| b.iter(|| cutter.scan(&[], black_box(&data), &mut hits)));
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
