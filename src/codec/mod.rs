//! Smaller bytes: compression of blobs. LZ4 by default, zstd by choice, raw when neither gains.
//!
//! What is compressed depends on the plaintext and the choice alone, never on what a worker did before: the same
//! blob gives the same bytes in every run. Decoders fill a slice of the length on record, so no input makes them
//! take more memory than that.

mod lz4;

use crate::format::blob::CodecId;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use zstd::zstd_safe;

/// Levels of zstd that are offered: above, memory grows past what a backup may take.
pub const ZSTD_LEVELS: RangeInclusive<i32> = 1..=19;
/// Level of `zstd` without one: see `docs/experiments.md`, "zstd below level 1".
pub const ZSTD_LEVEL_DEFAULT: i32 = 1;

/// What to compress with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Store as it is.
    None,
    /// LZ4 block format.
    #[default]
    Lz4,
    /// Zstandard at this level (1 to 19).
    Zstd(i32),
}

/// Why a payload does not decompress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Not valid for its codec.
    #[error("compressed data is not valid")]
    Invalid,
    /// Valid, but of another length than its header says.
    #[error("decompressed length differs from the one recorded")]
    Length,
}

/// Parses `none`, `lz4`, `zstd`, `zstd:LEVEL`. The error is a sentence for people.
impl FromStr for Compression {
    type Err = String;

    fn from_str(s: &str) -> Result<Compression, String> {
        let (low, high) = ZSTD_LEVELS.into_inner();
        match s.split_once(':') {
            None if s == "none" => Ok(Compression::None),
            None if s == "lz4" => Ok(Compression::Lz4),
            None if s == "zstd" => Ok(Compression::Zstd(ZSTD_LEVEL_DEFAULT)),
            Some(("zstd", level)) => match level.parse() {
                Ok(level) if ZSTD_LEVELS.contains(&level) => Ok(Compression::Zstd(level)),
                _ => Err(format!("zstd has no level `{level}` here: it takes {low} (fast) to {high} (small)")),
            },
            Some((name @ ("none" | "lz4"), _)) => Err(format!("`{name}` has no levels")),
            _ => {
                Err(format!("compression `{s}` is not known: it can be lz4, zstd, zstd:{low} to zstd:{high}, or none"))
            }
        }
    }
}

/// What [`FromStr`] reads back.
impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Compression::None => f.write_str("none"),
            Compression::Lz4 => f.write_str("lz4"),
            Compression::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

/// Contexts and tables of one worker, reused from blob to blob; made when first needed.
#[derive(Default)]
pub struct Compressor {
    lz4: Option<Box<lz4::Table>>,
    zstd: Option<(i32, zstd::bulk::Compressor<'static>)>,
}

/// Room that [`Compressor::compress`] needs in `out` for `plain_len` bytes, whatever the codec.
pub fn compress_bound(plain_len: usize) -> usize {
    lz4::bound(plain_len).max(zstd_safe::compress_bound(plain_len))
}

impl Compressor {
    /// Compresses `plain` into the front of `out` (at least `compress_bound` bytes); gives what was used and how many
    /// bytes it took. `Raw` (and a copy of `plain`) when nothing was gained.
    ///
    /// # Panics
    /// When `out` is shorter than [`compress_bound`] says.
    pub fn compress(&mut self, how: Compression, plain: &[u8], out: &mut [u8]) -> (CodecId, usize) {
        let (codec, compressed) = match how {
            Compression::None => (CodecId::Raw, None),
            Compression::Lz4 => (CodecId::Lz4, Some(self.lz4(plain, out))),
            Compression::Zstd(level) => (CodecId::Zstd, self.zstd(level, plain, out)),
        };
        match compressed {
            Some(len) if len < plain.len() => (codec, len),
            // Also when the codec failed (no memory for its context): raw is always right.
            _ => {
                out[..plain.len()].copy_from_slice(plain);
                (CodecId::Raw, plain.len())
            }
        }
    }

    fn lz4(&mut self, plain: &[u8], out: &mut [u8]) -> usize {
        lz4::compress(plain, out, self.lz4.get_or_insert_with(lz4::table))
    }

    fn zstd(&mut self, level: i32, plain: &[u8], out: &mut [u8]) -> Option<usize> {
        let level = level.clamp(*ZSTD_LEVELS.start(), *ZSTD_LEVELS.end());
        if self.zstd.as_ref().is_none_or(|(at, _)| *at != level) {
            self.zstd = Some((level, zstd::bulk::Compressor::new(level).ok()?));
        }
        let (_, context) = self.zstd.as_mut()?;
        context.compress_to_buffer(plain, out).ok()
    }
}

/// Contexts of one worker for the way back; made when first needed.
#[derive(Default)]
pub struct Decompressor {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl Decompressor {
    /// Fills `out` exactly, or fails. After a failure the bytes of `out` mean nothing.
    pub fn decompress(&mut self, codec: CodecId, payload: &[u8], out: &mut [u8]) -> Result<(), CodecError> {
        let len = match codec {
            CodecId::Raw if payload.len() == out.len() => {
                out.copy_from_slice(payload);
                payload.len()
            }
            CodecId::Raw => return Err(CodecError::Length),
            CodecId::Lz4 => lz4_flex::block::decompress_into(payload, out).map_err(|error| match error {
                lz4_flex::block::DecompressError::OutputTooSmall { .. } => CodecError::Length,
                _ => CodecError::Invalid,
            })?,
            CodecId::Zstd => self.zstd(payload, out)?,
        };
        if len == out.len() { Ok(()) } else { Err(CodecError::Length) }
    }

    fn zstd(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, CodecError> {
        // Asked first because the decoder's own errors do not say which it was.
        match zstd_safe::get_frame_content_size(payload) {
            Ok(Some(len)) if len != out.len() as u64 => return Err(CodecError::Length),
            Ok(_) => {}
            Err(_) => return Err(CodecError::Invalid),
        }
        self.zstd.get_or_insert_default().decompress_to_buffer(payload, out).map_err(|_| CodecError::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Compression; 4] = [Compression::None, Compression::Lz4, Compression::Zstd(1), Compression::Zstd(3)];

    fn compressed(compressor: &mut Compressor, how: Compression, plain: &[u8]) -> (CodecId, Vec<u8>) {
        let mut out = vec![0xAA; compress_bound(plain.len())];
        let (codec, len) = compressor.compress(how, plain, &mut out);
        out.truncate(len);
        (codec, out)
    }

    fn text(len: usize) -> Vec<u8> {
        (0..).flat_map(|i: u32| format!("line {} of {}\n", i % 977, i / 13).into_bytes()).take(len).collect()
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut out);
        out
    }

    /// Noise, runs and repeats mixed.
    fn any_plain() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            (any::<u8>(), 0..5000_usize).prop_map(|(byte, n)| vec![byte; n]),
            (proptest::collection::vec(any::<u8>(), 1..40), 0..200_usize).prop_map(|(unit, n)| unit.repeat(n)),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn what_was_compressed_decompresses_to_itself_and_is_never_longer(plain in any_plain()) {
            let (mut compressor, mut decompressor) = (Compressor::default(), Decompressor::default());
            for how in ALL {
                let (codec, payload) = compressed(&mut compressor, how, &plain);
                prop_assert!(payload.len() <= plain.len());
                let mut back = vec![0x55; plain.len()];
                prop_assert_eq!(decompressor.decompress(codec, &payload, &mut back), Ok(()));
                prop_assert_eq!(&back, &plain);
            }
        }

        #[test]
        fn any_payload_fills_the_output_or_is_an_error(
            payload in proptest::collection::vec(any::<u8>(), 0..200), len in 0..500_usize,
        ) {
            let mut decompressor = Decompressor::default();
            for codec in [CodecId::Raw, CodecId::Lz4, CodecId::Zstd] {
                _ = decompressor.decompress(codec, &payload, &mut vec![0; len]);
            }
            prop_assert_eq!(
                decompressor.decompress(CodecId::Raw, &payload, &mut vec![0; len]).is_ok(), payload.len() == len
            );
        }
    }

    #[test]
    fn a_wrong_length_on_record_is_told_from_damage() {
        let plain = text(100_000);
        let (mut compressor, mut decompressor) = (Compressor::default(), Decompressor::default());
        for how in [Compression::Lz4, Compression::Zstd(1), Compression::None] {
            let (codec, payload) = compressed(&mut compressor, how, &plain);
            for len in [0, 1, plain.len() - 1, plain.len() + 1, 2 * plain.len()] {
                let result = decompressor.decompress(codec, &payload, &mut vec![0; len]);
                assert_eq!(result, Err(CodecError::Length), "{how} to {len}");
            }
            if codec != CodecId::Raw {
                let cut = decompressor.decompress(codec, &payload[..payload.len() - 1], &mut vec![0; plain.len()]);
                assert!(cut.is_err());
                let grown = [&payload[..], &[7]].concat();
                assert!(decompressor.decompress(codec, &grown, &mut vec![0; plain.len()]).is_err());
            }
            // The contexts are whole after an error.
            assert_eq!(decompressor.decompress(codec, &payload, &mut vec![0; plain.len()]), Ok(()));
        }
        assert_eq!(decompressor.decompress(CodecId::Zstd, b"not a frame", &mut [0; 9]), Err(CodecError::Invalid));
        assert_eq!(decompressor.decompress(CodecId::Lz4, &[0x0F, 0, 0], &mut [0; 9]), Err(CodecError::Invalid));
    }

    #[test]
    fn text_shrinks_and_noise_is_stored_raw() {
        let mut compressor = Compressor::default();
        for how in &ALL[1..] {
            let (codec, payload) = compressed(&mut compressor, *how, &text(200_000));
            assert!(codec != CodecId::Raw && payload.len() < 100_000, "{how}");
            for len in [0, 1, 100, 70_000] {
                assert_eq!(compressed(&mut compressor, *how, &noise(len)), (CodecId::Raw, noise(len)), "{how} {len}");
            }
        }
    }

    #[test]
    fn the_same_plaintext_gives_the_same_bytes_whatever_came_before() {
        let inputs =
            [text(1000), noise(5000), text(64 << 10), text(300_000), text(65_534), [text(9), noise(99)].concat()];
        let mut used = Compressor::default();
        for how in [Compression::Lz4, Compression::Zstd(1), Compression::Zstd(9), Compression::Zstd(1)] {
            for plain in inputs.iter().chain(inputs.iter().rev()) {
                let fresh = compressed(&mut Compressor::default(), how, plain);
                assert_eq!(compressed(&mut used, how, plain), fresh, "{how}, {} bytes", plain.len());
            }
        }
    }

    #[test]
    fn compression_reads_back_what_it_prints_and_says_what_is_wrong() {
        for how in ALL {
            assert_eq!(how.to_string().parse(), Ok(how));
        }
        assert_eq!("zstd".parse(), Ok(Compression::Zstd(ZSTD_LEVEL_DEFAULT)));
        assert_eq!("zstd:19".parse(), Ok(Compression::Zstd(19)));
        for (bad, says) in [
            ("gzip", "compression `gzip` is not known"),
            ("", "is not known"),
            ("LZ4", "is not known"),
            ("zstd:0", "no level `0`"),
            ("zstd:20", "1 (fast) to 19 (small)"),
            ("zstd:", "no level"),
            ("zstd:x", "no level `x`"),
            ("lz4:1", "`lz4` has no levels"),
        ] {
            let error = bad.parse::<Compression>().unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
