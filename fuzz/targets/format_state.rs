//! State records: what is accepted encodes to the same bytes.
#![no_main]

use larder::format::state::SignedRecord;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = SignedRecord::decode(bytes) {
        assert_eq!(value.encode(), bytes);
    }
});
