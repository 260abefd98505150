//! The chunks that the running session is about to store. The first one to find a chunk claims it.

use crate::base::id::ContentId;
use dashmap::DashMap;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicU64, AtomicUsize};

/// Ids are keyed hashes already: 8 of their bytes are hash enough.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdHasher(u64);

impl std::hash::Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(head) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*head);
        }
    }

    fn write_usize(&mut self, _length_prefix: usize) {}
}

/// At most so many shards for each core: more cost memory and win nothing.
const SHARDS_A_CORE: usize = 4;

/// What a session is about to store and look-ups in the index do not find yet.
///
/// An id's way: not found by a look-up → claimed → stored, its row gathered → found by look-ups (the session installs a
/// private run) → **released**. So there are as many claims as there are chunks in flight and rows not yet in a segment,
/// however many chunks the session stores.
///
/// A look-up may be older than a release: then the id is free to be claimed again although it is stored. Releasing
/// therefore begins a new *generation*, and [`Claims::claim`] has the index asked again when the look-up was made in an
/// older one.
#[derive(Debug)]
pub struct Claims {
    held: DashMap<ContentId, (), std::hash::BuildHasherDefault<IdHasher>>,
    generation: AtomicU64,
    most: AtomicUsize,
}

impl Default for Claims {
    fn default() -> Claims {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // A power of two from 2 on, as the map needs it.
        let shards = 1 << (SHARDS_A_CORE * cores).ilog2();
        let held = DashMap::with_hasher_and_shard_amount(Default::default(), shards);
        Claims { held, generation: AtomicU64::new(0), most: AtomicUsize::new(0) }
    }
}

impl Claims {
    /// To be asked before a look-up in the index.
    pub fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }

    /// Claims an id that a look-up in this generation did not find; true for the first finder, who must store it.
    /// `in_index` looks again, and is asked when the look-up may be out of date.
    #[inline]
    pub fn claim(&self, id: ContentId, generation: u64, in_index: impl FnOnce(&ContentId) -> bool) -> bool {
        if self.held.insert(id, ()).is_some() {
            return false;
        }
        // Only now: whoever released this id between the look-up and here has begun a generation before.
        if self.generation() != generation && in_index(&id) {
            self.held.remove(&id);
            return false;
        }
        true
    }

    /// Whether someone claimed it.
    pub fn contains(&self, id: &ContentId) -> bool {
        self.held.contains_key(id)
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The most that were held, as seen whenever some were released, and now.
    pub fn most(&self) -> usize {
        self.most.fetch_max(self.len(), Relaxed).max(self.len())
    }

    /// Lets go of these: look-ups in the index find them by now.
    pub fn release(&self, ids: impl IntoIterator<Item = ContentId>) {
        let mut ids = ids.into_iter().peekable();
        if ids.peek().is_none() {
            return;
        }
        self.most();
        self.generation.fetch_add(1, AcqRel);
        for id in ids {
            self.held.remove(&id);
        }
    }

    /// All ids held.
    pub fn ids(&self) -> Vec<ContentId> {
        self.held.iter().map(|held| *held.key()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::RwLock;
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    fn id(n: u32) -> ContentId {
        ContentId(*blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    #[test]
    fn of_many_threads_that_claim_the_same_ids_each_id_has_one_first_finder() {
        let claims = Claims::default();
        let firsts = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..10_000).filter(|n| claims.claim(id(*n), 0, |_| false)).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!((firsts, claims.len()), (10_000, 10_000));
        assert!(claims.contains(&id(0)) && !claims.contains(&id(10_000)));
        claims.release((0..10_000).map(id));
        assert!(claims.is_empty() && claims.most() == 10_000);
        assert!(claims.claim(id(0), claims.generation(), |_| panic!("the look-up is of this generation")));
    }

    #[test]
    fn a_look_up_that_is_older_than_a_release_is_made_again() {
        let claims = Claims::default();
        let seen = claims.generation();
        assert!(claims.claim(id(1), seen, |_| false) && !claims.claim(id(1), seen, |_| false));
        claims.release([id(1)]);
        assert!(!claims.claim(id(1), seen, |_| true), "it is stored");
        assert!(claims.is_empty(), "a claim that came to nothing is taken back");
        assert!(claims.claim(id(2), seen, |_| false) && claims.contains(&id(2)));
        claims.release([]);
        assert!(claims.claim(id(3), claims.generation(), |_| true), "releasing nothing makes no look-up old");
    }

    /// Finders that look up, dawdle and claim, and a session that installs and releases behind them.
    #[test]
    fn however_finders_and_releases_meet_each_id_is_stored_once() {
        const IDS: u32 = 300;
        let (claims, index) = (Claims::default(), RwLock::new(HashSet::new()));
        let (store, stored) = std::sync::mpsc::channel();
        let total = std::thread::scope(|scope| {
            for finder in 0..3 {
                let (claims, index, store) = (&claims, &index, store.clone());
                scope.spawn(move || {
                    for round in 0..40 {
                        // Looked up some ids at a time, as a batch is.
                        for first in (0..IDS).step_by(7) {
                            let generation = claims.generation();
                            let batch = (first..IDS.min(first + 7)).map(|n| id((n * (finder + 2) + round) % IDS));
                            let unseen: Vec<_> = batch.filter(|id| !index.read().contains(id)).collect();
                            std::thread::yield_now();
                            for id in unseen {
                                if claims.claim(id, generation, |id| index.read().contains(id)) {
                                    store.send(id).unwrap();
                                }
                            }
                        }
                    }
                });
            }
            drop(store);
            let mut total = 0;
            while let Ok(first) = stored.recv() {
                let gathered: Vec<_> = std::iter::once(first).chain(stored.try_iter().take(3)).collect();
                total += gathered.len();
                index.write().extend(gathered.iter().copied());
                claims.release(gathered);
            }
            total
        });
        assert_eq!((total, index.read().len(), claims.len()), (IDS as usize, IDS as usize, 0));
    }

    #[test]
    fn the_hash_of_an_id_is_its_first_bytes() {
        let hash = std::hash::BuildHasherDefault::<IdHasher>::default().hash_one(id(3));
        assert_eq!(hash.to_le_bytes(), id(3).0[..8]);
    }
}
