//! The kernels that instructions are counted of and that are timed against a reference, on fixed bytes.

use super::counters::cutter;
use super::work;
use crate::chunking::Cutter;
use crate::codec::{Compression, Compressor, Decompressor, compress_bound};
use crate::crypto::hash::content_id;
use crate::crypto::lanes::ManyHasher;
use crate::crypto::pack::{NonceInput, PackKey};
use crate::format::blob::{BlobKind, CodecId, NONCE_TAIL_LEN, SEAL_OVERHEAD};
use crate::harness::BenchError;
use std::hint::black_box;

/// Bytes that one iteration of every kernel goes over.
pub const BYTES: usize = 1 << 20;
/// Bytes of a blob.
const PIECE: usize = 64 << 10;
const SMALL: usize = 1 << 10;
/// The least of the contents that are hashed side by side, and how far their lengths spread.
const MANY: (u32, u32) = (600, 3400);

/// What a kernel is timed against: work that larder's code has no part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// The cutting loop of the `fastcdc` crate.
    FastCdc,
    /// BLAKE3 over everything at once.
    Blake3,
    Memcpy,
}

impl Reference {
    pub fn name(self) -> &'static str {
        match self {
            Reference::FastCdc => "the fastcdc crate",
            Reference::Blake3 => "blake3",
            Reference::Memcpy => "memcpy",
        }
    }
}

#[derive(Clone, Copy)]
pub struct Kernel {
    pub name: &'static str,
    /// What it is timed against.
    pub reference: Reference,
    text: bool,
    run: fn(&mut Bench, text: bool, pieces: usize),
}

/// All of them.
pub const KERNELS: [Kernel; 12] = [
    Kernel { name: "chunk noise", reference: Reference::FastCdc, text: false, run: Bench::chunk },
    Kernel { name: "chunk text", reference: Reference::FastCdc, text: true, run: Bench::chunk },
    Kernel { name: "hash 64 KiB", reference: Reference::Blake3, text: false, run: Bench::hash },
    Kernel { name: "hash 1 KiB", reference: Reference::Blake3, text: false, run: Bench::hash_small },
    Kernel { name: "hash many", reference: Reference::Blake3, text: false, run: Bench::hash_many },
    Kernel { name: "lz4 text", reference: Reference::Blake3, text: true, run: Bench::lz4 },
    Kernel { name: "lz4 noise", reference: Reference::Blake3, text: false, run: Bench::lz4 },
    Kernel { name: "unlz4 text", reference: Reference::Memcpy, text: true, run: Bench::unlz4 },
    Kernel { name: "zstd text", reference: Reference::Blake3, text: true, run: Bench::zstd },
    Kernel { name: "unzstd text", reference: Reference::Blake3, text: true, run: Bench::unzstd },
    Kernel { name: "seal", reference: Reference::Blake3, text: false, run: Bench::seal },
    Kernel { name: "open", reference: Reference::Blake3, text: false, run: Bench::open },
];

impl Kernel {
    /// The one of this name.
    pub fn named(name: &str) -> Option<Kernel> {
        KERNELS.into_iter().find(|kernel| kernel.name == name)
    }
}

/// Inputs, and what the kernels work with.
pub struct Bench {
    noise: Vec<u8>,
    text: Vec<u8>,
    packed: [Vec<(CodecId, Vec<u8>)>; 2],
    sealed: Vec<Vec<u8>>,
    cutter: Cutter,
    key: PackKey,
    hasher: ManyHasher,
    /// Where each of many small contents lies, in order and without gaps.
    contents: Vec<(u32, u32)>,
    compressor: Compressor,
    decompressor: Decompressor,
    lengths: Vec<u32>,
    out: Vec<u8>,
}

impl Bench {
    /// Makes all inputs, so that the way to any kernel costs the same.
    pub fn new() -> Result<Bench, BenchError> {
        let (noise, text) = (work::noise(77, BYTES), work::text(78, BYTES));
        let mut compressor = Compressor::default();
        let mut out = vec![0; compress_bound(BYTES)];
        let mut pack = |how| {
            let pieces = text.chunks(PIECE);
            let packed = pieces.map(|piece| {
                let (codec, len) = compressor.compress(how, piece, &mut out);
                (codec, out[..len].to_vec())
            });
            packed.collect::<Vec<_>>()
        };
        let packed = [pack(Compression::Lz4), pack(Compression::Zstd(1))];
        let key = PackKey::new(&[9; 32], b"gate");
        let sealed = noise.chunks(PIECE).map(|piece| {
            let mut blob = vec![0; piece.len() + SEAL_OVERHEAD];
            blob[NONCE_TAIL_LEN..][..piece.len()].copy_from_slice(piece);
            key.seal(BlobKind::Chunks, 9, ids(), &mut blob);
            blob
        });
        let sealed = sealed.collect();
        let (cutter, decompressor, lengths) = (cutter()?, Decompressor::default(), Vec::new());
        let (hasher, contents) = (ManyHasher::default(), contents());
        Ok(Bench { noise, text, packed, sealed, cutter, key, hasher, contents, compressor, decompressor, lengths, out })
    }

    pub fn run(&mut self, kernel: Kernel) {
        (kernel.run)(self, kernel.text, BYTES / PIECE);
        #[cfg(test)]
        planted(kernel.name, |pieces| (kernel.run)(self, kernel.text, pieces));
    }

    /// One iteration of what the kernel is timed against.
    pub fn run_reference(&mut self, kernel: Kernel) {
        let data = if kernel.text { &self.text } else { &self.noise };
        match kernel.reference {
            Reference::FastCdc => {
                let mut rest = &data[..];
                while !rest.is_empty() {
                    rest = &rest[black_box(self.cutter.cut(rest))..];
                }
            }
            Reference::Blake3 => _ = black_box(blake3::hash(black_box(data))),
            Reference::Memcpy => black_box(&mut self.out)[..BYTES].copy_from_slice(black_box(data)),
        }
    }

    fn data(&self, text: bool, pieces: usize) -> &[u8] {
        let all = if text { &self.text } else { &self.noise };
        &all[..pieces * PIECE]
    }

    fn chunk(&mut self, text: bool, pieces: usize) {
        let mut lengths = std::mem::take(&mut self.lengths);
        lengths.clear();
        self.cutter.cuts(black_box(self.data(text, pieces)), &mut lengths);
        self.lengths = black_box(lengths);
    }

    fn hash(&mut self, text: bool, pieces: usize) {
        for piece in self.data(text, pieces).chunks(PIECE) {
            black_box(content_id(&[3; 32], black_box(piece)));
        }
    }

    fn hash_small(&mut self, text: bool, pieces: usize) {
        for piece in self.data(text, pieces).chunks(SMALL) {
            black_box(content_id(&[3; 32], black_box(piece)));
        }
    }

    /// As a batch of small files is hashed: contents of mixed lengths, side by side.
    fn hash_many(&mut self, text: bool, pieces: usize) {
        let data = &(if text { &self.text } else { &self.noise })[..pieces * PIECE];
        let contents = self.contents.iter().copied().take_while(|(at, len)| (at + len) as usize <= data.len());
        black_box(self.hasher.content_ids(&[3; 32], black_box(data), contents));
    }

    fn compress(&mut self, how: Compression, text: bool, pieces: usize) {
        let all = if text { &self.text } else { &self.noise };
        for piece in all[..pieces * PIECE].chunks(PIECE) {
            black_box(self.compressor.compress(how, black_box(piece), &mut self.out));
        }
    }

    fn lz4(&mut self, text: bool, pieces: usize) {
        self.compress(Compression::Lz4, text, pieces);
    }

    fn zstd(&mut self, text: bool, pieces: usize) {
        self.compress(Compression::Zstd(1), text, pieces);
    }

    fn decompress(&mut self, which: usize, pieces: usize) {
        for (codec, payload) in self.packed[which].iter().take(pieces) {
            let out = &mut self.out[..PIECE];
            assert!(self.decompressor.decompress(*codec, black_box(payload), out).is_ok(), "packed by ourselves");
        }
    }

    fn unlz4(&mut self, _text: bool, pieces: usize) {
        self.decompress(0, pieces);
    }

    fn unzstd(&mut self, _text: bool, pieces: usize) {
        self.decompress(1, pieces);
    }

    fn seal(&mut self, _text: bool, pieces: usize) {
        for _ in 0..pieces {
            let blob = &mut self.out[..PIECE + SEAL_OVERHEAD];
            self.key.seal(BlobKind::Chunks, 9, ids(), black_box(blob));
        }
    }

    /// With a copy of each blob, as opening works in place.
    fn open(&mut self, _text: bool, pieces: usize) {
        for sealed in self.sealed.iter().take(pieces) {
            let blob = &mut self.out[..sealed.len()];
            blob.copy_from_slice(sealed);
            assert!(self.key.open(BlobKind::Chunks, 9, black_box(blob)).is_ok(), "sealed by ourselves");
        }
    }
}

/// Contents that make up all bytes, their lengths spread evenly and in no order; the last one is what is left.
fn contents() -> Vec<(u32, u32)> {
    let (least, spread) = MANY;
    let (mut contents, mut at) = (Vec::new(), 0);
    while at < BYTES as u32 {
        let len = least + (contents.len() as u32).wrapping_mul(0x9e37_79b9) % spread;
        contents.push((at, len.min(BYTES as u32 - at)));
        at += len;
    }
    contents
}

fn ids() -> NonceInput<'static> {
    NonceInput::Ids { codec: 0, plain_len: PIECE as u32, ids: &[3; 32] }
}

/// A slowdown that tests plant: `LARDER_TEST_PLANT=KERNEL` makes that kernel do an eighth of its work once more. Only the
/// tests' own build has it.
#[cfg(test)]
fn planted(name: &str, more: impl FnOnce(usize)) {
    if std::env::var("LARDER_TEST_PLANT").is_ok_and(|planted| planted == name) {
        more(BYTES / PIECE / 8);
    }
}

/// The CPU features that kernels here choose their path by, as this process sees them.
pub fn cpu_path() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
            return "avx512";
        }
        if is_x86_feature_detected!("avx2") {
            return "avx2";
        }
        "sse2"
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        if cfg!(target_arch = "aarch64") { "neon" } else { "portable" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_contents_are_all_bytes_and_of_every_length() {
        let contents = contents();
        let mut next = 0;
        for (at, len) in &contents {
            assert_eq!(*at, next);
            next += len;
        }
        assert_eq!(next as usize, BYTES);
        let lengths: Vec<u32> = contents[..contents.len() - 1].iter().map(|(_, len)| *len).collect();
        assert!(lengths.iter().all(|len| (MANY.0..MANY.0 + MANY.1).contains(len)));
        // Below a chunk of BLAKE3's, and of two, three and four.
        let chunks = |len: &u32| len.div_ceil(1024);
        for wanted in 1..=4 {
            assert!(lengths.iter().filter(|len| chunks(len) == wanted).count() > 40, "{wanted}");
        }
    }

    #[test]
    fn what_is_hashed_side_by_side_are_the_contents_of_the_kernel() {
        let mut bench = Bench::new().unwrap();
        bench.run(Kernel::named("hash many").unwrap());
        let Bench { noise, contents, hasher, .. } = &mut bench;
        let ids = hasher.content_ids(&[3; 32], noise, contents.iter().copied());
        assert_eq!(ids.len(), contents.len());
        let (at, len) = contents[17];
        assert_eq!(ids[17], content_id(&[3; 32], &noise[at as usize..(at + len) as usize]));
    }
}
