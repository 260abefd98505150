//! What chunkers find no cuts in, or the same one everywhere: runs of one byte, periods, few symbols, counters. The second
//! version: each file with a byte more at its beginning and one more in its middle.

use super::random::Random;
use super::{Parameters, Tree};
use crate::harness::error::BenchError;

/// What a recipe says.
pub const PARAMETERS: &[&str] = &["seed", "file_mib"];

/// A run of this byte.
const RUNS: [u8; 3] = [0x00, 0x61, 0xff];
/// Periods: around a word, a window, a page and common chunk sizes.
const PERIODS: [usize; 10] = [2, 7, 31, 64, 4095, 4096, 4097, 65_536, 65_537, 1_000_003];

type Block<'a> = Box<dyn FnMut(&mut [u8]) + 'a>;

/// Fills the tree.
pub fn fill(parameters: &Parameters, tree: &Tree<'_>) -> Result<(), BenchError> {
    let [seed, file_mib] = parameters.all(PARAMETERS);
    for byte in RUNS {
        put(tree, &format!("run-{byte:02x}"), file_mib, Box::new(move |block| block.fill(byte)))?;
    }
    for period in PERIODS {
        let mut pattern = vec![0; period];
        Random(seed + period as u64).fill(&mut pattern);
        let mut at = 0;
        put(tree, &format!("period-{period:07}"), file_mib, Box::new(move |block| repeat(&pattern, &mut at, block)))?;
    }
    let mut random = Random(seed);
    let two = move |block: &mut [u8]| block.iter_mut().for_each(|b| *b = b'a' + (random.draw() & 1) as u8);
    put(tree, "two-symbols", file_mib, Box::new(two))?;
    let mut random = Random(seed);
    // A byte in about 64 KiB: runs with something in them, at no regular distance.
    let specks = move |block: &mut [u8]| {
        block.fill(0);
        for _ in 0..block.len() >> 16 {
            let at = random.below(block.len() as u64) as usize;
            block[at] = random.draw() as u8;
        }
    };
    put(tree, "zeros-with-specks", file_mib, Box::new(specks))?;
    let mut n = 0u32;
    let counter = move |block: &mut [u8]| {
        for word in block.chunks_exact_mut(4) {
            word.copy_from_slice(&n.to_be_bytes());
            n += 1;
        }
    };
    put(tree, "counter", file_mib, Box::new(counter))
}

fn repeat(pattern: &[u8], at: &mut usize, block: &mut [u8]) {
    let mut rest = block;
    while !rest.is_empty() {
        let n = rest.len().min(pattern.len() - *at);
        let (now, later) = rest.split_at_mut(n);
        now.copy_from_slice(&pattern[*at..*at + n]);
        *at = (*at + n) % pattern.len();
        rest = later;
    }
}

fn put(tree: &Tree<'_>, name: &str, mib: u64, mut next: Block<'_>) -> Result<(), BenchError> {
    let mut out = tree.file(name, tree.version())?;
    let mut block = vec![0; 1 << 20];
    for i in 0..mib {
        if tree.is_second() && (i == 0 || i == mib / 2) {
            out.put(b"+")?;
        }
        next(&mut block);
        out.put(&block)?;
    }
    out.finish()
}
