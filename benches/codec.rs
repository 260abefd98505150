//! How fast blobs are compressed and decompressed: a group of small files' text, and bytes that do not shrink.
//! `cargo bench --bench codec`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder::base::limits::GROUP_BYTES;
use larder::codec::{Compression, Compressor, Decompressor, compress_bound};
use std::hint::black_box;

fn inputs() -> [(&'static str, Vec<u8>); 2] {
    let mut noise = vec![0; GROUP_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let line = |i: u32| format!("\tif (entry->number == {}) return entry_{};\n", i % 977, i * i % 1013).into_bytes();
    [("noise", noise), ("text", (0..).flat_map(line).take(GROUP_BYTES).collect())]
}

fn codec(c: &mut Criterion) {
    let (mut compressor, mut decompressor) = (Compressor::default(), Decompressor::default());
    for (name, plain) in inputs() {
        let mut group = c.benchmark_group(format!("codec/{name}"));
        group.throughput(Throughput::Bytes(plain.len() as u64));
        let (mut out, mut back) = (vec![0; compress_bound(plain.len())], vec![0; plain.len()]);
        for how in [Compression::None, Compression::Lz4, Compression::Zstd(1), Compression::Zstd(3)] {
            group.bench_function(format!("{how} compress"), |b| {
                b.iter(|| compressor.compress(how, black_box(&plain), &mut out));
            });
            let (codec, len) = compressor.compress(how, &plain, &mut out);
            group.bench_function(format!("{how} decompress"), |b| {
                b.iter(|| decompressor.decompress(codec, black_box(&out[..len]), &mut back));
            });
            assert_eq!(back, plain, "{how}");
        }
        group.finish();
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
