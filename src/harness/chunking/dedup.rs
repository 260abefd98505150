//! How much of the data deduplication keeps.

use super::cores::Cores;
use crate::harness::BenchError;
use std::collections::HashSet;
use std::ops::Range;

/// A chunk's content: equal ids, equal chunks.
pub type Id = u128;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dedup {
    /// Bytes of the data.
    pub bytes: u64,
    /// Bytes of its different chunks.
    pub unique: u64,
    /// The same against another version.
    pub second: Option<Second>,
}

/// Another version beside the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Second {
    pub bytes: u64,
    /// Of these, in chunks that the first has, too.
    pub shared: u64,
    /// Bytes of the different chunks that only it has.
    pub added: u64,
}

impl Dedup {
    /// Bytes over different bytes, of the first.
    pub fn ratio(&self) -> f64 {
        self.bytes as f64 / self.unique as f64
    }

    /// The same of both versions, or of the first when there is one only.
    pub fn ratio_of_all(&self) -> f64 {
        let (bytes, added) = self.second.map_or((0, 0), |second| (second.bytes, second.added));
        (self.bytes + bytes) as f64 / (self.unique + added) as f64
    }
}

/// Chunks of one version: what they hold and how long they are.
pub type Chunks<'a> = (&'a [Id], &'a [u32]);

pub fn count(first: Chunks, second: Option<Chunks>) -> Dedup {
    let mut known = HashSet::new();
    let (bytes, unique) = add(&mut known, first);
    let second = second.map(|second| {
        let (ids, lengths) = second;
        let shared = ids.iter().zip(lengths).filter(|(id, _)| known.contains(id)).map(|(_, n)| u64::from(*n)).sum();
        let (bytes, added) = add(&mut known, second);
        Second { bytes, shared, added }
    });
    Dedup { bytes, unique, second }
}

/// Bytes, and bytes of chunks not known before.
fn add(known: &mut HashSet<Id>, (ids, lengths): Chunks) -> (u64, u64) {
    let (mut bytes, mut new) = (0, 0);
    for (id, len) in ids.iter().zip(lengths) {
        bytes += u64::from(*len);
        new += if known.insert(*id) { u64::from(*len) } else { 0 };
    }
    (bytes, new)
}

/// The ids of chunks that lie one after another.
pub fn ids(bytes: &[u8], lengths: &[u32], cores: &Cores) -> Result<Vec<Id>, BenchError> {
    let spans = spans(lengths);
    let ids = cores.deal(spans.len(), |span| {
        let (start, chunks) = &spans[span];
        let mut rest = &bytes[*start..];
        let id = |len: &u32| {
            let (chunk, after) = rest.split_at(*len as usize);
            rest = after;
            let hash = blake3::hash(chunk);
            Id::from_le_bytes(hash.as_bytes()[..16].try_into().expect("half of a hash"))
        };
        lengths[chunks.clone()].iter().map(id).collect::<Vec<Id>>()
    })?;
    Ok(ids.concat())
}

/// Runs of chunks of 1 MiB or more, with where they begin.
fn spans(lengths: &[u32]) -> Vec<(usize, Range<usize>)> {
    let (mut spans, mut from, mut start, mut end) = (vec![], 0, 0, 0);
    for (at, len) in lengths.iter().enumerate() {
        end += *len as usize;
        if end - start >= 1 << 20 || at + 1 == lengths.len() {
            spans.push((start, from..at + 1));
            (from, start) = (at + 1, end);
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::chunking::testing::noise;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn known_chunks_give_known_ratios() {
        let first: Chunks = (&[1, 2, 1, 3], &[100, 50, 100, 50]);
        let alone = count(first, None);
        assert_eq!(alone, Dedup { bytes: 300, unique: 200, second: None });
        assert_eq!((alone.ratio(), alone.ratio_of_all()), (1.5, 1.5));
        let second: Chunks = (&[2, 4, 4, 1], &[50, 25, 25, 100]);
        let both = count(first, Some(second));
        assert_eq!(both.second, Some(Second { bytes: 200, shared: 150, added: 25 }));
        assert_eq!((both.ratio(), both.ratio_of_all()), (1.5, 500.0 / 225.0));
    }

    #[test]
    fn ids_are_those_of_the_chunks_content_in_order() {
        let stop = AtomicBool::new(false);
        let cores = Cores::new(2, &stop).unwrap();
        let one = noise(1_500_000);
        let bytes = [&one[..], &one[..700_000], &one[..]].concat();
        let lengths = [1_500_000, 700_000, 1_000_000, 500_000];
        let found = ids(&bytes, &lengths, &cores).unwrap();
        let (mut rest, mut expected) = (&bytes[..], vec![]);
        for len in lengths {
            let (chunk, after) = rest.split_at(len as usize);
            expected.push(Id::from_le_bytes(blake3::hash(chunk).as_bytes()[..16].try_into().unwrap()));
            rest = after;
        }
        assert_eq!(found, expected);
    }
}
