//! Manifests: what is accepted encodes to the same bytes.
#![no_main]

use larder::format::snapshot::SignedManifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = SignedManifest::decode(bytes) {
        assert_eq!(value.encode(), bytes);
    }
});
