//! Segment trailers, at the end of any bytes: what is accepted encodes to the same last bytes.
#![no_main]

use larder::format::segment::SegmentTrailer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(trailer) = SegmentTrailer::decode(bytes) {
        assert!(bytes.ends_with(&trailer.encode()));
    }
});
