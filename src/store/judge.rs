//! Decides who may write which record. This is the one judge of state records and of sessions' outcomes; every command
//! asks it, `check` too.

use super::outcome::Standing;
use super::state::State;
use super::{SHUT_OUT, Store};
use crate::base::id::{ObjectId, SessionId};
use crate::base::limits::STATE_BYTES_MAX;
use crate::crypto::sign::{Domain, verify};
use crate::format::envelope::ObjectKind;
use crate::format::session::Outcome;
use crate::format::state::{Record, SignedRecord};
use crate::object::{ObjectError, envelope};
use crate::storage::StorageKey;

/// What is to be made of a state record that could be read.
#[derive(Debug)]
pub(crate) enum JudgedRecord {
    Counts(Box<SignedRecord>),
    /// Its signer may not say such a thing: it is ignored, for this reason.
    Ignored(&'static str),
}

/// What was found where a session's outcome lies.
#[derive(Debug, Clone, Default)]
pub(crate) enum FoundOutcome {
    #[default]
    None,
    /// One whose seal and signature fit.
    Read(Box<Outcome>),
    /// Something that cannot be read or verified.
    Unreadable(String),
}

impl Store {
    /// Reads a state record and says whether it counts. It is an error when it is damaged, or is not what its name says.
    pub(crate) fn judge_record(&self, key: &StorageKey) -> Result<JudgedRecord, ObjectError> {
        let record = self.read_record(key)?;
        Ok(match self.objection(&record) {
            None => JudgedRecord::Counts(Box::new(record)),
            Some(why) => JudgedRecord::Ignored(why),
        })
    }

    /// Whether what lies where a state record did, and reads wrong, was a record of damage: it can be done without, since
    /// what it named is found again.
    pub(crate) fn was_damage_record(&self, key: &StorageKey) -> bool {
        let bytes = self.storage.get(key, STATE_BYTES_MAX * 2);
        bytes.is_ok_and(|bytes| envelope::kind_of_damaged(&self.ring, &bytes) == Some(ObjectKind::Damage))
    }

    /// Why this signer may not make such a record. A new kind of record finds its place here.
    fn objection(&self, record: &SignedRecord) -> Option<&'static str> {
        match record.record {
            // By the host that made the snapshot too: which one that is is known later, see `is_removed`.
            Record::Removal { .. } => {
                self.is_shut_out(&record.signer).then_some("its signer is shut out of the store by its config")
            }
            Record::Damage { .. } => self.objection_to_damage(&record.signer),
            Record::Undelete { .. }
            | Record::Mark { .. }
            | Record::Condemnation { .. }
            | Record::Decision { .. }
            | Record::SettledList { .. } => {
                (!self.is_maintainer(&record.signer)).then_some("its signer is not a maintainer")
            }
        }
    }

    /// All that a record of damage does is that content is stored anew: members of the roster may make one, and every host
    /// that this machine has seen a snapshot of.
    fn objection_to_damage(&self, signer: &[u8; 32]) -> Option<&'static str> {
        let in_roster = || self.config.roster.binary_search_by(|member| member.key.cmp(signer)).is_ok();
        let is_pinned = || self.trust.load().is_ok_and(|t| t.signers.iter().any(|(key, _)| key == signer));
        match *signer {
            _ if self.is_shut_out(signer) => Some("its signer is shut out of the store by its config"),
            own if own == self.host_key.public() => None,
            _ if in_roster() || is_pinned() => None,
            _ => Some("its signer is not known here"),
        }
    }

    fn read_record(&self, key: &StorageKey) -> Result<SignedRecord, ObjectError> {
        let object = || key.path();
        let sealed = envelope::get_sealed(&*self.storage, key)?;
        let kind = envelope::kind_of(&sealed, &object())?;
        let plain = envelope::open(&self.ring, kind, &sealed, &object())?;
        let record = SignedRecord::decode(&plain).map_err(|source| ObjectError::Decode { object: object(), source })?;
        // A decision lies under the name of its condemnation, so that there is one; nothing else does.
        let named_right = match (key, &record.record) {
            (StorageKey::Decision(id), Record::Decision { condemnation, .. }) => id == condemnation,
            (StorageKey::Decision(_), _) | (_, Record::Decision { .. }) => false,
            _ => true,
        };
        if record.record.kind() != kind || !named_right {
            return Err(ObjectError::Mismatch { object: object() });
        }
        verify(&record.signer, Domain::State, &self.id(), &record.unsigned_bytes(), &record.signature)
            .map_err(|source| ObjectError::Crypto { object: object(), source })?;
        Ok(record)
    }

    /// How a session stands, given what was found where its outcome lies. `host` is who signed the session's manifest or
    /// segment: the outcome must be signed by the same key or by a maintainer.
    pub(crate) fn judge_outcome(
        &self,
        session: SessionId,
        host: &[u8; 32],
        state: &State,
        found: &FoundOutcome,
    ) -> Standing {
        if state.contested.contains(&session) {
            return Standing::Doubt("settled lists say different things of it".into());
        }
        if let Some(verdict) = state.settled.get(&session) {
            return Standing::Ended(*verdict);
        }
        match found {
            FoundOutcome::None => Standing::Open,
            FoundOutcome::Unreadable(reason) => Standing::Doubt(reason.clone()),
            FoundOutcome::Read(outcome) if outcome.signer != *host && !self.is_maintainer(&outcome.signer) => {
                Standing::Doubt("its outcome is signed by neither its host nor a maintainer".into())
            }
            FoundOutcome::Read(outcome) => Standing::Ended(outcome.verdict),
        }
    }

    /// Whether a snapshot is removed: by a maintainer, or by the host that made it (`signer`; when that is not known, by
    /// anyone of the store).
    pub fn is_removed(&self, state: &State, snapshot: &ObjectId, signer: Option<&[u8; 32]>) -> bool {
        let counts = |by: &[u8; 32]| signer.is_none_or(|signer| signer == by) || self.is_maintainer(by);
        state.removed_for_ever.contains(snapshot) || state.removed_by(snapshot).iter().any(counts)
    }

    fn is_shut_out(&self, key: &[u8; 32]) -> bool {
        let roster = &self.config.roster;
        roster.binary_search_by(|member| member.key.cmp(key)).is_ok_and(|at| roster[at].roles & SHUT_OUT != 0)
    }
}
