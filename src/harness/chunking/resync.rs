//! What small edits do to the chunks of data: how much is found again.

use super::chunker::Chunker;
use super::cores::Cores;
use super::dedup::{self, Id};
use super::profile::Profile;
use crate::harness::BenchError;
use crate::harness::random::Random;
use std::collections::HashSet;

/// One edit in so many average sizes of the profile.
pub const EVERY: usize = 32;
/// An edit has 1 to so many bytes.
pub const EDIT_MOST: usize = 16;
/// Data that is edited: so many average sizes, and at least [`LEAST`].
const AVERAGES: usize = 512;
const LEAST: usize = 16 << 20;
/// With fewer edits shares are chance.
const EDITS_LEAST: usize = 4;

/// What an edit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Bytes come in.
    Insert,
    Delete,
    /// Bytes become others.
    Overwrite,
}

impl Edit {
    pub const ALL: [Edit; 3] = [Edit::Insert, Edit::Delete, Edit::Overwrite];
}

/// What was found again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resync {
    /// Share of the edited data's bytes in chunks that the data had before, by kind of edit.
    pub bytes: [f64; 3],
    /// Share of the edited data's chunks that it had before, over all kinds.
    pub chunks: f64,
    /// Chunks it had not, by edit, over all kinds.
    pub new_by_edit: f64,
}

impl Resync {
    /// Share of bytes over all kinds of edit.
    pub fn all(&self) -> f64 {
        self.bytes.iter().sum::<f64>() / self.bytes.len() as f64
    }
}

/// The part of the data that is edited, as one stream; none when it is too small to say anything.
pub fn sample<'a>(bytes: &'a [u8], profile: &Profile) -> Option<&'a [u8]> {
    let most = (AVERAGES * profile.avg).max(LEAST);
    (bytes.len() >= least(profile)).then(|| &bytes[..bytes.len().min(most)])
}

/// How much data it takes to say something.
pub fn least(profile: &Profile) -> usize {
    EDITS_LEAST * EVERY * profile.avg
}

/// Edits the data in seeded places, by each kind on its own.
pub fn measure(
    chunker: &dyn Chunker,
    data: &[u8],
    profile: &Profile,
    seed: u64,
    cores: &Cores,
) -> Result<Resync, BenchError> {
    let cut = |data: &[u8]| -> Result<(Vec<u32>, Vec<Id>), BenchError> {
        let mut lengths = vec![];
        chunker.cuts(data, &mut lengths);
        let ids = dedup::ids(data, &lengths, cores)?;
        Ok((lengths, ids))
    };
    let known: HashSet<Id> = cut(data)?.1.into_iter().collect();
    let mut found = Resync { bytes: [0.0; 3], chunks: 0.0, new_by_edit: 0.0 };
    let (mut again, mut chunks, mut edits) = (0, 0, 0);
    for (kind, share) in Edit::ALL.into_iter().zip(&mut found.bytes) {
        let (edited, count) = edited(data, kind, EVERY * profile.avg, seed);
        let (lengths, ids) = cut(&edited)?;
        let same: Vec<u32> =
            lengths.iter().zip(&ids).filter(|(_, id)| known.contains(id)).map(|(len, _)| *len).collect();
        *share = same.iter().map(|len| f64::from(*len)).sum::<f64>() / edited.len() as f64;
        (again, chunks, edits) = (again + same.len(), chunks + lengths.len(), edits + count);
    }
    found.chunks = again as f64 / chunks as f64;
    found.new_by_edit = (chunks - again) as f64 / edits as f64;
    Ok(found)
}

/// The data with an edit somewhere in every full `every` bytes of it, and how many that were.
fn edited(data: &[u8], kind: Edit, every: usize, seed: u64) -> (Vec<u8>, usize) {
    // All chunkers get the same edits, each kind others.
    let mut random = Random(seed ^ (kind as u64) << 32);
    let mut out = Vec::with_capacity(data.len() + data.len() / every * EDIT_MOST);
    let parts = data.chunks_exact(every);
    let (rest, count) = (parts.remainder(), parts.len());
    for part in parts {
        let len = 1 + random.place(EDIT_MOST);
        let (before, after) = part.split_at(random.place(part.len() - len));
        out.extend_from_slice(before);
        match kind {
            Edit::Insert => out.extend((0..len).map(|_| random.draw() as u8)),
            Edit::Delete => {}
            Edit::Overwrite => out.extend(after[..len].iter().map(|byte| byte ^ (1 + random.place(255) as u8))),
        }
        out.extend_from_slice(if kind == Edit::Insert { after } else { &after[len..] });
    }
    out.extend_from_slice(rest);
    (out, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::chunking::chunkers::{ALL, by_name};
    use crate::harness::chunking::testing::noise;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn edits_do_what_their_kind_says() {
        let data = noise(100_500);
        for kind in Edit::ALL {
            let (edited, count) = edited(&data, kind, 10_000, 7);
            assert_eq!(count, 10);
            assert_eq!(edited, super::edited(&data, kind, 10_000, 7).0, "seeded");
            assert_ne!(edited, super::edited(&data, kind, 10_000, 8).0);
            let grown = edited.len() as i64 - data.len() as i64;
            let differ = edited.iter().zip(&data).filter(|(a, b)| a != b).count();
            match kind {
                Edit::Insert => assert!((10..=160).contains(&grown)),
                Edit::Delete => assert!((-160..=-10).contains(&grown)),
                Edit::Overwrite => assert!(grown == 0 && (10..=160).contains(&differ), "{differ}"),
            }
        }
    }

    fn resync(name: &str) -> Resync {
        let profile = Profile::of_avg(4 << 10).unwrap();
        let (data, stop) = (noise(8 << 20), AtomicBool::new(false));
        let cores = Cores::new(2, &stop).unwrap();
        let chunker = by_name(name).unwrap().make(&profile, None).unwrap();
        measure(&*chunker, sample(&data, &profile).unwrap(), &profile, 1, &cores).unwrap()
    }

    #[test]
    fn chunks_of_one_size_are_lost_after_an_insert_and_ours_come_again() {
        let fixed = resync("fixed");
        let [insert, delete, overwrite] = fixed.bytes;
        assert!(insert < 0.03 && delete < 0.03, "{fixed:?}");
        assert!(overwrite > 0.95, "one chunk of 32 is lost: {fixed:?}");
        for algorithm in ALL.iter().filter(|algorithm| algorithm.name() != "fixed") {
            let found = resync(algorithm.name());
            assert!(found.bytes.iter().all(|share| (0.9..1.0).contains(share)), "{} {found:?}", algorithm.name());
            assert!((0.9..1.0).contains(&found.chunks) && (1.0..3.0).contains(&found.new_by_edit), "{found:?}");
        }
        assert_eq!(resync("larder"), resync("larder-across"));
    }

    #[test]
    fn data_that_is_too_small_is_not_edited() {
        let data = vec![0; 40 << 20];
        assert_eq!(sample(&data[..(32 << 20) - 1], &Profile::LARDER), None);
        assert_eq!(sample(&data, &Profile::LARDER).unwrap().len(), 40 << 20);
        let small = Profile::of_avg(8 << 10).unwrap();
        assert_eq!(sample(&data, &small).unwrap().len(), LEAST);
    }
}
