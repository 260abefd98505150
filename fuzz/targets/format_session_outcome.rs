//! Outcomes: what is accepted encodes to the same bytes.
#![no_main]

use larder::format::session::Outcome;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = Outcome::decode(bytes) {
        assert_eq!(value.encode(), bytes);
    }
});
