//! Places in packs that were found damaged. Look-ups no longer report that anything is there, but readers may still
//! try them.

use crate::base::id::ObjectId;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Packs, and the offsets of their blobs that are damaged; none: the whole pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suspects(HashMap<ObjectId, HashSet<u32>>);

impl Suspects {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One blob; `None`: the whole pack. Whether that is new.
    pub fn add(&mut self, pack: ObjectId, blob: Option<u32>) -> bool {
        match (self.0.entry(pack), blob) {
            (Entry::Vacant(place), blob) => {
                place.insert(blob.into_iter().collect());
                true
            }
            (Entry::Occupied(place), _) if place.get().is_empty() => false,
            (Entry::Occupied(mut place), Some(blob)) => place.get_mut().insert(blob),
            (Entry::Occupied(mut place), None) => {
                place.get_mut().clear();
                true
            }
        }
    }

    /// All of `others`.
    pub fn extend(&mut self, others: &Suspects) {
        for (pack, blob) in others.places() {
            self.add(pack, blob);
        }
    }

    /// Whether nothing that lies there is to be relied on.
    pub fn has(&self, pack: &ObjectId, blob: u32) -> bool {
        self.0.get(pack).is_some_and(|blobs| blobs.is_empty() || blobs.contains(&blob))
    }

    /// Whether all of the pack is.
    pub fn has_whole(&self, pack: &ObjectId) -> bool {
        self.0.get(pack).is_some_and(HashSet::is_empty)
    }

    /// Whether something of the pack is.
    pub fn has_some(&self, pack: &ObjectId) -> bool {
        self.0.contains_key(pack)
    }

    /// Every place: a blob, or (`None`) a whole pack.
    pub fn places(&self) -> impl Iterator<Item = (ObjectId, Option<u32>)> {
        self.0.iter().flat_map(|(pack, blobs)| {
            let whole = blobs.is_empty().then_some((*pack, None));
            blobs.iter().map(|blob| (*pack, Some(*blob))).chain(whole)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_pack_stands_for_all_its_blobs_and_a_blob_for_itself_only() {
        let [a, b] = [ObjectId([1; 32]), ObjectId([2; 32])];
        let mut suspects = Suspects::default();
        assert!(suspects.is_empty() && !suspects.has(&a, 7));
        assert!(suspects.add(a, Some(7)) && !suspects.add(a, Some(7)));
        assert!(suspects.has(&a, 7) && !suspects.has(&a, 8) && !suspects.has(&b, 7) && !suspects.has_whole(&a));
        assert!(suspects.add(a, None) && !suspects.add(a, None) && !suspects.add(a, Some(9)));
        assert!(suspects.has(&a, 8) && suspects.has_whole(&a));
        let mut all = Suspects::default();
        all.add(b, Some(3));
        all.extend(&suspects);
        assert_eq!(all.places().collect::<HashSet<_>>(), HashSet::from([(a, None), (b, Some(3))]));
    }
}
