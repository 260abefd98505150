//! 8-bit binary-fuse filters over ids, serialised beside the entries and read in place.
//!
//! Algorithm: Graf and Lemire, "Binary Fuse Filters: Fast and Smaller Than Xor Filters" (2022), as in the crate xorf:
//! about 1.13 bytes an id, no false negative, 0.4 % false positives.

use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter, FilterRef};

/// A partition with more distinct ids gets no filter: building one takes about 30 bytes an id. Ids are keyed hashes, so
/// with 1,024 partitions this is 10^9 ids; only rows made up to lie in one partition get here sooner.
pub const KEYS_MAX: usize = 1 << 20;
/// A build fails once in thousands of times; with this many tries it does not.
const TRIES: u64 = 4;

/// How a filter is read: seed u64, segment length, its mask and the length of all segments u32, as xorf lays them out.
/// Zeros: there is no filter, and every id may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Descriptor(pub [u8; 20]);

impl Descriptor {
    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|i| self.0[at + i]))
    }

    /// Whether there is no filter.
    pub fn is_none(&self) -> bool {
        self.word(8) == 0
    }

    /// Bytes of the filter's fingerprints. The three places of a key lie in three neighbouring segments, the first of
    /// which is one of `length of all segments`; so there are two more.
    pub fn bytes(&self) -> usize {
        self.word(16) as usize + 2 * self.word(8) as usize
    }

    /// Whether every look-up in a filter of [`Self::bytes`] bytes stays inside it: what reading in place relies on.
    pub fn fits(&self) -> bool {
        let (segment, mask, all) = (self.word(8), self.word(12), self.word(16));
        let whole = segment.is_power_of_two() && mask == segment - 1 && all != 0 && all.is_multiple_of(segment);
        whole && u32::try_from(self.bytes()).is_ok()
    }

    /// Whether a key may be in the filter with these fingerprints, for which [`Self::fits`] holds.
    pub fn contains(&self, fingerprints: &[u8], key: u64) -> bool {
        BinaryFuse8Ref::from_dma(&self.0, fingerprints).contains(&key)
    }
}

/// Builds a filter over distinct keys: descriptor and fingerprints. None when there is nothing to filter or it cannot
/// be built. `salt` is random, so that nobody can choose ids for which building fails.
pub fn build(keys: &[u64], salt: u64) -> Option<(Descriptor, Box<[u8]>)> {
    if keys.is_empty() || keys.len() > KEYS_MAX {
        return None;
    }
    (0..TRIES).find_map(|n| build_once(keys, salt.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
}

fn build_once(keys: &[u64], salt: u64) -> Option<(Descriptor, Box<[u8]>)> {
    // xorf takes no seed, but hashes `key + seed`: adding the salt to keys and taking it into the seed is the same.
    let filter = BinaryFuse8::try_from_iterator(keys.iter().map(|key| key.wrapping_add(salt))).ok()?;
    let mut bytes = [0; BinaryFuse8::DESCRIPTOR_LEN];
    filter.dma_copy_descriptor_to(&mut bytes);
    let seed = filter.descriptor.seed.wrapping_add(salt);
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let descriptor = Descriptor(bytes);
    let sound = descriptor.fits() && descriptor.bytes() == filter.fingerprints.len();
    sound.then_some((descriptor, filter.fingerprints))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: u64, seed: u64) -> Vec<u64> {
        let key = |n: u64| {
            u64::from_le_bytes(*blake3::hash(&(n ^ seed << 40).to_le_bytes()).as_bytes().first_chunk().unwrap())
        };
        (0..count).map(key).collect()
    }

    #[test]
    fn a_filter_read_in_place_says_what_the_crate_says() {
        for count in [1, 2, 3, 4, 5, 10, 77, 1000, 20_000] {
            let (inside, outside) = (keys(count, 1), keys(20_000, 2));
            let salt = 0x1234_5678_9abc_def0;
            let (descriptor, fingerprints) = build(&inside, salt).unwrap();
            let filter = BinaryFuse8::try_from_iterator(inside.iter().map(|key| key.wrapping_add(salt))).unwrap();
            assert_eq!(filter.fingerprints, fingerprints);
            for key in inside.iter().chain(&outside) {
                let expected = filter.contains(&key.wrapping_add(salt));
                assert_eq!(descriptor.contains(&fingerprints, *key), expected, "{count} keys, {key}");
            }
            assert!(inside.iter().all(|key| descriptor.contains(&fingerprints, *key)), "{count}: no false negative");
            let wrong = outside.iter().filter(|key| descriptor.contains(&fingerprints, **key)).count();
            assert!(wrong < outside.len() / 100, "{count}: {wrong} false positives of {}", outside.len());
            assert!(count < 20_000 || fingerprints.len() < 25_000, "1.25 bytes a key: {}", fingerprints.len());
        }
    }

    #[test]
    fn another_salt_gives_another_filter_over_the_same_keys() {
        let inside = keys(100, 1);
        let ((a, x), (b, y)) = (build(&inside, 1).unwrap(), build(&inside, 2).unwrap());
        assert!(a != b && x != y);
        assert!(inside.iter().all(|key| a.contains(&x, *key) && b.contains(&y, *key)));
    }

    #[test]
    fn nothing_and_too_much_get_no_filter() {
        assert!(build(&[], 1).is_none());
        assert!(build(&vec![0; KEYS_MAX + 1], 1).is_none());
    }
}
