//! How fast blobs are compressed and decompressed: a group of small files' text, bytes that do not shrink, and, when
//! `LARDER_BENCH_DATA` names a folder or a file, 32 MiB of it in groups. `lz4_flex`'s encoder stands beside ours.
//! `cargo bench --bench codec`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder::base::limits::GROUP_BYTES;
use larder::codec::{Compression, Compressor, Decompressor, compress_bound};
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use std::fs;
use std::hint::black_box;
use std::path::Path;

const SAMPLE_BYTES: usize = 32 << 20;

fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let mut noise = vec![0; GROUP_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let line = |i: u32| format!("\tif (entry->number == {}) return entry_{};\n", i % 977, i * i % 1013).into_bytes();
    let mut inputs = vec![("noise", noise), ("text", (0..).flat_map(line).take(GROUP_BYTES).collect())];
    if let Some(path) = std::env::var_os("LARDER_BENCH_DATA") {
        inputs.push(("data", sample(Path::new(&path))));
    }
    inputs
}

/// Every so many groups of what lies below a path, so that the sample comes from all over it.
fn sample(path: &Path) -> Vec<u8> {
    let (mut all, mut open) = (Vec::new(), vec![path.to_path_buf()]);
    while let Some(path) = open.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            let mut inside: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            inside.sort();
            open.extend(inside);
        } else if meta.is_file() {
            all.extend(fs::read(&path).unwrap());
        }
    }
    let every = all.len().div_ceil(SAMPLE_BYTES).max(1);
    all.chunks(GROUP_BYTES).step_by(every).flatten().copied().collect()
}

fn codec(c: &mut Criterion) {
    let (mut compressor, mut decompressor) = (Compressor::default(), Decompressor::default());
    for (name, plain) in inputs() {
        let groups: Vec<&[u8]> = plain.chunks(GROUP_BYTES).collect();
        let mut group = c.benchmark_group(format!("codec/{name}"));
        group.throughput(Throughput::Bytes(plain.len() as u64));
        group.sample_size(if groups.len() > 1 { 10 } else { 100 });
        // The yardstick asks for more room than ours.
        let room = compress_bound(GROUP_BYTES).max(get_maximum_output_size(GROUP_BYTES));
        let (mut out, mut back) = (vec![0; room], vec![0; GROUP_BYTES]);
        for how in [Compression::None, Compression::Lz4, Compression::Zstd(1), Compression::Zstd(3)] {
            group.bench_function(format!("{how} compress"), |b| {
                b.iter(|| groups.iter().for_each(|plain| _ = compressor.compress(how, black_box(plain), &mut out)));
            });
            let compressed: Vec<_> = groups
                .iter()
                .map(|plain| {
                    let (codec, len) = compressor.compress(how, plain, &mut out);
                    (codec, out[..len].to_vec(), plain.len())
                })
                .collect();
            println!("{name}, {how}: {} of {} bytes", compressed.iter().map(|c| c.1.len()).sum::<usize>(), plain.len());
            group.bench_function(format!("{how} decompress"), |b| {
                b.iter(|| {
                    for (codec, payload, len) in &compressed {
                        decompressor.decompress(*codec, black_box(payload), &mut back[..*len]).unwrap();
                    }
                });
            });
            for (plain, (codec, payload, len)) in groups.iter().zip(&compressed) {
                decompressor.decompress(*codec, payload, &mut back[..*len]).unwrap();
                assert!(back[..*len] == **plain, "{how}");
            }
        }
        let mut table = CompressTable::large();
        let mut yardstick = |plain: &[u8]| compress_into_with_table(plain, &mut out, &mut table).unwrap();
        let len: usize = groups.iter().map(|plain| yardstick(plain).min(plain.len())).sum();
        println!("{name}, lz4_flex: {len} of {} bytes", plain.len());
        group.bench_function("lz4_flex compress", |b| {
            b.iter(|| groups.iter().for_each(|plain| _ = yardstick(black_box(plain))));
        });
        group.finish();
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
