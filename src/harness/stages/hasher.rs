//! Keyed BLAKE3 on a chosen path: the crate's own compression functions, which it keeps open "for benchmarks only", under
//! the tree that the BLAKE3 paper (2020, section 2.1) describes. The engine itself always runs the path that the crate finds.

use blake3::IncrementCounter::{No, Yes};
use blake3::platform::{MAX_SIMD_DEGREE, Platform, le_bytes_from_words_32, words_from_le_bytes_32};

const CHUNK: usize = 1024;
const BLOCK: usize = 64;
const OUT: usize = 32;
const CHUNK_START: u8 = 1 << 0;
const CHUNK_END: u8 = 1 << 1;
const PARENT: u8 = 1 << 2;
const ROOT: u8 = 1 << 3;
const KEYED: u8 = 1 << 4;

/// Hashes on one path; holds memory from call to call.
pub struct Hasher {
    platform: Platform,
    /// Chaining values of one level of the tree, one behind the other.
    level: Vec<u8>,
    above: Vec<u8>,
}

impl Hasher {
    /// On this path, which this processor can run: who has a `Platform` has asked.
    pub fn new(platform: Platform) -> Hasher {
        Hasher { platform, level: Vec::new(), above: Vec::new() }
    }

    pub fn keyed_hash(&mut self, key: &[u8; OUT], input: &[u8]) -> [u8; OUT] {
        let key = words_from_le_bytes_32(key);
        if input.len() <= CHUNK {
            return self.last_chunk(&key, input, 0, ROOT);
        }
        let (chunks, rest) = input.as_chunks::<CHUNK>();
        self.level.clear();
        self.level.resize(chunks.len() * OUT, 0);
        let groups = chunks.chunks(MAX_SIMD_DEGREE).zip(self.level.chunks_mut(MAX_SIMD_DEGREE * OUT));
        for (at, (group, out)) in groups.enumerate() {
            let inputs: [&[u8; CHUNK]; MAX_SIMD_DEGREE] = std::array::from_fn(|i| &group[i.min(group.len() - 1)]);
            let counter = (at * MAX_SIMD_DEGREE) as u64;
            let inputs = &inputs[..group.len()];
            self.platform.hash_many(inputs, &key, counter, Yes, KEYED, CHUNK_START, CHUNK_END, out);
        }
        if !rest.is_empty() {
            let last = self.last_chunk(&key, rest, chunks.len() as u64, 0);
            self.level.extend_from_slice(&last);
        }
        while self.level.len() > 2 * OUT {
            self.parents(&key);
        }
        let mut root = key;
        let block = self.level.first_chunk::<BLOCK>().expect("more than one chunk leaves two values");
        self.platform.compress_in_place(&mut root, block, BLOCK as u8, 0, KEYED | PARENT | ROOT);
        le_bytes_from_words_32(&root)
    }

    /// A chunk that may be short, block by block.
    fn last_chunk(&self, key: &[u32; 8], chunk: &[u8], counter: u64, flags: u8) -> [u8; OUT] {
        let (mut value, blocks) = (*key, chunk.len().div_ceil(BLOCK).max(1));
        for at in 0..blocks {
            let bytes = &chunk[at * BLOCK..chunk.len().min((at + 1) * BLOCK)];
            let mut block = [0; BLOCK];
            block[..bytes.len()].copy_from_slice(bytes);
            let start = if at == 0 { CHUNK_START } else { 0 };
            let end = if at + 1 == blocks { CHUNK_END | flags } else { 0 };
            self.platform.compress_in_place(&mut value, &block, bytes.len() as u8, counter, KEYED | start | end);
        }
        le_bytes_from_words_32(&value)
    }

    /// The next level: pairs become parents, one that is left over goes up as it is.
    fn parents(&mut self, key: &[u32; 8]) {
        let (pairs, odd) = self.level.as_chunks::<BLOCK>();
        self.above.clear();
        self.above.resize(pairs.len() * OUT, 0);
        let groups = pairs.chunks(MAX_SIMD_DEGREE).zip(self.above.chunks_mut(MAX_SIMD_DEGREE * OUT));
        for (group, out) in groups {
            let inputs: [&[u8; BLOCK]; MAX_SIMD_DEGREE] = std::array::from_fn(|i| &group[i.min(group.len() - 1)]);
            self.platform.hash_many(&inputs[..group.len()], key, 0, No, KEYED | PARENT, 0, 0, out);
        }
        self.above.extend_from_slice(odd);
        std::mem::swap(&mut self.level, &mut self.above);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::stages::path::blake3_platforms;

    #[test]
    fn every_path_gives_the_hash_that_the_crate_gives() {
        let mut input = vec![0; 300_000];
        blake3::Hasher::new().finalize_xof().fill(&mut input);
        for platform in blake3_platforms() {
            let mut hasher = Hasher::new(platform);
            for len in (0..70)
                .chain([127, 128, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 5000, 16_384, 17_000, 65_537, 300_000])
            {
                let expected = blake3::keyed_hash(&[3; 32], &input[..len]);
                assert_eq!(hasher.keyed_hash(&[3; 32], &input[..len]), *expected.as_bytes(), "{platform:?} {len}");
            }
        }
    }
}
