//! Leases: what is accepted encodes to the same bytes.
#![no_main]

use larder::format::session::Lease;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = Lease::decode(bytes) {
        assert_eq!(value.encode(), bytes);
    }
});
