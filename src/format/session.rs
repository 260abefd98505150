//! `sessions/<id>/…`: lease, checkpoints and the one outcome of a session.

use crate::base::id::{ObjectId, SessionId};
use crate::base::limits::{LABEL_BYTES_MAX, SESSION_BYTES_MAX};
use crate::base::time::Time;
use crate::format::cursor::{Reader, put_object_ids, put_text, put_time, put_varint};
use crate::format::error::{DecodeError, Reason};
use crate::format::extension::{Extension, put_extensions, read_extensions};

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

impl SessionPurpose {
    /// The purpose of this number.
    pub fn from_u8(number: u8) -> Option<SessionPurpose> {
        match number {
            1 => Some(SessionPurpose::Backup),
            2 => Some(SessionPurpose::Maintenance),
            3 => Some(SessionPurpose::Read),
            _ => None,
        }
    }
}

/// `sessions/<id>/lease`: written before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub session: SessionId,
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

impl Verdict {
    pub(super) const LEN_MIN: usize = 1;

    /// Appends `1 · snapshot 32`, `2` or `3`.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Verdict::Committed(snapshot) => {
                out.push(1);
                out.extend_from_slice(&snapshot.0);
            }
            Verdict::Done => out.push(2),
            Verdict::None => out.push(3),
        }
    }

    /// Reads a verdict back.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Verdict, DecodeError> {
        match reader.u8()? {
            1 => Ok(Verdict::Committed(ObjectId(reader.array()?))),
            2 => Ok(Verdict::Done),
            3 => Ok(Verdict::None),
            _ => Err(reader.error_at(reader.position() - 1, Reason::Value)),
        }
    }
}

impl Lease {
    /// All bytes, the plaintext of the sealed object: `session 16 · purpose u8 · host key 32 · host text · started time ·
    /// lease u32 · snapshots ids · process u32 · extensions`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + self.host.len() + ObjectId::LEN * self.snapshots.len());
        out.extend_from_slice(&self.session.0);
        out.push(self.purpose as u8);
        out.extend_from_slice(&self.host_key);
        put_text(&mut out, &self.host, LABEL_BYTES_MAX);
        put_time(&mut out, self.started);
        out.extend_from_slice(&self.lease_s.to_le_bytes());
        put_object_ids(&mut out, &self.snapshots);
        out.extend_from_slice(&self.process.to_le_bytes());
        put_extensions(&mut out, &self.extensions);
        out
    }

    /// Reads it back.
    pub fn decode(bytes: &[u8]) -> Result<Lease, DecodeError> {
        let mut reader = Reader::limited("session lease", bytes, SESSION_BYTES_MAX)?;
        let session = reader.session()?;
        let purpose = reader.u8()?;
        let lease = Lease {
            session,
            purpose: SessionPurpose::from_u8(purpose).ok_or_else(|| reader.error_at(16, Reason::Value))?,
            host_key: reader.array()?,
            host: reader.text(LABEL_BYTES_MAX)?.to_string(),
            started: reader.time()?,
            lease_s: reader.u32()?,
            snapshots: reader.object_ids()?,
            process: reader.u32()?,
            extensions: read_extensions(&mut reader)?,
        };
        reader.finish()?;
        Ok(lease)
    }
}

impl Checkpoint {
    /// All bytes, the plaintext of the sealed object: `session 16 · number u32 · packs ids · condemnations seen ids ·
    /// packs in use ids · extensions`.
    pub fn encode(&self) -> Vec<u8> {
        let sets = [&self.packs, &self.condemnations_seen, &self.packs_in_use];
        let ids = sets.iter().map(|set| set.len()).sum::<usize>();
        let mut out = Vec::with_capacity(64 + ObjectId::LEN * ids);
        out.extend_from_slice(&self.session.0);
        out.extend_from_slice(&self.number.to_le_bytes());
        for set in sets {
            put_object_ids(&mut out, set);
        }
        put_extensions(&mut out, &self.extensions);
        out
    }

    /// Reads it back.
    pub fn decode(bytes: &[u8]) -> Result<Checkpoint, DecodeError> {
        let mut reader = Reader::limited("session checkpoint", bytes, SESSION_BYTES_MAX)?;
        let checkpoint = Checkpoint {
            session: reader.session()?,
            number: reader.u32()?,
            packs: reader.object_ids()?,
            condemnations_seen: reader.object_ids()?,
            packs_in_use: reader.object_ids()?,
            extensions: read_extensions(&mut reader)?,
        };
        reader.check(16, checkpoint.number >= 1, Reason::Value)?;
        reader.finish()?;
        Ok(checkpoint)
    }
}

impl Outcome {
    /// The bytes before the signature.
    pub fn unsigned_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + ObjectId::LEN * self.segments.len());
        out.extend_from_slice(&self.session.0);
        self.verdict.put(&mut out);
        put_object_ids(&mut out, &self.segments);
        for number in self.summary {
            put_varint(&mut out, number);
        }
        put_extensions(&mut out, &self.extensions);
        out.extend_from_slice(&self.signer);
        out
    }

    /// All bytes, the plaintext of the sealed object: `session 16 · verdict u8 · (committed: snapshot 32) · segments ids ·
    /// summary 5 varints · extensions · signer 32 · signature 64`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.unsigned_bytes();
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads it back. The signature is not checked here.
    pub fn decode(bytes: &[u8]) -> Result<Outcome, DecodeError> {
        let mut reader = Reader::limited("session outcome", bytes, SESSION_BYTES_MAX)?;
        let session = reader.session()?;
        let verdict = Verdict::read(&mut reader)?;
        let segments = reader.object_ids()?;
        let mut summary = [0; 5];
        for number in &mut summary {
            *number = reader.varint()?;
        }
        let extensions = read_extensions(&mut reader)?;
        let (signer, signature) = (reader.array()?, reader.array()?);
        reader.finish()?;
        Ok(Outcome { session, verdict, segments, summary, extensions, signer, signature })
    }
}
