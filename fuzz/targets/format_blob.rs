//! Headers inside blobs: what is accepted encodes to the same bytes.
#![no_main]

use larder::format::blob::{BlobHeader, encode_header, header_len};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((header, payload)) = BlobHeader::decode(bytes) {
        let mut again = vec![0; header_len(&header.members)];
        encode_header(header.codec, header.plain_len, &header.members, &mut again);
        again.extend_from_slice(payload);
        assert_eq!(again, bytes);
    }
});
