//! Decompression never panics, never writes beyond its room, and gives back what was compressed.
#![no_main]

use larder::codec::{Compression, Compressor, Decompressor, compress_bound};
use larder::format::blob::CodecId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(([codec, low, high], payload)) = bytes.split_first_chunk() else { return };
    let mut out = vec![0; usize::from(u16::from_le_bytes([*low, *high]))];
    if let Some(codec) = CodecId::from_u8(codec % 3) {
        let _ = Decompressor::default().decompress(codec, payload, &mut out);
    }
    let how =
        [Compression::Lz4, Compression::Zstd(1), Compression::Zstd(5), Compression::None][usize::from(codec >> 6)];
    let mut packed = vec![0; compress_bound(payload.len())];
    let (codec, len) = Compressor::default().compress(how, payload, &mut packed);
    assert!(codec == CodecId::Raw || len < payload.len());
    let mut back = vec![0; payload.len()];
    assert_eq!(Decompressor::default().decompress(codec, &packed[..len], &mut back), Ok(()));
    assert_eq!(back, payload);
    // A length that is not the one recorded is refused.
    let mut longer = vec![0; payload.len() + 1];
    assert!(Decompressor::default().decompress(codec, &packed[..len], &mut longer).is_err());
});
