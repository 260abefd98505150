//! Trust files: what is accepted encodes to the same bytes, with a checksum put right, too.
#![no_main]

use larder::format::trust::Trust;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(trust) = Trust::decode(bytes) {
        assert_eq!(trust.encode(), bytes);
    }
    // No fuzzer finds a hash: give it one, so that everything before it is reached.
    let whole = [bytes, blake3::hash(bytes).as_bytes()].concat();
    if let Ok(trust) = Trust::decode(&whole) {
        assert_eq!(trust.encode(), whole);
    }
});
