//! Cut points on fixed data, so that changed code or a changed crate is noticed.

use super::ALL;
use crate::harness::chunking::chunker::Dial;
use crate::harness::chunking::profile::Profile;
use crate::harness::chunking::testing::{noise, text};

const AT_8_KIB: [&str; 7] = [
    "larder 541 [8391, 8223, 2728] 5e27fb1ca028b066",
    "larder-across 541 [8391, 8223, 2728] 5e27fb1ca028b066",
    "fastcdc-v2020 432 [7594, 5753, 11970] ad7fae9f3f5496cf",
    "fastcdc-v2016 432 [7594, 5753, 11970] ad7fae9f3f5496cf",
    "fastcdc-ronomon 537 [5593, 12633, 5335] e52b6d5f78d7c3db",
    "gear 430 [9205, 5406, 9790] 10e66c2402753572",
    "fixed 551 [8192, 8192, 8192] cbfc35453ddd0a5d",
];

const AT_256_KIB: [&str; 7] = [
    "larder 19 [267235, 263331, 272379] 1e9623fe6293f2e9",
    "larder-across 19 [267235, 263331, 272379] 1e9623fe6293f2e9",
    "fastcdc-v2020 16 [295901, 317043, 267883] 1b8aab93e87521b3",
    "fastcdc-v2016 16 [295901, 317043, 267883] 1b8aab93e87521b3",
    "fastcdc-ronomon 19 [221236, 178062, 368814] e1dd16b4be81c8a4",
    "gear 14 [246630, 777833, 370463] 73ec00f8f0f7b37b",
    "fixed 18 [262144, 262144, 262144] 3c698f484ae36a31",
];

/// 2 MiB of noise, 2 MiB of text, 300,000 zeros, a little noise; an odd length.
fn file() -> Vec<u8> {
    [noise(2 << 20), text(2 << 20), vec![0; 300_000], noise(12_345)].concat()
}

/// A line a chunker: its name, the number of chunks, the first lengths, and the beginning of the hash of all lengths.
fn cuts(avg: usize) -> Vec<String> {
    let profile = Profile::of_avg(avg).unwrap();
    let file = file();
    let cut = |algorithm: &&dyn super::Algorithm| {
        let mut lengths = vec![];
        algorithm.make(&profile, None).unwrap().cuts(&file, &mut lengths);
        assert_eq!(lengths.iter().map(|n| *n as usize).sum::<usize>(), file.len());
        let bytes: Vec<u8> = lengths.iter().flat_map(|n| n.to_le_bytes()).collect();
        let digest = &blake3::hash(&bytes).to_hex()[..16];
        format!("{} {} {:?} {digest}", algorithm.name(), lengths.len(), &lengths[..3])
    };
    ALL.iter().map(cut).collect()
}

#[test]
fn cut_points_do_not_drift_at_8_kib() {
    assert_eq!(cuts(8 << 10), AT_8_KIB);
}

#[test]
fn cut_points_do_not_drift_at_256_kib() {
    assert_eq!(cuts(256 << 10), AT_256_KIB);
}

#[test]
fn tuned_chunkers_cut_everything_and_grow_with_the_dial() {
    let (file, profile) = (noise(4 << 20), Profile::of_avg(16 << 10).unwrap());
    for algorithm in ALL {
        for way in 0..algorithm.ways() {
            let count = |aim| {
                let mut lengths = vec![];
                algorithm.make(&profile, Some(Dial { aim, way })).unwrap().cuts(&file, &mut lengths);
                assert_eq!(lengths.iter().map(|n| *n as usize).sum::<usize>(), file.len());
                assert!(lengths.iter().all(|n| *n as usize <= profile.max));
                lengths.len()
            };
            let counts = [1, 9_001, 16_385, 30_003, usize::MAX / 2].map(count);
            assert!(counts.is_sorted_by(|a, b| a >= b), "{} {way}: {counts:?}", algorithm.name());
        }
    }
}
