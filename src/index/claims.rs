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

/// The newest claims of a session.
#[derive(Debug, Default)]
pub struct Claims(DashMap<ContentId, (), std::hash::BuildHasherDefault<IdHasher>>);

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
