//! Blocks of index rows: what is accepted encodes to the same bytes.
#![no_main]

use larder::format::segment::RowBlock;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(rows) = RowBlock::decode(bytes) {
        let mut again = Vec::new();
        assert_eq!(RowBlock::encode(&rows, &mut again), rows.len());
        assert_eq!(again, bytes);
    }
});
