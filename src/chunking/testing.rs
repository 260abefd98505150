//! What the tests of this room share.

use super::scan::STRICT;
use super::{Cutter, ScanPath, default_params};
use crate::format::config::ChunkerParams;
use proptest::prelude::*;

/// The sequential cuts, one by one out of the `fastcdc` crate.
pub fn oracle(cutter: &Cutter, file: &[u8]) -> Vec<u32> {
    let (mut rest, mut cuts) = (file, Vec::new());
    while !rest.is_empty() {
        let len = cutter.cut(rest);
        cuts.push(len as u32);
        rest = &rest[len..];
    }
    cuts
}

/// A cutter on each path that the processor and the masks allow, the plainest first.
pub fn on_every_path(params: ChunkerParams, key: &[u8; 32]) -> Vec<Cutter> {
    let paths = ScanPath::here().into_iter().rev();
    paths.filter_map(|path| Cutter::new(params, key).unwrap().on(path)).collect()
}

/// What a scan is to list, byte by byte.
pub fn plain_hits(cutter: &Cutter, before: &[u8], data: &[u8]) -> Vec<u32> {
    let ChunkerParams { mask_strict, mask_loose, .. } = *cutter.params();
    let (mut hash, mut list) = (cutter.hash(before), Vec::new());
    for (position, byte) in data.iter().enumerate() {
        hash = cutter.step(hash, *byte);
        if hash & mask_loose == 0 {
            list.push(position as u32 | if hash & mask_strict == 0 { STRICT } else { 0 });
        }
    }
    list
}

/// Bytes without any pattern, the same in every run.
pub fn noise(len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut out);
    out
}

/// Small chunks and masks of few bits anywhere below bit 48, so that a few kilobytes meet every case.
pub fn params() -> impl Strategy<Value = ChunkerParams> {
    let bits = |n| proptest::collection::vec(0..48_u32, n);
    let mask = |bits: &[u32]| bits.iter().fold(0, |mask, bit| mask | 1 << bit);
    (32..100_u32, 1..100_u32, 1..400_u32, bits(1..9), bits(0..5)).prop_map(move |(min, avg, max, loose, strict)| {
        let mask_loose = mask(&loose);
        let [min, avg, max] = [2 * min, 2 * (min + avg), 2 * (min + avg + max)];
        ChunkerParams { min, avg, max, mask_strict: mask(&strict) | mask_loose, mask_loose, ..default_params() }
    })
}

/// The same with masks that vectors take: seven bits and more among the low sixteen.
pub fn vector_params() -> impl Strategy<Value = ChunkerParams> {
    let low = proptest::sample::subsequence((0..16_u32).collect::<Vec<_>>(), 7..=16);
    (params(), low, 0..4_u64, any::<u64>()).prop_map(|(params, low, high, strict)| {
        let mask_loose = low.iter().fold(high << 44, |mask, bit| mask | 1 << bit);
        ChunkerParams { mask_loose, mask_strict: mask_loose | strict & 0x5A5A_0000, ..params }
    })
}

/// Up to some 100 KiB: noise, zeros and other runs, periods, lines of text.
pub fn large() -> impl Strategy<Value = Vec<u8>> {
    let text = |n: usize| (0..n / 12).flat_map(|i| format!("line {} of {n}\n", i * i % 977).into_bytes()).collect();
    let piece = prop_oneof![
        (0..40_000_usize, 0..1000_usize).prop_map(|(n, from)| noise(from + n).split_off(from)),
        (any::<u8>(), 0..30_000_usize).prop_map(|(byte, n)| vec![byte; n]),
        (0..3000_usize).prop_map(|n| vec![0; 8 * n]),
        (proptest::collection::vec(any::<u8>(), 1..300), 0..20_000_usize)
            .prop_map(|(unit, n)| unit.repeat(n / unit.len() + 1)),
        (0..20_000_usize).prop_map(text),
        proptest::collection::vec(any::<u8>(), 0..2000),
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

/// Noise, small alphabets, runs and periods, in pieces.
pub fn plain() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..1500),
        proptest::collection::vec(0..2_u8, 0..1500),
        (any::<u8>(), 0..1500_usize).prop_map(|(byte, n)| vec![byte; n]),
        (proptest::collection::vec(any::<u8>(), 1..70), 0..40_usize).prop_map(|(unit, n)| unit.repeat(n)),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}
