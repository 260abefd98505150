//! Sessions: the writer's half of the protocol (`docs/ordering.md`).

use super::{Store, StoreError};
use crate::base::id::{ObjectId, SessionId};
use crate::format::session::SessionPurpose;
use crate::format::snapshot::Manifest;
use crate::index::Location;
use crate::object::writer::StoredPack;
use std::sync::Arc;

/// What committing gave.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The snapshot.
    pub snapshot: ObjectId,
    /// Bytes of segment, manifest and session records.
    pub overhead_bytes: u64,
}

/// A running session. Registered before anything else; the lease names the parent.
pub struct Session {
    _private: (),
}

impl Session {
    /// W(session: lease, parent) → R(removals, condemnations) → R(index): registers, then hides condemned packs and
    /// loads the index. A parent that is removed or condemned by now is given up (see `parent`).
    pub fn begin(
        _store: Arc<Store>,
        _purpose: SessionPurpose,
        _host: &str,
        _snapshots: Vec<ObjectId>,
    ) -> Result<Session, StoreError> {
        todo!()
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        todo!()
    }

    /// The store.
    pub fn store(&self) -> &Arc<Store> {
        todo!()
    }

    /// Whether this snapshot may be used as parent (not removed, not condemned).
    pub fn may_use_parent(&self, _snapshot: &ObjectId) -> bool {
        todo!()
    }

    /// Packs of sessions that never committed (a killed run): opened through their tables, to be reused. Gives for each
    /// content id its location. What is used must be told with `adopted`.
    pub fn adoptable(&self) -> Result<Vec<StoredPack>, StoreError> {
        todo!()
    }

    /// A pack that is durable: its rows go into the session's next segment. Writes a segment when many rows have gathered.
    pub fn stored(&self, _pack: StoredPack) -> Result<(), StoreError> {
        todo!()
    }

    /// Content of an adoptable pack that this session uses: listed again in its own segment.
    pub fn adopted(&self, _content: &[(crate::base::id::ContentId, Location)]) -> Result<(), StoreError> {
        todo!()
    }

    /// Writes a checkpoint when an hour has passed since the last one (`force`: now).
    pub fn checkpoint(&self, _force: bool) -> Result<(), StoreError> {
        todo!()
    }

    /// index segment durable → W(snapshot) → W(outcome: committed) → R(settled list). `manifest.session`, `sequence`,
    /// `previous` and `heads` are filled in here; it is signed with the host key.
    pub fn commit(self, _manifest: Manifest) -> Result<Committed, StoreError> {
        todo!()
    }

    /// Ends without a snapshot; what is durable is listed in a segment and counts (outcome "done").
    pub fn end(self) -> Result<(), StoreError> {
        todo!()
    }
}
