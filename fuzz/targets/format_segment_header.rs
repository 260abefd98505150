//! Segment headers: what is accepted encodes to the same bytes, as many as it says.
#![no_main]

use larder::format::segment::SegmentHeader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((header, len)) = SegmentHeader::decode(bytes) {
        assert_eq!(header.encode(), bytes[..len]);
    }
});
