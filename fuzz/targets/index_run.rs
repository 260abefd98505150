//! Index runs: a made-up file, even with every checksum right, is refused or answers without a panic.
#![no_main]

use larder::base::id::ContentId;
use larder::index::run::Run;
use libfuzzer_sys::fuzz_target;
use std::ops::ControlFlow;

/// Where things lie, as in `index/layout.rs`: key of the checksums, counts, ends of head and page.
const KEY: usize = 56;
const COUNTS: usize = 104;
const HEAD: usize = 128;
const PAGE: usize = 4096;

/// Rights the checksums of tables and pages, which no fuzzer finds. Pages and head tell the place of everything else.
fn right(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < HEAD {
        return bytes;
    }
    let key: [u8; 32] = std::array::from_fn(|i| bytes[KEY + i]);
    for (number, page) in bytes.as_chunks_mut::<PAGE>().0.iter_mut().enumerate().skip(1) {
        page[PAGE - 40..PAGE - 32].copy_from_slice(&(number as u64).to_le_bytes());
        let sum = blake3::keyed_hash(&key, &page[..PAGE - 32]);
        page[PAGE - 32..].copy_from_slice(sum.as_bytes());
    }
    let len = bytes.len() as u64;
    bytes[88..96].copy_from_slice(&len.to_le_bytes());
    let count = |n: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[COUNTS + 4 * n + i])) as usize;
    let end = HEAD + count(0) * 32 + count(1) * 44 + (64usize << count(2).min(10));
    if let Some(covered) = bytes.get(40..end) {
        let sum = blake3::hash(covered);
        bytes[8..40].copy_from_slice(sum.as_bytes());
    }
    bytes
}

fuzz_target!(|bytes: &[u8]| {
    let _ = Run::new(bytes);
    let bytes = right(bytes.to_vec());
    let Ok(run) = Run::new(&bytes[..]) else { return };
    let mut found = 0;
    let mut count = |entry: &[u8; 52]| {
        assert!(entry.len() <= bytes.len());
        found += 1;
        if found < 1000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let ids: Vec<ContentId> =
        run.entries().flatten().take(500).filter_map(|entry| entry.first_chunk().copied().map(ContentId)).collect();
    for id in ids.iter().chain([&ContentId([0; 32]), &ContentId([0xff; 32])]) {
        run.find(id, &mut count);
    }
    assert!(run.rows() as usize <= bytes.len() && run.segments().count() <= bytes.len());
    assert_eq!(run.packs().count(), run.head().packs as usize);
});
