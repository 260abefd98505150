//! An encoder for the LZ4 block format (Collet, "LZ4 Block Format Description", 2011-2022).
//!
//! One pass, greedy, one candidate for a hash, as LZ4's fast mode; any LZ4 decoder reads it. What differs from the encoders at hand,
//! and why it is faster at no larger output (figures: `docs/performance.md`, "The LZ4 encoder"):
//! - A slot of the table is the position modulo 2^16, the format's window: half the memory, so twice the slots in the
//!   first-level cache, and no distance can be out of range.
//! - Six bytes are hashed where four would do: fewer short matches, and each sequence costs about the same time.
//! - Lengths are found by comparing 8 and 16 bytes at once, and short literals and lengths are written without a branch:
//!   branches that cannot be foretold are most of the time.
//! - The input is read without checks, by [`read`] alone. Each call's bound follows from comparisons here or from what the caller
//!   promises of positions, never from what the table or the input holds. Output is written in safe code.

const TABLE_BITS: u32 = 13;
/// Bytes that a hash is made of.
const HASHED: u32 = 6;
/// After 2^this tries without a match every second position is tried, after twice as many every third, and so on.
const PATIENCE: u32 = 4;
/// The format's shortest match.
const MATCH_MIN: usize = 4;
/// The format's last bytes, which are literals always.
const LAST_LITERALS: usize = 5;
/// No match starts in the last bytes of the input: the format asks for 12; with more, nothing that is read or written at
/// once passes an end.
const MARGIN: usize = 64;
/// Literals that are copied as one block, whatever their number.
const COPIED: usize = 32;
/// What a length in the token can say; the rest follows in bytes.
const IN_TOKEN: usize = 15;

/// For each hash the last position that had it, modulo 2^16.
pub type Table = [u16; 1 << TABLE_BITS];

/// An empty table, for [`compress`].
pub fn table() -> Box<Table> {
    Box::new([0; 1 << TABLE_BITS])
}

/// Room that [`compress`] needs for `len` bytes.
pub const fn bound(len: usize) -> usize {
    len + len / 255 + 16
}

/// Compresses `input` into the front of `out` and gives the length. What `table` held does not matter.
///
/// # Panics
/// When `out` is shorter than [`bound`] of the input's length.
pub fn compress(input: &[u8], out: &mut [u8], table: &mut Table) -> usize {
    assert!(out.len() >= bound(input.len()));
    let (mut anchor, mut len) = (0, 0);
    if let Some(limit) = input.len().checked_sub(MARGIN) {
        table.fill(0);
        // All slots say position 0, so the first that can match is 1.
        let mut from = 1;
        // SAFETY: `limit` is what is asked for.
        while let Some((found, distance)) = unsafe { find(input, table, from, limit) } {
            // SAFETY: `find` gives what both ask for; a match is four bytes, and `MARGIN` more than that.
            let (before, end) = unsafe {
                (same_before(input, found, distance, anchor), same_after(input, found + MATCH_MIN, distance))
            };
            let start = found - before;
            len = write_sequence(&input[anchor..], start - anchor, distance, end - start, out, len);
            (anchor, from) = (end, end);
            if end > limit {
                break;
            }
            for inside in [start + 1, end - 2] {
                // SAFETY: both lie before `end`, and that is not beyond `limit`.
                let bytes = unsafe { read(input, inside) };
                table[slot(u64::from_le_bytes(bytes))] = inside as u16;
            }
        }
    }
    write_last(&input[anchor..], out, len)
}

/// `N` bytes from `at` on.
///
/// # Safety
/// They lie in `bytes`: `at + N <= bytes.len()`.
#[inline(always)]
unsafe fn read<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    debug_assert!(at + N <= bytes.len(), "{N} bytes from {at} on of {}", bytes.len());
    // SAFETY: the caller's promise; an array of bytes may lie anywhere.
    unsafe { bytes.as_ptr().add(at).cast::<[u8; N]>().read() }
}

/// Fibonacci hashing of the first bytes.
#[inline(always)]
fn slot(bytes: u64) -> usize {
    ((bytes << (64 - 8 * HASHED)).wrapping_mul(0x9E37_79B1_85EB_CA87) >> (64 - TABLE_BITS)) as usize
}

/// The first position from `at` on that is tried and has a match, at most `limit`, and how far back that lies: at
/// least 1, at most the position.
///
/// # Safety
/// `limit + MARGIN <= input.len()`, and `at` is not 0.
#[inline(always)]
unsafe fn find(input: &[u8], table: &mut Table, mut at: usize, limit: usize) -> Option<(usize, usize)> {
    if at > limit {
        return None;
    }
    let mut tries = 1 << PATIENCE;
    // SAFETY: `at` is at most `limit`.
    let mut here = u64::from_le_bytes(unsafe { read(input, at) });
    loop {
        let next = at + (tries >> PATIENCE);
        tries += 1;
        if next > limit {
            return None;
        }
        let slot = &mut table[slot(here)];
        // An old entry, from before the window, means some other position in it: the bytes decide.
        let distance = usize::from((at as u16).wrapping_sub(*slot));
        *slot = at as u16;
        // Read before the match is known, so that the processor need not wait for it.
        // SAFETY: `next` is at most `limit`.
        let ahead = u64::from_le_bytes(unsafe { read(input, next) });
        // No distance is larger than `at`. Not relied on: whatever the table holds, this lies in the input.
        let candidate = at.saturating_sub(distance);
        // SAFETY: `candidate` is at most `at`, and that at most `limit`.
        let there = u32::from_le_bytes(unsafe { read(input, candidate) });
        if there == here as u32 && distance != 0 {
            return Some((at, at - candidate));
        }
        (at, here) = (next, ahead);
    }
}

/// How many bytes before `at` match, too, down to `anchor`.
///
/// # Safety
/// `distance <= at <= input.len()`, and `anchor <= at`.
#[inline(always)]
unsafe fn same_before(input: &[u8], at: usize, distance: usize, anchor: usize) -> usize {
    let candidate = at - distance;
    let room = (at - anchor).min(candidate);
    let mut same = 0;
    if candidate >= 8 {
        // SAFETY: eight bytes lie before `candidate`, and so before `at`, and that lies in the input.
        let (a, b) = unsafe { (read(input, at - 8), read(input, candidate - 8)) };
        let differ = u64::from_le_bytes(a) ^ u64::from_le_bytes(b);
        same = ((differ.leading_zeros() / 8) as usize).min(room);
        if same < 8 {
            return same;
        }
    }
    while same < room && input[at - same - 1] == input[candidate - same - 1] {
        same += 1;
    }
    same
}

/// Where the match that holds up to `at` ends.
///
/// # Safety
/// `distance <= at`, and the input has its [`LAST_LITERALS`].
#[inline(always)]
unsafe fn same_after(input: &[u8], mut at: usize, distance: usize) -> usize {
    let end = input.len() - LAST_LITERALS;
    while at + 16 <= end {
        // SAFETY: sixteen bytes from `at` on lie before `end`, and those from `distance` before it on do.
        let (a, b) = unsafe { (read(input, at), read(input, at - distance)) };
        let differ = u128::from_le_bytes(a) ^ u128::from_le_bytes(b);
        if differ != 0 {
            return at + (differ.trailing_zeros() / 8) as usize;
        }
        at += 16;
    }
    while at < end && input[at] == input[at - distance] {
        at += 1;
    }
    at
}

/// Writes literals (the first of `from`) and a match behind `len` bytes of `out`; gives the new length.
#[inline(always)]
fn write_sequence(
    from: &[u8],
    literals: usize,
    distance: usize,
    matched: usize,
    out: &mut [u8],
    mut len: usize,
) -> usize {
    let matched = matched - MATCH_MIN;
    let token = ((literals.min(IN_TOKEN) << 4) | matched.min(IN_TOKEN)) as u8;
    if literals <= COPIED && matched < IN_TOKEN + 255 {
        // Everything is written, and what is not needed is written over: one check of `out`, no branches.
        let room: &mut [u8; MARGIN] = (&mut out[len..len + MARGIN]).try_into().unwrap();
        let from: &[u8; COPIED] = from.first_chunk().unwrap();
        room[0] = token;
        room[1] = (literals as u8).wrapping_sub(IN_TOKEN as u8);
        let mut at = 1 + usize::from(literals >= IN_TOKEN);
        room[at..at + COPIED].copy_from_slice(from);
        at += literals;
        room[at..at + 2].copy_from_slice(&(distance as u16).to_le_bytes());
        room[at + 2] = (matched as u8).wrapping_sub(IN_TOKEN as u8);
        return len + at + 2 + usize::from(matched >= IN_TOKEN);
    }
    out[len] = token;
    len = write_length(literals, out, len + 1);
    out[len..len + literals].copy_from_slice(&from[..literals]);
    len += literals;
    out[len..len + 2].copy_from_slice(&(distance as u16).to_le_bytes());
    write_length(matched, out, len + 2)
}

/// The last sequence: literals alone.
fn write_last(literals: &[u8], out: &mut [u8], len: usize) -> usize {
    out[len] = (literals.len().min(IN_TOKEN) << 4) as u8;
    let len = write_length(literals.len(), out, len + 1);
    out[len..len + literals.len()].copy_from_slice(literals);
    len + literals.len()
}

/// What of a length does not fit into the token.
#[cold]
#[inline(never)]
fn write_length(length: usize, out: &mut [u8], mut at: usize) -> usize {
    let Some(mut rest) = length.checked_sub(IN_TOKEN) else { return at };
    while rest >= 255 {
        out[at] = 255;
        at += 1;
        rest -= 255;
    }
    out[at] = rest as u8;
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(input: &[u8]) -> usize {
        // No more room than is asked for.
        let mut out = vec![0xAA; bound(input.len())];
        let mut table = Box::new([0xBEEF; 1 << TABLE_BITS]);
        let len = compress(input, &mut out, &mut table);
        let mut back = vec![0x55; input.len()];
        assert_eq!(lz4_flex::block::decompress_into(&out[..len], &mut back).unwrap(), input.len());
        assert!(back == input, "{} bytes", input.len());
        len
    }

    /// Pieces of noise, runs, periods, and repeats from up to 200,000 bytes back.
    fn any_input() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            (any::<u64>(), 0..600_usize).prop_map(|(seed, len)| (seed, len, 0, 0)),
            (any::<u64>(), 0..70_000_usize).prop_map(|(seed, len)| (seed, len, 1, 0)),
            (any::<u64>(), 0..3000_usize, 1..40_usize).prop_map(|(seed, len, period)| (seed, len, 2, period)),
            (any::<u64>(), 0..90_000_usize, 1..200_000_usize).prop_map(|(seed, len, back)| (seed, len, 3, back)),
        ];
        proptest::collection::vec(piece, 0..14).prop_map(|pieces| {
            let mut input = vec![];
            for (seed, len, kind, n) in pieces {
                let mut noise = vec![0; if kind == 2 { n } else { len }];
                blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut noise);
                match kind {
                    0 => input.extend(noise),
                    1 => input.resize(input.len() + len, seed as u8),
                    2 => input.extend(noise.iter().cycle().take(len)),
                    _ if n > input.len() => {}
                    _ => (0..len).for_each(|_| input.push(input[input.len() - n])),
                }
            }
            input
        })
    }

    proptest! {
        #[test]
        fn another_decoder_reads_what_was_written(input in any_input()) {
            there_and_back(&input);
        }
    }

    #[test]
    fn every_short_length_and_the_lengths_around_the_format_s_steps_come_back() {
        let text: Vec<u8> = (0..3000_u32).flat_map(|i| format!("{} {} ", i % 7, i % 450).into_bytes()).collect();
        for len in 0..700 {
            there_and_back(&text[..len]);
            there_and_back(&vec![7; len]);
        }
        let mut noise = vec![0; 1000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        // Every number of literals up to 400, and matches of every length below 600.
        for n in 0..600 {
            let (literals, matched) = (&noise[1000 - n.min(400)..], &noise[..n * 7 % 600]);
            there_and_back(&[&noise[..600], literals, matched, &noise[..100]].concat());
        }
        assert!((0..600).all(|len| there_and_back(&noise[..len]) <= bound(len)));
    }

    #[test]
    fn a_match_is_found_up_to_the_end_of_the_window_and_not_beyond() {
        let mut noise = vec![0; 100_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        for (distance, shrinks) in [(1000, true), (65_000, true), (65_535, true), (65_536, false), (65_537, false)] {
            // Not every position of noise is in the table: the copy is long, so that some is met.
            let mut input = noise.clone();
            let from = input.len() - distance;
            (0..noise.len()).for_each(|i| input.push(input[from + i]));
            let len = there_and_back(&input);
            assert_eq!(len < 120_000, shrinks, "{distance}: {len} of {}", input.len());
        }
    }
}
