//! Names of objects: what is accepted is its own one spelling, and leads nowhere else.
#![no_main]

use larder::storage::StorageKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(path) = std::str::from_utf8(bytes) else { return };
    if let Some(key) = StorageKey::parse(path) {
        assert_eq!(key.path(), path);
        assert!(path.starts_with(key.area().folder()));
        assert!(!path.starts_with('/') && path.split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
    }
});
