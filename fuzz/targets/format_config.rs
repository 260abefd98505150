//! Configs: what is accepted encodes to the same bytes, and beginning and end are read as the whole is.
#![no_main]

use larder::format::config::{ConfigFrame, SignedConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let frame = ConfigFrame::decode(bytes);
    if let Ok(value) = SignedConfig::decode(bytes) {
        assert_eq!(value.encode(), bytes);
        let frame = frame.expect("a whole config has both ends");
        assert_eq!((frame.number, frame.store), (value.config.number, value.config.store));
        assert_eq!((frame.signer, frame.signature), (value.signer, value.signature));
        assert_eq!(ConfigFrame::signed(bytes), SignedConfig::signed_bytes(&value.config, &value.signer));
        value.config.key_slots();
    }
});
