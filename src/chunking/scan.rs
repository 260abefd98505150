//! One big file on every core with exactly the sequential cuts: scan in parallel, select in order.

use super::gear::Cutter;

/// All positions of one scanned range that meet the loose mask, and whether they meet the strict one.
/// A list; a bitmap past 64k hits. Reusable.
#[derive(Debug, Default)]
pub struct Hits {
    _private: (),
}

impl Cutter {
    /// Finds the hits in `data`, given up to 47 bytes that come before it in the file (fewer only at a file's start).
    /// Pure; ranges of one file may be scanned in any order and in parallel. Runs 4 interleaved lanes.
    pub fn scan(&self, _before: &[u8], _data: &[u8], _hits: &mut Hits) {
        todo!()
    }
}

/// Applies min, avg and max to the hits of one file, range by range in order.
#[derive(Debug, Default)]
pub struct Selector {
    _private: (),
}

impl Selector {
    /// Starts at the beginning of a file.
    pub fn new() -> Selector {
        todo!()
    }

    /// Takes the next range. `bytes` is the tail carried so far (`self.carried()` bytes) followed by the range that
    /// `hits` was made from; `last` says that the file ends here. Appends the lengths of the chunks that end in it,
    /// beginning with the carried tail; what is left after them is the new carried tail (empty when `last`).
    pub fn select(&mut self, _cutter: &Cutter, _bytes: &[u8], _hits: &Hits, _last: bool, _lengths: &mut Vec<u32>) {
        todo!()
    }

    /// Bytes of the file that belong to no chunk yet: below `max` always (the byte after a chunk may decide its end).
    pub fn carried(&self) -> usize {
        todo!()
    }
}
