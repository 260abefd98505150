//! Ids of many small contents at once.
//!
//! BLAKE3 is fast because it hashes several 1 KiB chunks of one input side by side in SIMD lanes; an input below 2 KiB
//! fills one lane of up to 16. Here the lanes are filled with equal parts of *different* inputs: full chunks at the same
//! place in their files, then the last, shorter chunks by their number of blocks, then parent nodes level by level. The
//! ids are BLAKE3's own (section 2 of the BLAKE3 paper, 2020), bit for bit; only what runs side by side differs.
//!
//! `blake3::platform` is public and not stable, so the crate's version is pinned exactly, and tests hold every
//! length against `blake3::keyed_hash`.

use super::hash::content_id;
use crate::base::id::ContentId;
use blake3::IncrementCounter;
use blake3::platform::Platform;

const BLOCK: usize = 64;
const CHUNK: usize = 1024;
const BLOCKS: usize = CHUNK / BLOCK;
/// Lanes of the widest instruction set; on others `hash_many` takes its inputs in several steps.
const LANES: usize = 16;
/// From here on one input fills the lanes by itself.
pub const SMALL_BYTES_MAX: usize = LANES * CHUNK;

// Flags of BLAKE3's compression function.
const CHUNK_START: u8 = 1 << 0;
const CHUNK_END: u8 = 1 << 1;
const PARENT: u8 = 1 << 2;
const ROOT: u8 = 1 << 3;
const KEYED: u8 = 1 << 4;

/// A chaining value: what a chunk or a parent node comes to.
type Value = [u8; 32];

/// Part of the plaintext, and which chaining value it gives.
#[derive(Clone, Copy)]
struct Part {
    at: u32,
    len: u32,
    value: u32,
}

/// A content whose chaining values are to be brought together: they lie side by side.
#[derive(Clone, Copy)]
struct Tree {
    first: u32,
    nodes: u32,
    content: u32,
}

/// Hashes many small contents at once. Keeps its buffers from call to call.
pub struct ManyHasher {
    platform: Platform,
    ids: Vec<ContentId>,
    values: Vec<Value>,
    trees: Vec<Tree>,
    /// Full chunks that are not the last of their content, by their number in it.
    full: [Vec<Part>; LANES],
    /// Last chunks, by their number and by the number of blocks before the last one.
    last: Vec<Vec<Part>>,
    pairs: Vec<(u32, u32)>,
    roots: Vec<(u32, u32)>,
}

impl Default for ManyHasher {
    fn default() -> ManyHasher {
        ManyHasher::on(Platform::detect())
    }
}

impl ManyHasher {
    /// On a path that this processor has; for measuring. [`ManyHasher::default`] takes the best one.
    pub fn on(platform: Platform) -> ManyHasher {
        ManyHasher {
            platform,
            ids: Vec::new(),
            values: Vec::new(),
            trees: Vec::new(),
            full: Default::default(),
            last: vec![Vec::new(); LANES * BLOCKS],
            pairs: Vec::new(),
            roots: Vec::new(),
        }
    }
}

impl ManyHasher {
    /// The ids of contents of `plain`, given as (start, length), in their order: each as [`content_id`] gives it.
    pub fn content_ids(
        &mut self,
        key: &[u8; 32],
        plain: &[u8],
        contents: impl Iterator<Item = (u32, u32)>,
    ) -> &[ContentId] {
        self.content_ids_with(key, plain, contents, |large| content_id(key, large))
    }

    /// The same; contents that fill the lanes by themselves are hashed by `large`.
    pub fn content_ids_with(
        &mut self,
        key: &[u8; 32],
        plain: &[u8],
        contents: impl Iterator<Item = (u32, u32)>,
        mut large: impl FnMut(&[u8]) -> ContentId,
    ) -> &[ContentId] {
        self.ids.clear();
        self.values.clear();
        self.trees.clear();
        for (at, len) in contents {
            if len as usize > SMALL_BYTES_MAX {
                self.ids.push(large(&plain[at as usize..(at + len) as usize]));
            } else {
                self.take_apart(at, len);
            }
        }
        let key = words(key);
        for chunk in 0..LANES {
            self.full_chunks(&key, plain, chunk);
            for blocks in 0..BLOCKS {
                self.last_chunks(&key, plain, chunk, blocks);
            }
        }
        self.parents(&key);
        &self.ids
    }

    fn take_apart(&mut self, at: u32, len: u32) {
        let chunks = (len as usize).div_ceil(CHUNK).max(1);
        let first = self.values.len() as u32;
        let part = |chunk: usize, len: usize| Part {
            at: at + (chunk * CHUNK) as u32,
            len: len as u32,
            value: first + chunk as u32,
        };
        for chunk in 0..chunks - 1 {
            self.full[chunk].push(part(chunk, CHUNK));
        }
        let rest = len as usize - (chunks - 1) * CHUNK;
        let blocks_before = rest.div_ceil(BLOCK).max(1) - 1;
        self.last[(chunks - 1) * BLOCKS + blocks_before].push(part(chunks - 1, rest));
        self.values.resize(first as usize + chunks, [0; 32]);
        self.trees.push(Tree { first, nodes: chunks as u32, content: self.ids.len() as u32 });
        self.ids.push(ContentId([0; 32]));
    }

    fn full_chunks(&mut self, key: &[u32; 8], plain: &[u8], chunk: usize) {
        let mut out = [[0; 32]; LANES];
        for parts in self.full[chunk].chunks(LANES) {
            side_by_side::<CHUNK>(&self.platform, key, plain, parts, chunk, CHUNK_END, &mut out);
            for (part, value) in parts.iter().zip(&out) {
                self.values[part.value as usize] = *value;
            }
        }
        self.full[chunk].clear();
    }

    /// All blocks but the last side by side, then each one's last block, whose length is its own.
    fn last_chunks(&mut self, key: &[u32; 8], plain: &[u8], chunk: usize, blocks: usize) {
        let mut out = [[0; 32]; LANES];
        for parts in self.last[chunk * BLOCKS + blocks].chunks(LANES) {
            blocks_side_by_side(&self.platform, key, plain, parts, chunk, blocks, &mut out);
            for (part, value) in parts.iter().zip(&out) {
                let rest = &plain[part.at as usize + blocks * BLOCK..(part.at + part.len) as usize];
                let mut block = [0; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                let start = if blocks == 0 { CHUNK_START } else { 0 };
                // A content's only chunk is its root.
                let root = if chunk == 0 { ROOT } else { 0 };
                let mut value = if blocks == 0 { *key } else { words(value) };
                let flags = KEYED | CHUNK_END | start | root;
                self.platform.compress_in_place(&mut value, &block, rest.len() as u8, chunk as u64, flags);
                self.values[part.value as usize] = bytes(&value);
            }
        }
        self.last[chunk * BLOCKS + blocks].clear();
    }

    /// Neighbours become one, level by level; an odd one at the end goes up as it is. That is BLAKE3's tree: its left
    /// side is always the largest possible power of two.
    fn parents(&mut self, key: &[u32; 8]) {
        self.roots.clear();
        loop {
            self.pairs.clear();
            for tree in &mut self.trees {
                match std::mem::take(&mut tree.nodes) {
                    0 => {}
                    1 => self.ids[tree.content as usize] = ContentId(self.values[tree.first as usize]),
                    2 => self.roots.push((tree.first, tree.content)),
                    nodes => {
                        self.pairs.extend((0..nodes / 2).map(|pair| (tree.first + 2 * pair, tree.first + pair)));
                        tree.nodes = nodes;
                    }
                }
            }
            if self.pairs.is_empty() {
                break;
            }
            let values = &mut self.values;
            for pairs in self.pairs.chunks(LANES) {
                let out = parents_side_by_side(&self.platform, key, values, pairs, 0);
                for (value, (_, to)) in out.iter().zip(pairs) {
                    values[*to as usize] = *value;
                }
            }
            for tree in self.trees.iter_mut().filter(|tree| tree.nodes > 0) {
                let (pairs, odd) = (tree.nodes / 2, tree.nodes % 2);
                if odd == 1 {
                    values[(tree.first + pairs) as usize] = values[(tree.first + tree.nodes - 1) as usize];
                }
                tree.nodes = pairs + odd;
            }
        }
        for roots in self.roots.chunks(LANES) {
            let out = parents_side_by_side(&self.platform, key, &self.values, roots, ROOT);
            for (id, (_, content)) in out.iter().zip(roots) {
                self.ids[*content as usize] = ContentId(*id);
            }
        }
    }
}

/// The first `N` bytes of up to [`LANES`] parts.
fn side_by_side<const N: usize>(
    platform: &Platform,
    key: &[u32; 8],
    plain: &[u8],
    parts: &[Part],
    chunk: usize,
    end: u8,
    out: &mut [Value; LANES],
) {
    let mut inputs = [&[0; N]; LANES];
    for (input, part) in inputs.iter_mut().zip(parts) {
        // Hashing anything else in its place would give a wrong id.
        *input = plain[part.at as usize..].first_chunk().expect("a part lies in the plaintext");
    }
    let (inputs, counter, out) = (&inputs[..parts.len()], chunk as u64, out.as_flattened_mut());
    platform.hash_many(inputs, key, counter, IncrementCounter::No, KEYED, CHUNK_START, end, out);
}

/// The first so many blocks of up to [`LANES`] parts. `hash_many` wants to know their number when it is compiled.
fn blocks_side_by_side(
    platform: &Platform,
    key: &[u32; 8],
    plain: &[u8],
    parts: &[Part],
    chunk: usize,
    blocks: usize,
    out: &mut [Value; LANES],
) {
    macro_rules! of_number {
        ($($n:literal)*) => {
            match blocks {
                $($n => side_by_side::<{ $n * BLOCK }>(platform, key, plain, parts, chunk, 0, out),)*
                _ => {}
            }
        };
    }
    of_number!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

/// Parent nodes of up to [`LANES`] pairs of values, each given by the place of its first.
fn parents_side_by_side(
    platform: &Platform,
    key: &[u32; 8],
    values: &[Value],
    pairs: &[(u32, u32)],
    root: u8,
) -> [Value; LANES] {
    let mut inputs = [&[0; BLOCK]; LANES];
    for (input, (from, _)) in inputs.iter_mut().zip(pairs) {
        *input = values[*from as usize..].as_flattened().first_chunk().expect("a pair has two values");
    }
    let mut out = [[0; 32]; LANES];
    let (inputs, flags) = (&inputs[..pairs.len()], KEYED | PARENT | root);
    platform.hash_many(inputs, key, 0, IncrementCounter::No, flags, 0, 0, out.as_flattened_mut());
    out
}

fn words(value: &Value) -> [u32; 8] {
    let (words, _) = value.as_chunks::<4>();
    std::array::from_fn(|i| u32::from_le_bytes(words[i]))
}

fn bytes(words: &[u32; 8]) -> Value {
    let mut bytes = [0; 32];
    for (to, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn check(hasher: &mut ManyHasher, plain: &[u8], contents: &[(u32, u32)]) {
        let key = [7; 32];
        let ids = hasher.content_ids(&key, plain, contents.iter().copied());
        assert_eq!(ids.len(), contents.len());
        for (id, (at, len)) in ids.iter().zip(contents) {
            assert_eq!(*id, content_id(&key, &plain[*at as usize..(at + len) as usize]), "{len} bytes");
        }
    }

    #[test]
    fn every_length_gives_blake3s_own_id() {
        let plain = noise(20_000);
        let all: Vec<_> = (0..=SMALL_BYTES_MAX as u32 + 2).map(|len| (len % 97, len)).collect();
        check(&mut ManyHasher::default(), &plain, &all);
        let mut hasher = ManyHasher::default();
        all.iter().step_by(61).for_each(|one| check(&mut hasher, &plain, &[*one]));
        check(&mut hasher, &plain, &[]);
    }

    proptest! {
        #[test]
        fn any_mixture_gives_blake3s_own_ids(contents in prop::collection::vec((0..9000u32, 0..20_000u32), 0..80)) {
            let plain = noise(30_000);
            let mut hasher = ManyHasher::default();
            check(&mut hasher, &plain, &contents);
            check(&mut hasher, &plain, &contents);
        }
    }
}
