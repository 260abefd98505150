//! Pack headers: what is accepted encodes to the same bytes, as many as it says.
#![no_main]

use larder::format::pack::PackHeader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((header, len)) = PackHeader::decode(bytes) {
        assert_eq!(header.encode(), bytes[..len]);
    }
});
