//! What the tests of this room share.

use super::{Cutter, default_params};
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
