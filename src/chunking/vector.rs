//! The same hits by AVX-512 with VBMI, found out at run time: twice as fast as the lanes of scalar code.
//!
//! Vectors hold the low 16 bits of the hash at every position; where these meet the loose mask's part, the whole hash is made
//! from the 48 bytes that it sees. A low hash is a sum over 16 bytes, made by doubling: `s1` is the table's word, `s2` adds
//! the `s1` of the byte before, shifted by one, `s4` the `s2` of two bytes before, shifted by two, and so on. The table is
//! looked up by permutations of its low and its high bytes. As moves between elements take a few cycles, a turn of the
//! loop works at each step on what the one before it left a turn ago: nothing waits.

use super::gear::Cutter;

/// The code that finds hits. Which one runs changes no cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanPath {
    /// AVX-512 with VBMI (Intel from Ice Lake on, AMD from Zen 4 on).
    Avx512Vbmi,
    /// Two lanes of scalar code: everywhere.
    Scalar,
}

impl ScanPath {
    /// All that there are on this architecture, fastest first.
    pub const KNOWN: &[ScanPath] =
        if cfg!(target_arch = "x86_64") { &[ScanPath::Avx512Vbmi, ScanPath::Scalar] } else { &[ScanPath::Scalar] };

    /// What this processor can run; masks with few low bits are met by scalar code all the same.
    pub fn here() -> Vec<ScanPath> {
        ScanPath::KNOWN.iter().copied().filter(|path| *path == ScanPath::Scalar || has_vbmi()).collect()
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            ScanPath::Avx512Vbmi => "avx512vbmi",
            ScanPath::Scalar => "scalar",
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::Vectors;

#[cfg(target_arch = "x86_64")]
fn has_vbmi() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("popcnt")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_vbmi() -> bool {
    false
}

/// Nobody can have one here.
#[cfg(not(target_arch = "x86_64"))]
pub(super) enum Vectors {}

#[cfg(not(target_arch = "x86_64"))]
impl Vectors {
    pub(super) fn new(_gear: &[u64; 256], _loose: u64) -> Option<Vectors> {
        None
    }

    pub(super) fn scan(&self, _: &Cutter, _: &[u8], _: &[u8], _: &mut Vec<u32>) -> Option<usize> {
        match *self {}
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::{Cutter, has_vbmi};
    use crate::base::limits::GEAR_WINDOW;
    use std::arch::x86_64::*;
    use std::hint::black_box;
    use zeroize::Zeroizing;

    /// With fewer of the loose mask's bits below bit 16, too many positions would have to be looked at again.
    const LOW_BITS_MIN: u32 = 7;
    /// Bytes a turn of the loop.
    const TURN: usize = 64;
    /// Turns until what was fed comes out.
    const DELAY: usize = 4;
    /// Turns after which candidates are looked at.
    const BLOCK: usize = 64;
    /// Candidates of a block that cost what the vectors save: with more of them in the mean, scalar code takes over.
    const CANDIDATES: usize = 48;
    /// Candidates that blocks with few of them leave to one with many, at most.
    const CANDIDATES_MAX: usize = 256;
    /// Shorter ranges gain nothing.
    const LEN_MIN: usize = 1024;

    /// What vectors need beside the cutter's tables. There is one only where the processor has what [`scan`] takes.
    pub(in super::super) struct Vectors {
        /// Bits 0 to 7 of the table's words, and bits 8 to 15.
        low: Zeroizing<[u8; 256]>,
        high: Zeroizing<[u8; 256]>,
    }

    impl Vectors {
        /// For this table and loose mask; `None` where the processor or the mask is not made for it.
        pub(in super::super) fn new(gear: &[u64; 256], loose: u64) -> Option<Vectors> {
            if !has_vbmi() || (loose as u16).count_ones() < LOW_BITS_MIN {
                return None;
            }
            let byte = |at: u32| Zeroizing::new(gear.map(|word| (word >> at) as u8));
            Some(Vectors { low: byte(0), high: byte(8) })
        }

        /// Lists the hits in the first bytes of `data` and gives the number of these: 0, or 64 and more. The rest, a few
        /// bytes or what would be slow here, is left to the scalar code. `None` when there are too many hits.
        pub(in super::super) fn scan(
            &self,
            cutter: &Cutter,
            before: &[u8],
            data: &[u8],
            list: &mut Vec<u32>,
        ) -> Option<usize> {
            if data.len() < LEN_MIN {
                return Some(0);
            }
            // SAFETY: the call is all there is to argue about, the function itself is safe code. `new` alone makes a
            // `Vectors`, and found every feature there that `scan` is compiled for.
            unsafe { scan(self, cutter, before, data, list) }
        }
    }

    /// The last vector of the turn before and both of this one, for each step.
    struct Pipe {
        s1: [__m512i; 3],
        s2: [__m512i; 3],
        s4: [__m512i; 3],
        s8: [__m512i; 3],
    }

    /// What stays in registers.
    struct Tables {
        /// Four parts of the tables each.
        low: [__m512i; 4],
        high: [__m512i; 4],
        /// Words from low and high bytes, of the first and the second 32 positions.
        zip: [__m512i; 2],
        /// The word before.
        back: __m512i,
        mask: __m512i,
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn load(bytes: &[u8; TURN]) -> __m512i {
        let [a, b, c, d, e, f, g, h] = std::array::from_fn(|i| i64::from_le_bytes(bytes.as_chunks().0[i]));
        _mm512_set_epi64(h, g, f, e, d, c, b, a)
    }

    impl Tables {
        #[target_feature(enable = "avx512f,avx512bw")]
        #[inline]
        fn new(vectors: &Vectors, loose: u64) -> Tables {
            let zip = |from: usize| load(&std::array::from_fn(|i| (from + i / 2 + i % 2 * TURN) as u8));
            let parts = |table: &[u8; 256]| {
                let (parts, _) = table.as_chunks::<TURN>();
                [load(&parts[0]), load(&parts[1]), load(&parts[2]), load(&parts[3])]
            };
            Tables {
                low: parts(&vectors.low),
                high: parts(&vectors.high),
                zip: [zip(0), zip(32)],
                // Known to the compiler, it would become two instructions.
                back: load(&black_box(std::array::from_fn(|i| if i % 2 == 0 { 31 + i as u8 / 2 } else { 0 }))),
                mask: _mm512_set1_epi16(loose as i16),
            }
        }

        /// Takes the bytes of a turn; gives the candidates of the one [`DELAY`] turns ago, a bit a position.
        #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
        #[inline]
        fn feed(&self, p: &mut Pipe, bytes: &[u8; TURN]) -> u64 {
            let Tables { low, high, zip, back, mask } = self;
            let [last, a, b] = p.s8;
            let x = _mm512_add_epi16(a, _mm512_slli_epi16::<8>(_mm512_alignr_epi32::<12>(a, last)));
            let y = _mm512_add_epi16(b, _mm512_slli_epi16::<8>(_mm512_alignr_epi32::<12>(b, a)));
            let met = (_mm512_testn_epi16_mask(x, *mask), _mm512_testn_epi16_mask(y, *mask));
            let [last, a, b] = p.s4;
            let x = _mm512_slli_epi16::<4>(_mm512_alignr_epi32::<14>(a, last));
            let y = _mm512_slli_epi16::<4>(_mm512_alignr_epi32::<14>(b, a));
            p.s8 = [p.s8[2], _mm512_add_epi16(a, x), _mm512_add_epi16(b, y)];
            let [last, a, b] = p.s2;
            let x = _mm512_slli_epi16::<2>(_mm512_alignr_epi32::<15>(a, last));
            let y = _mm512_slli_epi16::<2>(_mm512_alignr_epi32::<15>(b, a));
            p.s4 = [p.s4[2], _mm512_add_epi16(a, x), _mm512_add_epi16(b, y)];
            let [last, a, b] = p.s1;
            let x = _mm512_permutex2var_epi16(last, *back, a);
            let y = _mm512_permutex2var_epi16(a, *back, b);
            p.s2 = [p.s2[2], _mm512_add_epi16(a, _mm512_add_epi16(x, x)), _mm512_add_epi16(b, _mm512_add_epi16(y, y))];
            // Half a table is looked up with seven bits, the eighth chooses.
            let i = load(bytes);
            let upper = _mm512_movepi8_mask(i);
            let look = |t: &[__m512i; 4]| {
                let halves = (_mm512_permutex2var_epi8(t[0], i, t[1]), _mm512_permutex2var_epi8(t[2], i, t[3]));
                _mm512_mask_blend_epi8(upper, halves.0, halves.1)
            };
            let (l, h) = (look(low), look(high));
            p.s1 = [p.s1[2], _mm512_permutex2var_epi8(l, zip[0], h), _mm512_permutex2var_epi8(l, zip[1], h)];
            u64::from(met.0) | u64::from(met.1) << 32
        }
    }

    /// See [`Vectors::scan`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi1,bmi2,popcnt")]
    fn scan(vectors: &Vectors, cutter: &Cutter, before: &[u8], data: &[u8], list: &mut Vec<u32>) -> Option<usize> {
        let loose = cutter.params().mask_loose;
        let (turns, _) = data.as_chunks::<TURN>();
        let (first, turns) = turns.split_at(DELAY + 1);
        // The first turn byte by byte: from there on all bytes that a hash sees are in `data`.
        cutter.scan_plainly(before, data, 0..TURN, list)?;
        let tables = Tables::new(vectors, loose);
        let mask = tables.mask;
        let mut pipe = Pipe { s1: [mask; 3], s2: [mask; 3], s4: [mask; 3], s8: [mask; 3] };
        for bytes in first {
            tables.feed(&mut pipe, bytes);
        }
        let (mut done, mut credit) = (TURN, CANDIDATES);
        let mut found = [0; CANDIDATES_MAX + TURN + 2];
        for block in turns.chunks(BLOCK) {
            let mut n = 0;
            for (turn, bytes) in block.iter().enumerate() {
                let mut bits = tables.feed(&mut pipe, bytes);
                let position = (done + turn * TURN) as u32;
                let count = bits.count_ones() as usize;
                // Two are written always: a branch for each would be foretold badly.
                found[n] = position + bits.trailing_zeros();
                bits &= bits.wrapping_sub(1);
                found[n + 1] = position + bits.trailing_zeros();
                if count > 2 {
                    for i in 2..count {
                        bits &= bits.wrapping_sub(1);
                        found[n + i] = position + bits.trailing_zeros();
                    }
                }
                n += count;
                if n > credit {
                    return Some(done);
                }
            }
            verify(cutter, data, &found[..n], list)?;
            done += block.len() * TURN;
            credit = (credit - n + CANDIDATES).min(CANDIDATES_MAX);
        }
        Some(done)
    }

    /// Looks at candidates again, with the whole hash. Apart, as the compiler otherwise takes the bytes apart by vectors.
    #[inline(never)]
    fn verify(cutter: &Cutter, data: &[u8], found: &[u32], list: &mut Vec<u32>) -> Option<()> {
        let t = &cutter.gear;
        for position in found {
            let position = *position as usize;
            let (quads, _) = data[position + 1 - GEAR_WINDOW..=position].as_chunks::<4>();
            let hash = quads.first_chunk::<{ GEAR_WINDOW / 4 }>()?.iter().fold(0u64, |hash, [a, b, c, d]| {
                let [a, b, c, d] =
                    [t[3][usize::from(*a)], t[2][usize::from(*b)], t[1][usize::from(*c)], t[0][usize::from(*d)]];
                (hash << 4).wrapping_add(a.wrapping_add(b)).wrapping_add(c.wrapping_add(d))
            });
            if hash & cutter.params().mask_loose == 0 {
                cutter.note(hash, position, list)?;
            }
        }
        Some(())
    }
}
