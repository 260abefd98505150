//! Tables of contents: what is accepted encodes to the same bytes, whose length is the sum of its parts.
#![no_main]

use larder::format::pack::PackTable;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(table) = PackTable::decode(bytes) {
        assert_eq!(table.encode(), bytes);
        assert_eq!(PackTable::BASE_LEN + table.blobs.iter().map(PackTable::blob_len).sum::<usize>(), bytes.len());
    }
});
