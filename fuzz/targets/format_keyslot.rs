//! Key slots: what is accepted encodes to the same bytes.
#![no_main]

use larder::format::keyslot::KeySlot;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = KeySlot::decode(bytes) {
        assert_eq!(value.encode(), bytes);
    }
});
