//! A manifest's list of problems: what is accepted encodes to the same bytes.
#![no_main]

use larder::format::problems::ProblemList;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = ProblemList::decode(bytes) {
        assert_eq!(value.encode(), bytes);
    }
});
