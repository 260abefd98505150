//! Envelopes of small sealed objects: what is accepted encodes to the same bytes.
#![no_main]

use larder::format::envelope::Envelope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((envelope, nonce, sealed)) = Envelope::decode(bytes) {
        assert_eq!([&envelope.encode()[..], &nonce, sealed].concat(), bytes);
    }
});
