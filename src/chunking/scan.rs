//! One big file on every core with exactly the sequential cuts: scan in parallel, select in order.
//!
//! Under our masks the hash sees the last 48 bytes only, so where it meets a mask can be found anywhere in a file
//! without knowing where chunks begin. Only the 47 positions after `min` of a chunk differ, as the hash starts anew
//! there: the selector computes these itself. The idea is SS-CDC's (Ni, Lin, Jiang, SYSTOR 2019).
//! It is the faster way on one core, too, so whole files are cut like this.

use super::gear::{Cutter, SHIFTS};
use crate::base::limits::GEAR_WINDOW;
use std::ops::Range;

/// Bytes before a position that its hash sees.
const BEFORE: usize = GEAR_WINDOW - 1;
/// Lanes that a scan runs side by side: a hash waits for the one before it, and the other lane works meanwhile.
const LANES: usize = 2;
/// Bytes that a lane takes at a time.
const STEP: usize = 2 * SHIFTS;
/// With more hits in a lane, or in what vectors scanned, nothing is listed: the selector then cuts this range itself, which
/// is quick where hits are many.
const LANE_HITS_MAX: usize = 1 << 15;
/// Marks a hit that meets the strict mask, too.
pub(super) const STRICT: u32 = 1 << 31;

/// All positions of one scanned range that meet the loose mask, and whether they meet the strict one. Reusable.
#[derive(Debug, Default)]
pub struct Hits {
    /// Ascending positions in the range, [`STRICT`] set in some.
    list: Vec<u32>,
    /// What the lanes found, until it is appended to the list.
    lanes: [Vec<u32>; LANES],
    /// Too many: the list means nothing.
    dense: bool,
}

impl Cutter {
    /// Finds the hits in `data`, given the bytes that come before it in the file: the last 47, or all there are; where
    /// less is at hand, all that belong to no chunk yet will do, as the selector looks at no position sooner.
    /// Pure; ranges of one file may be scanned in any order and in parallel. Runs on the cutter's path ([`Cutter::path`]):
    /// all give the same.
    pub fn scan(&self, before: &[u8], data: &[u8], hits: &mut Hits) {
        hits.list.clear();
        hits.dense = data.len() >= STRICT as usize || self.scan_all(before, data, hits).is_none();
        for lane in &mut hits.lanes {
            hits.list.append(lane);
        }
    }

    /// In vectors as far as they go, the rest in lanes. `None` when there are too many hits.
    fn scan_all(&self, before: &[u8], data: &[u8], hits: &mut Hits) -> Option<()> {
        let done = self.vectors.as_ref().map_or(Some(0), |v| v.scan(self, before, data, &mut hits.list))?;
        self.scan_lanes(before, data, done, &mut hits.lanes)
    }

    /// From `start` on: lanes side by side, then what is left of `data`.
    fn scan_lanes(&self, before: &[u8], data: &[u8], start: usize, lists: &mut [Vec<u32>; LANES]) -> Option<()> {
        let lane_len = match (data.len() - start) / LANES / STEP * STEP {
            len if len < BEFORE => 0,
            len => len,
        };
        if lane_len > 0 {
            let starts: [usize; LANES] = std::array::from_fn(|lane| start + lane * lane_len);
            let mut hashes = starts.map(|at| self.hash_before(before, data, at));
            let lanes = starts.map(|at| data[at..at + lane_len].as_chunks().0);
            self.scan_side_by_side(start, lanes, &mut hashes, lists)?;
        }
        let [.., list] = lists;
        self.scan_plainly(before, data, start + LANES * lane_len..data.len(), list)
    }

    /// The hash before a position of `data`.
    fn hash_before(&self, before: &[u8], data: &[u8], at: usize) -> u64 {
        let outside = &before[before.len().saturating_sub(BEFORE.saturating_sub(at))..];
        outside.iter().chain(&data[at.saturating_sub(BEFORE)..at]).fold(0, |hash, byte| self.step(hash, *byte))
    }

    /// Byte by byte, a part of `data`.
    pub(super) fn scan_plainly(
        &self,
        before: &[u8],
        data: &[u8],
        part: Range<usize>,
        list: &mut Vec<u32>,
    ) -> Option<()> {
        let mut hash = self.hash_before(before, data, part.start);
        for (position, byte) in part.clone().zip(&data[part]) {
            hash = self.step(hash, *byte);
            if hash & self.params().mask_loose == 0 {
                self.note(hash, position, list)?;
            }
        }
        Some(())
    }

    /// The hot loop. A hash is shifted once for four bytes, so a byte takes an addition from memory and no shift: after the
    /// first of the four the hash is ahead by three bits, and so are the table and the mask. Written out, as the compiler
    /// otherwise neither unrolls it nor keeps the hashes in registers.
    #[inline(never)]
    fn scan_side_by_side(
        &self,
        start: usize,
        lanes: [&[[u8; STEP]]; LANES],
        hashes: &mut [u64; LANES],
        lists: &mut [Vec<u32>; LANES],
    ) -> Option<()> {
        let loose = self.params().mask_loose;
        let starts = [start, start + lanes[0].len() * STEP];
        let [mut h0, mut h1] = *hashes;
        let [a, b] = lanes;
        for (index, (a, b)) in a.iter().zip(b).enumerate() {
            macro_rules! byte {
                ($lane:literal, $hash:ident, $bytes:ident, $step:literal) => {
                    const AHEAD: usize = SHIFTS - 1 - $step % SHIFTS;
                    if $step % SHIFTS == 0 {
                        $hash <<= SHIFTS;
                    }
                    $hash = $hash.wrapping_add(self.gear[AHEAD][usize::from($bytes[$step])]);
                    if $hash & loose << AHEAD == 0 {
                        self.note($hash >> AHEAD, starts[$lane] + index * STEP + $step, &mut lists[$lane])?;
                    }
                };
            }
            macro_rules! steps {
                ($($step:literal)*) => { $(
                    { byte!(0, h0, a, $step); }
                    { byte!(1, h1, b, $step); }
                )* };
            }
            steps!(0 1 2 3 4 5 6 7);
        }
        *hashes = [h0, h1];
        Some(())
    }

    #[cold]
    #[inline(never)]
    pub(super) fn note(&self, hash: u64, position: usize, list: &mut Vec<u32>) -> Option<()> {
        if list.len() == LANE_HITS_MAX {
            return None;
        }
        let strict = if hash & self.params().mask_strict == 0 { STRICT } else { 0 };
        list.push(position as u32 | strict);
        Some(())
    }

    /// Appends the lengths of all chunks of a whole file.
    pub fn cuts(&self, file: &[u8], lengths: &mut Vec<u32>) {
        // Nothing ends in the first `min` bytes, so they count as carried and are not scanned.
        let (skipped, rest) = file.split_at(file.len().min(self.min));
        let mut hits = Hits::default();
        self.scan(skipped, rest, &mut hits);
        Selector { carried: skipped.len() }.select(self, file, &hits, true, lengths);
    }
}

/// Applies min, avg and max to the hits of one file, range by range in order.
#[derive(Debug, Default)]
pub struct Selector {
    carried: usize,
}

impl Selector {
    /// Starts at the beginning of a file.
    pub fn new() -> Selector {
        Selector::default()
    }

    /// Bytes of the file that belong to no chunk yet: below `max` always (the byte after a chunk may decide its end).
    #[cfg(any(test, feature = "internals"))]
    pub fn carried(&self) -> usize {
        self.carried
    }

    /// Takes the next range. `bytes` is the tail carried so far (`self.carried()` bytes) followed by the range that
    /// `hits` was made from; `last` says that the file ends here. Appends the lengths of the chunks that end in it,
    /// beginning with the carried tail; what is left after them is the new carried tail (empty when `last`).
    pub fn select(&mut self, cutter: &Cutter, bytes: &[u8], hits: &Hits, last: bool, lengths: &mut Vec<u32>) {
        let mut range = Known { carried: self.carried, dense: hits.dense, list: &hits.list };
        let mut start = 0;
        while start < bytes.len() {
            let rest = &bytes[start..];
            let len = match range.first_end(cutter, rest, start) {
                Some(len) => len,
                None if last || rest.len() >= cutter.max => rest.len().min(cutter.max),
                None => break,
            };
            lengths.push(len as u32);
            start += len;
        }
        self.carried = bytes.len() - start;
    }
}

/// What is known of the range at hand.
struct Known<'a> {
    /// Bytes before the range, of which no position is in the list.
    carried: usize,
    dense: bool,
    /// Hits not passed yet.
    list: &'a [u32],
}

impl Known<'_> {
    /// Where the chunk that begins with `rest[0]`, `start` bytes into the carried tail and the range, may end first.
    fn first_end(&mut self, cutter: &Cutter, rest: &[u8], start: usize) -> Option<usize> {
        // Positions are looked at in pairs: an odd last byte only when another follows it.
        let to = rest.len().min(cutter.max) & !1;
        let carried = self.carried.saturating_sub(start);
        let from = cutter.min.max(carried & !1);
        let listed = if self.dense { to } else { carried.max(cutter.min + BEFORE) };
        if let Some(len) = cutter.find(rest, from, listed.min(to)) {
            return Some(len);
        }
        while let Some((hit, after)) = self.list.split_first().filter(|_| listed < to) {
            let position = self.carried + (hit & !STRICT) as usize;
            if position >= start + to {
                break;
            }
            self.list = after;
            match position.checked_sub(start) {
                Some(len) if len >= listed && (len >= cutter.avg || hit & STRICT != 0) => return Some(len),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunking::testing::{large, noise, on_every_path, oracle, params, plain, plain_hits, vector_params};
    use crate::chunking::{ScanPath, default_params};
    use crate::format::config::ChunkerParams;
    use proptest::prelude::*;

    /// Cuts a file that comes in ranges of these lengths (the last one takes the rest), scanned in reverse order.
    fn fed(cutter: &Cutter, file: &[u8], lengths: &[usize]) -> Vec<u32> {
        let mut end = 0;
        let mut ends: Vec<usize> = Vec::new();
        for len in lengths {
            end += len;
            ends.push(end);
        }
        ends.retain(|end| *end < file.len());
        ends.push(file.len());
        let starts: Vec<usize> = [0].into_iter().chain(ends.iter().copied()).take(ends.len()).collect();
        let mut hits: Vec<Hits> = Vec::new();
        for (start, end) in starts.iter().zip(&ends).rev() {
            let mut one = Hits::default();
            cutter.scan(&file[start.saturating_sub(BEFORE)..*start], &file[*start..*end], &mut one);
            hits.push(one);
        }
        let (mut selector, mut cuts) = (Selector::new(), Vec::new());
        let (mut streaming, mut streamed) = (Selector::new(), Vec::new());
        for (start, end) in starts.iter().zip(&ends) {
            let (bytes, last) = (&file[start - selector.carried()..*end], *end == file.len());
            // A stream's ranges are scanned when they come, with what is carried before them.
            let mut late = Hits::default();
            cutter.scan(&file[start - streaming.carried()..*start], &file[*start..*end], &mut late);
            streaming.select(cutter, bytes, &late, last, &mut streamed);
            selector.select(cutter, bytes, &hits.pop().unwrap(), last, &mut cuts);
            assert!(selector.carried() < cutter.max);
            assert_eq!(selector.carried(), streaming.carried());
        }
        assert_eq!(selector.carried(), 0);
        assert_eq!(cuts, streamed);
        cuts
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn every_path_finds_the_hits_of_a_plain_loop(
            params in prop_oneof![4 => vector_params(), 1 => params()], key: [u8; 32], file in large(), before in 0..100_usize,
        ) {
            let (before, data) = file.split_at(before.min(file.len()));
            let cutters = on_every_path(params, &key);
            let expected = plain_hits(&cutters[0], before, data);
            let cuts = oracle(&cutters[0], &file);
            let mut hits = Hits::default();
            for cutter in &cutters {
                cutter.scan(before, data, &mut hits);
                prop_assert!(!hits.dense || expected.len() > LANE_HITS_MAX);
                prop_assert!(hits.dense || hits.list == expected, "{:?}", cutter.path());
                let mut lengths = Vec::new();
                cutter.cuts(&file, &mut lengths);
                prop_assert_eq!(&lengths, &cuts);
                prop_assert_eq!(fed(cutter, &file, &[70_000, 1500, 20_000]), &cuts[..]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn scan_and_select_give_the_sequential_cuts_however_a_file_is_fed(
            params in params(), file in plain(), lengths in proptest::collection::vec(0..1500_usize, 0..20), key: [u8; 32],
        ) {
            let cutter = Cutter::new(params, &key).unwrap();
            let expected = oracle(&cutter, &file);
            prop_assert_eq!(&fed(&cutter, &file, &lengths), &expected);
            let mut cuts = vec![7];
            cutter.cuts(&file, &mut cuts);
            prop_assert_eq!(&cuts[1..], expected);
        }

        #[test]
        fn ranges_of_a_few_bytes_are_enough(
            params in params(), file in plain(), lengths in proptest::collection::vec(0..4_usize, 0..3000),
        ) {
            let cutter = Cutter::new(params, &[1; 32]).unwrap();
            prop_assert_eq!(fed(&cutter, &file, &lengths), oracle(&cutter, &file));
        }
    }

    #[test]
    fn hits_are_those_of_a_plain_loop_at_every_length_and_with_any_bytes_before() {
        let params = ChunkerParams { mask_strict: 0xF << 44, mask_loose: 3 << 46, ..default_params() };
        let cutter = Cutter::new(params, &[1; 32]).unwrap().on(ScanPath::Scalar).unwrap();
        let (file, mut hits) = (noise(BEFORE + 400), Hits::default());
        for before in [0, 1, 7, 8, 45, 46, 47] {
            for len in 0..=file.len() - before {
                let (before, data) = file[..before + len].split_at(before);
                cutter.scan(before, data, &mut hits);
                assert!(!hits.dense);
                assert_eq!(hits.list, plain_hits(&cutter, before, data), "{} and {len} bytes", before.len());
            }
        }
        // Only the last 47 bytes before a range count.
        cutter.scan(&file[..100], &file[100..], &mut hits);
        assert_eq!(hits.list, plain_hits(&cutter, &file[..100], &file[100..]));
    }

    #[test]
    fn vectors_find_the_hits_of_a_plain_loop_at_every_length() {
        let params = ChunkerParams { mask_strict: 0xF_00FE, mask_loose: 0x00FE, ..default_params() };
        let (file, mut hits) = (noise(BEFORE + 5500), Hits::default());
        for cutter in on_every_path(params, &[1; 32]) {
            for before in [0, 1, 46, 47] {
                // Around the shortest length, around whole turns and blocks, and what is left to the lanes.
                for len in (900..1500).chain((64..86).flat_map(|turns| turns * 64 - 2..turns * 64 + 3)) {
                    let (before, data) = file[..before + len].split_at(before);
                    cutter.scan(before, data, &mut hits);
                    assert!(!hits.dense);
                    assert_eq!(hits.list, plain_hits(&cutter, before, data), "{} and {len} bytes", before.len());
                }
            }
        }
    }

    #[test]
    fn data_with_many_candidates_goes_from_vectors_to_lanes() {
        let params = ChunkerParams { mask_strict: 0xF_FF00, mask_loose: 0xFF00, ..default_params() };
        let cutters = on_every_path(params, &[1; 32]);
        // A byte that, repeated, is a candidate everywhere, and a hit as there are no other mask bits.
        let (cutter, mut hits) = (&cutters[0], Hits::default());
        let run = (0..=255).find_map(|byte| {
            let run = vec![byte; 9000];
            (plain_hits(cutter, &[], &run).len() > 8000).then_some(run)
        });
        let run = run.expect("one of 256 bytes meets eight bits, with this key");
        for (first, second) in [(0, 5000), (100, 0), (4160, 70_000), (30_000, 9001)] {
            let data = [&noise(first), &run[..], &noise(second), &run[..77]].concat();
            let expected = plain_hits(cutter, b"before", &data);
            for cutter in &cutters {
                cutter.scan(b"before", &data, &mut hits);
                assert!(!hits.dense);
                assert_eq!(hits.list, expected, "{first} {second} {:?}", cutter.path());
            }
        }
    }

    #[test]
    fn a_path_is_taken_where_processor_and_masks_allow_it() {
        let cutter = |mask_loose| {
            let params = ChunkerParams { mask_strict: mask_loose, mask_loose, ..default_params() };
            Cutter::new(params, &[1; 32]).unwrap()
        };
        let best = ScanPath::here()[0];
        assert_eq!(cutter(default_params().mask_loose).path(), best);
        assert_eq!(cutter(0x7F << 9).path(), best);
        assert_eq!(cutter(0x7F << 10 | 1 << 47).path(), ScanPath::Scalar, "six low bits");
        assert!(cutter(0x7F << 10).on(ScanPath::Avx512Vbmi).is_none());
        assert_eq!(cutter(0x7F << 9).on(ScanPath::Scalar).unwrap().path(), ScanPath::Scalar);
        assert_eq!(cutter(0x7F << 9).on(best).unwrap().path(), best);
    }

    #[test]
    fn the_highest_and_the_lowest_mask_bits_are_met_exactly() {
        let file = noise(100_003);
        for bit in [0, 1, 2, 3, 43, 44, 45, 46, 47] {
            let params = ChunkerParams { mask_strict: 1 << bit | 0x1F_0000, mask_loose: 0x1F_0000, ..default_params() };
            let swapped =
                ChunkerParams { mask_strict: 0xFF_0000 | 1 << bit, mask_loose: 0x3_0000 | 1 << bit, ..params };
            for params in [params, swapped] {
                let (cutter, mut hits) = (Cutter::new(params, &[1; 32]).unwrap(), Hits::default());
                cutter.scan(&file[..BEFORE], &file[BEFORE..], &mut hits);
                assert_eq!(hits.list, plain_hits(&cutter, &file[..BEFORE], &file[BEFORE..]), "bit {bit}");
            }
        }
    }

    #[test]
    fn every_length_of_file_ends_as_the_sequential_cutter_ends_it() {
        let params = ChunkerParams {
            min: 64,
            avg: 128,
            max: 256,
            mask_strict: 0x7F << 40,
            mask_loose: 7 << 40,
            ..default_params()
        };
        let cutter = Cutter::new(params, &[1; 32]).unwrap();
        let file = noise(700);
        for end in 0..=file.len() {
            let expected = oracle(&cutter, &file[..end]);
            for split in [1, 63, 64, 65, 111, 112, 200, 255, 256, 257] {
                assert_eq!(fed(&cutter, &file[..end], &[split]), expected, "{end} bytes split at {split}");
            }
            assert_eq!(fed(&cutter, &file[..end], &vec![1; end]), expected, "{end} bytes one by one");
        }
    }

    #[test]
    fn more_hits_than_are_listed_change_nothing() {
        let params = ChunkerParams {
            min: 64,
            avg: 128,
            max: 1024,
            mask_strict: 0xFF_0000,
            mask_loose: 0x3F_0000,
            ..default_params()
        };
        let cutter = Cutter::new(params, &[1; 32]).unwrap();
        let mut hits = Hits::default();
        // One of 256 bytes, repeated, meets six bits everywhere.
        let run = (0..=255)
            .map(|byte| vec![byte; 100_000])
            .find(|run| {
                cutter.scan(&[], run, &mut hits);
                hits.dense
            })
            .unwrap();
        let file = [noise(5000), run, noise(3001)].concat();
        for lengths in [vec![], vec![4999, 2], vec![70_000, 34_000], vec![5200], vec![106_000]] {
            assert_eq!(fed(&cutter, &file, &lengths), oracle(&cutter, &file), "{lengths:?}");
        }
        cutter.scan(&[], &file, &mut hits);
        assert!(hits.dense);
        cutter.scan(&[], &file[..5000], &mut hits);
        assert!(!hits.dense && hits.list.iter().is_sorted_by_key(|hit| hit & !STRICT), "reused hits begin anew");
        assert!((30..150).contains(&hits.list.len()), "{}", hits.list.len());
    }

    #[test]
    fn big_files_are_cut_the_same_under_the_default_parameters() {
        let file = [noise(5 << 20), vec![0; 3 << 20], noise((1 << 20) + 1)].concat();
        for cutter in on_every_path(default_params(), &[1; 32]) {
            let expected = oracle(&cutter, &file);
            assert_eq!(fed(&cutter, &file, &[2 << 20; 4]), expected);
            assert_eq!(fed(&cutter, &file, &[(1 << 20) + 13; 7]), expected);
            let mut cuts = Vec::new();
            cutter.cuts(&file, &mut cuts);
            assert_eq!(cuts, expected);
        }
    }
}
