//! `state/<id>`: removals, undeletes, marks, condemnations, decisions and the settled list.
//!
//! The formats are fixed now; so far only backups read them. See `docs/ordering.md`.

use crate::base::id::{ObjectId, SessionId};
use crate::base::time::Time;
use crate::format::error::DecodeError;
use crate::format::extension::Extension;
use crate::format::session::Verdict;

/// One state record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// These snapshots are removed. Sorted.
    Removal {
        /// Which.
        snapshots: Vec<ObjectId>,
    },
    /// Cancels one removal; counts only through its session's outcome.
    Undelete {
        /// The removal record.
        removal: ObjectId,
        /// The session it came with.
        session: SessionId,
    },
    /// Packs that a complete look found unreferenced. Sorted.
    Mark {
        /// Which.
        packs: Vec<ObjectId>,
    },
    /// These objects are to be deleted. Sorted.
    Condemnation {
        /// Packs.
        packs: Vec<ObjectId>,
        /// Manifests.
        snapshots: Vec<ObjectId>,
        /// The mark it rests on.
        mark: ObjectId,
    },
    /// What becomes of one condemnation.
    Decision {
        /// The condemnation.
        condemnation: ObjectId,
        /// Deleted objects. Sorted.
        deleted: Vec<ObjectId>,
        /// Spared ones. Sorted.
        spared: Vec<ObjectId>,
    },
    /// Outcomes folded together. Sorted by session.
    SettledList {
        /// Each settled session.
        sessions: Vec<(SessionId, Verdict)>,
        /// Ids of removed snapshots, for ever. Sorted.
        removed: Vec<ObjectId>,
        /// The lists this one replaces. Sorted.
        replaces: Vec<ObjectId>,
    },
}

/// A record with its maker's signature. This is the plaintext of the sealed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRecord {
    /// The record.
    pub record: Record,
    /// When it was made, by its maker's clock (for people).
    pub created: Time,
    /// 16 random bytes: no two records are equal.
    pub unique: [u8; 16],
    /// Room to grow.
    pub extensions: Vec<Extension>,
    /// Who made it: a maintainer, or for removals the snapshot's host.
    pub signer: [u8; 32],
    /// Over a domain string, the store id and all bytes before it.
    pub signature: [u8; 64],
}

impl SignedRecord {
    /// The bytes before the signature.
    pub fn unsigned_bytes(&self) -> Vec<u8> {
        todo!()
    }

    /// All bytes.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads it back.
    pub fn decode(_bytes: &[u8]) -> Result<SignedRecord, DecodeError> {
        todo!()
    }
}
