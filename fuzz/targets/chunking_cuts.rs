//! Scanning ranges of a file apart and selecting in order cuts exactly where the sequential cutter does, on every path.
#![no_main]

use larder::chunking::{Cutter, Hits, ScanPath, Selector};
use larder::format::config::ChunkerParams;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((head, seed)) = bytes.split_first_chunk::<16>() else { return };
    let word = |at: usize| u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| head[at + i]));
    // Without many low bits no vectors run: every other input has them.
    let low = if head[7] & 1 == 0 { 0 } else { 0x7F << (head[7] >> 1 & 7) };
    let mask_strict = word(0) >> 16 & word(8).rotate_left(11) | low;
    let sizes = [head[1], head[3], head[5]].map(|size| 2 * (u32::from(size) + 1));
    let params = ChunkerParams {
        algorithm: 1,
        min: 62 + sizes[0],
        avg: 62 + sizes[0] + sizes[1],
        max: 62 + sizes[0] + sizes[1] + 4 * sizes[2],
        mask_strict,
        mask_loose: mask_strict & word(4) | low,
    };
    let key = [head[0] & 3; 32];
    let Ok(cutter) = Cutter::new(params, &key) else { return };
    // A small input stands for a longer file: repeated, with a byte that counts.
    let copies = usize::from(head[15] & 15) + 1;
    let file: Vec<u8> = (0..copies).flat_map(|i| seed.iter().map(move |byte| byte.wrapping_add(i as u8 / 2))).collect();

    let (mut rest, mut expected) = (&file[..], Vec::new());
    while !rest.is_empty() {
        let len = cutter.cut(rest);
        assert!(len >= 1 && len <= rest.len() && len <= params.max as usize);
        assert!(len >= params.min as usize || len == rest.len());
        expected.push(len as u32);
        rest = &rest[len..];
    }
    for path in ScanPath::here() {
        let Some(cutter) = Cutter::new(params, &key).expect("allowed above").on(path) else { continue };
        let mut whole = Vec::new();
        cutter.cuts(&file, &mut whole);
        assert_eq!(whole, expected, "{path:?}");
        fed_in_ranges(&cutter, &file, head, seed, &expected);
    }
});

fn fed_in_ranges(cutter: &Cutter, file: &[u8], head: &[u8; 16], seed: &[u8], expected: &[u32]) {
    let (mut selector, mut lengths, mut hits) = (Selector::new(), Vec::new(), Hits::default());
    let (mut start, mut turn) = (0, 0);
    while start < file.len() {
        // A few hundred ranges at most: each looks at the carried tail again.
        let step = 1 + file.len() / 256 + usize::from(seed[turn % seed.len()]) * usize::from(head[2] & 31);
        let end = (start + step).min(file.len());
        cutter.scan(&file[start.saturating_sub(47)..start], &file[start..end], &mut hits);
        let carried = selector.carried();
        selector.select(cutter, &file[start - carried..end], &hits, end == file.len(), &mut lengths);
        (start, turn) = (end, turn + 1);
    }
    assert_eq!(lengths, expected, "{:?}", cutter.path());
}
