//! Text that is the same everywhere.

pub use crate::harness::random::Random;

/// Words of three to ten letters.
pub fn vocabulary(random: &mut Random, words: usize) -> Vec<String> {
    let word =
        |random: &mut Random| (0..3 + random.below(8)).map(|_| (b'a' + random.below(26) as u8) as char).collect();
    (0..words).map(|_| word(random)).collect()
}

/// Text-like bytes: words of a fixed vocabulary with a few numbers, like small configuration and source files.
pub fn text(random: &mut Random, words: &[String], len: usize, out: &mut Vec<u8>) {
    out.clear();
    while out.len() < len {
        // Drawn before the kind of word: the order of draws is part of the data.
        let rank = random.skewed(words.len() as u64);
        match random.below(12) {
            0 => out.extend_from_slice(format!("{:x}", random.below(1 << 32)).as_bytes()),
            1 => out.push(b'\n'),
            _ => out.extend_from_slice(words[rank as usize].as_bytes()),
        }
        out.push(b' ');
    }
    out.truncate(len);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_is_the_published_one() {
        // First outputs for seed 1234567, as other implementations have them.
        let mut random = Random(1_234_567);
        let first = [random.draw(), random.draw(), random.draw()];
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn draws_stay_below_their_bound() {
        let mut random = Random(1);
        for n in [1, 2, 3, 1000, u64::from(u32::MAX)] {
            assert!((0..1000).all(|_| random.below(n) < n && random.skewed(n) < n));
        }
    }
}
