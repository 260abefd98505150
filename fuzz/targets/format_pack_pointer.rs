//! Pointers to a pack's table: what is accepted encodes to the same bytes.
#![no_main]

use larder::format::pack::TablePointer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = TablePointer::decode(bytes) {
        assert_eq!(value.encode(), bytes);
    }
});
