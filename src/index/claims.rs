//! What the running session is about to store: first finder wins.

use crate::base::id::ContentId;
use dashmap::DashMap;

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

/// The newest claims of a session.
#[derive(Debug)]
pub struct Claims(DashMap<ContentId, (), std::hash::BuildHasherDefault<IdHasher>>);

impl Default for Claims {
    fn default() -> Claims {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // A power of two from 2 on, as the map needs it.
        let shards = 1 << (SHARDS_A_CORE * cores).ilog2();
        Claims(DashMap::with_hasher_and_shard_amount(Default::default(), shards))
    }
}

impl Claims {
    /// Claims an id; true for the first finder, who must store it.
    pub fn claim(&self, id: ContentId) -> bool {
        self.0.insert(id, ()).is_none()
    }

    /// Whether someone claimed it.
    pub fn contains(&self, id: &ContentId) -> bool {
        self.0.contains_key(id)
    }

    /// Claims held.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets these: they are in a run of the index now.
    pub fn release(&self, ids: impl IntoIterator<Item = ContentId>) {
        for id in ids {
            self.0.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    fn id(n: u32) -> ContentId {
        ContentId(*blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    #[test]
    fn of_many_threads_that_claim_the_same_ids_each_id_has_one_first_finder() {
        let claims = Claims::default();
        let firsts = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..10_000).filter(|n| claims.claim(id(*n))).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!((firsts, claims.len()), (10_000, 10_000));
        assert!(claims.contains(&id(0)) && !claims.contains(&id(10_000)));
        claims.release((0..10_000).map(id));
        assert!(claims.is_empty() && claims.claim(id(0)));
    }

    #[test]
    fn the_hash_of_an_id_is_its_first_bytes() {
        let hash = std::hash::BuildHasherDefault::<IdHasher>::default().hash_one(id(3));
        assert_eq!(hash.to_le_bytes(), id(3).0[..8]);
    }
}
