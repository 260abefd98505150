//! How sessions ended: the outcome object of each session, or its entry in a settled list, which has precedence.

use super::index_damage::read_again;
use super::judge::FoundOutcome;
use super::state::State;
use super::{Store, StoreError};
use crate::base::id::{ObjectId, SessionId};
use crate::crypto::sign::{Domain, verify};
use crate::format::envelope::ObjectKind;
use crate::format::session::{Lease, Outcome, Verdict};
use crate::object::envelope;
use crate::storage::StorageKey;

/// What can be said of a session.
#[derive(Debug)]
pub enum Standing {
    /// No outcome yet: it runs, or was killed.
    Open,
    Ended(Verdict),
    /// Its outcome cannot be read, or nobody who may say so says so.
    Doubt(String),
}

impl Standing {
    /// Whether segments of the session count.
    pub fn is_reliable(&self) -> bool {
        matches!(self, Standing::Ended(Verdict::Committed(_) | Verdict::Done))
    }
}

impl Store {
    /// How a session stands. `host` is who signed the session's manifest or segment: its outcome must be signed by the
    /// same key or by a maintainer.
    pub fn standing(&self, session: SessionId, host: &[u8; 32], state: &State) -> Result<Standing, StoreError> {
        let known = state.settled.contains_key(&session) || state.contested.contains(&session);
        let found = if known { FoundOutcome::None } else { self.find_outcome(session)? };
        let standing = self.judge_outcome(session, host, state, &found);
        // Neither its host nor a maintainer signed it, by the session's own lease too: it is not the one that was written.
        if let (Standing::Doubt(_), FoundOutcome::Read(outcome)) = (&standing, &found)
            && self.read_lease(session)?.is_some_and(|lease| lease.host_key != outcome.signer)
        {
            self.note_damaged_session(session);
        }
        Ok(standing)
    }

    /// What lies where a session's outcome does. That it reads wrong is noted.
    pub(crate) fn find_outcome(&self, session: SessionId) -> Result<FoundOutcome, StoreError> {
        match read_again(|| self.read_outcome(session)) {
            Ok(None) => Ok(FoundOutcome::None),
            Ok(Some(outcome)) => Ok(FoundOutcome::Read(Box::new(outcome))),
            Err(error) if error.is_damage() => {
                self.note_damaged_session(session);
                Ok(FoundOutcome::Unreadable(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// A session's outcome, its signature verified; `None` when there is none.
    pub fn read_outcome(&self, session: SessionId) -> Result<Option<Outcome>, StoreError> {
        let key = StorageKey::Outcome(session);
        let plain = match envelope::get(&*self.storage, &self.ring, ObjectKind::Outcome, &key) {
            Ok(plain) => plain,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let doubt = |reason: String| StoreError::Doubt { session, reason };
        let outcome = Outcome::decode(&plain).map_err(|error| doubt(error.to_string()))?;
        if outcome.session != session {
            return Err(doubt("its outcome is that of another session".into()));
        }
        verify(&outcome.signer, Domain::Outcome, &self.id(), &outcome.unsigned_bytes(), &outcome.signature)
            .map_err(|_| doubt("the signature of its outcome does not fit it".into()))?;
        Ok(Some(outcome))
    }

    /// A session's lease; `None` when there is none that can be read.
    pub fn read_lease(&self, session: SessionId) -> Result<Option<Lease>, StoreError> {
        let key = StorageKey::Lease(session);
        match envelope::get(&*self.storage, &self.ring, ObjectKind::Lease, &key) {
            Ok(plain) => Ok(Lease::decode(&plain).ok().filter(|lease| lease.session == session)),
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The sealed outcome of one of this host's sessions.
    pub(super) fn seal_outcome(
        &self,
        session: SessionId,
        verdict: Verdict,
        mut segments: Vec<ObjectId>,
        summary: [u64; 5],
    ) -> Vec<u8> {
        segments.sort_unstable();
        let mut outcome = Outcome {
            session,
            verdict,
            segments,
            summary,
            extensions: Vec::new(),
            signer: self.host_key.public(),
            signature: [0; 64],
        };
        outcome.signature = self.host_key.sign(Domain::Outcome, &self.id(), &outcome.unsigned_bytes());
        envelope::seal(&self.ring, ObjectKind::Outcome, &outcome.encode())
    }
}
