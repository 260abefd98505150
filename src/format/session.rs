//! `sessions/<id>/…`: lease, checkpoints and the one outcome of a session.

use crate::base::id::{ObjectId, SessionId};
use crate::base::time::Time;
use crate::format::error::DecodeError;
use crate::format::extension::Extension;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it")]
pub enum SessionPurpose {
    Backup = 1,
    Maintenance = 2,
    /// Keeps what it reads from being deleted.
    Read = 3,
}

/// `sessions/<id>/lease`: written before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The session.
    pub session: SessionId,
    /// What for.
    pub purpose: SessionPurpose,
    /// The host's ed25519 public key.
    pub host_key: [u8; 32],
    /// Label of the host.
    pub host: String,
    /// When it began, by the host's clock (for people).
    pub started: Time,
    /// After this many seconds of the store's time without a checkpoint it looks expired.
    pub lease_s: u32,
    /// Snapshots whose data it relies on: the parent, or what is being read. Sorted.
    pub snapshots: Vec<ObjectId>,
    /// Process id, for people.
    pub process: u32,
    /// Room to grow.
    pub extensions: Vec<Extension>,
}

/// `sessions/<id>/checkpoint-<n>`: renews the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The session.
    pub session: SessionId,
    /// 1, 2, ….
    pub number: u32,
    /// Packs of the session that are durable by now. Sorted.
    pub packs: Vec<ObjectId>,
    /// Condemnations the session has seen. Sorted.
    pub condemnations_seen: Vec<ObjectId>,
    /// Condemned packs that the session uses. Sorted.
    pub packs_in_use: Vec<ObjectId>,
    /// Room to grow.
    pub extensions: Vec<Extension>,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This snapshot exists.
    Committed(ObjectId),
    /// Ended without a snapshot; its segments count.
    Done,
    /// Ended by a collector, or given up; its segments are ignored.
    None,
}

/// `sessions/<id>/outcome`: create-only; the first one holds for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The session.
    pub session: SessionId,
    /// How it ended.
    pub verdict: Verdict,
    /// Index segments it wrote. Sorted.
    pub segments: Vec<ObjectId>,
    /// Summary: bytes read and stored, files, errors, duration in ms.
    pub summary: [u64; 5],
    /// Room to grow.
    pub extensions: Vec<Extension>,
    /// Who says so.
    pub signer: [u8; 32],
    /// Over a domain string, the store id and all bytes before it.
    pub signature: [u8; 64],
}

macro_rules! session_codec {
    ($name:ident) => {
        impl $name {
            /// All bytes: the plaintext of the sealed object.
            pub fn encode(&self) -> Vec<u8> {
                todo!()
            }

            /// Reads it back.
            pub fn decode(_bytes: &[u8]) -> Result<$name, DecodeError> {
                todo!()
            }
        }
    };
}
session_codec!(Lease);
session_codec!(Checkpoint);
session_codec!(Outcome);

impl Outcome {
    /// The bytes before the signature.
    pub fn unsigned_bytes(&self) -> Vec<u8> {
        todo!()
    }
}
