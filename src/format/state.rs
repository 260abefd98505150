//! `state/<id>`: removals, undeletes, marks, condemnations, decisions, the settled list, and what was found damaged.
//!
//! The formats are fixed now; so far only backups read them. See `docs/ordering.md`.

use crate::base::id::{ObjectId, SessionId};
use crate::base::limits::STATE_BYTES_MAX;
use crate::base::time::Time;
use crate::format::cursor::{Reader, put_object_ids, put_time, put_varint, varint_len};
use crate::format::damaged_index::DamagedIndex;
use crate::format::envelope::ObjectKind;
use crate::format::error::{DecodeError, Reason};
use crate::format::extension::{Extension, put_extensions, read_extensions};
use crate::format::session::Verdict;

/// A pack of which something could not be read right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedPack {
    pub id: ObjectId,
    /// Offsets of its damaged blobs. Sorted. Empty: all of it.
    pub blobs: Vec<u32>,
}

/// One state record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// These snapshots are removed. Sorted.
    Removal { snapshots: Vec<ObjectId> },
    /// Cancels one removal; counts only through its session's outcome.
    Undelete {
        /// The removal record.
        removal: ObjectId,
        /// The session it came with.
        session: SessionId,
    },
    /// Packs that a complete look found unreferenced. Sorted.
    Mark { packs: Vec<ObjectId> },
    /// These objects are to be deleted. Sorted.
    Condemnation {
        packs: Vec<ObjectId>,
        snapshots: Vec<ObjectId>,
        /// The mark it rests on.
        mark: ObjectId,
    },
    /// What becomes of one condemnation.
    Decision {
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
    /// What lies there reads wrong: it is not to be relied on by what is stored from now on. Sorted by pack. There may be
    /// none when an extension ([`DamagedIndex`]) says more.
    Damage {
        /// Which packs, and what of them.
        packs: Vec<DamagedPack>,
    },
}

impl Record {
    /// The kind of the sealed object that holds it. Its number is also the record's first byte.
    pub fn kind(&self) -> ObjectKind {
        match self {
            Record::Removal { .. } => ObjectKind::Removal,
            Record::Undelete { .. } => ObjectKind::Undelete,
            Record::Mark { .. } => ObjectKind::Mark,
            Record::Condemnation { .. } => ObjectKind::Condemnation,
            Record::Decision { .. } => ObjectKind::Decision,
            Record::SettledList { .. } => ObjectKind::SettledList,
            Record::Damage { .. } => ObjectKind::Damage,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.kind() as u8);
        match self {
            Record::Removal { snapshots } => put_object_ids(out, snapshots),
            Record::Undelete { removal, session } => {
                out.extend_from_slice(&removal.0);
                out.extend_from_slice(&session.0);
            }
            Record::Mark { packs } => put_object_ids(out, packs),
            Record::Condemnation { packs, snapshots, mark } => {
                put_object_ids(out, packs);
                put_object_ids(out, snapshots);
                out.extend_from_slice(&mark.0);
            }
            Record::Decision { condemnation, deleted, spared } => {
                out.extend_from_slice(&condemnation.0);
                put_object_ids(out, deleted);
                put_object_ids(out, spared);
            }
            Record::SettledList { sessions, removed, replaces } => {
                put_varint(out, sessions.len() as u64);
                for (session, verdict) in sessions {
                    out.extend_from_slice(&session.0);
                    verdict.put(out);
                }
                put_object_ids(out, removed);
                put_object_ids(out, replaces);
            }
            Record::Damage { packs } => put_damaged(out, packs),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Record, DecodeError> {
        let kind = reader.u8()?;
        Ok(match ObjectKind::from_u8(kind) {
            Some(ObjectKind::Removal) => {
                let snapshots = reader.object_ids()?;
                reader.check(1, !snapshots.is_empty(), Reason::Value)?;
                Record::Removal { snapshots }
            }
            Some(ObjectKind::Undelete) => {
                Record::Undelete { removal: ObjectId(reader.array()?), session: reader.session()? }
            }
            Some(ObjectKind::Mark) => Record::Mark { packs: reader.object_ids()? },
            Some(ObjectKind::Condemnation) => Record::Condemnation {
                packs: reader.object_ids()?,
                snapshots: reader.object_ids()?,
                mark: ObjectId(reader.array()?),
            },
            Some(ObjectKind::Decision) => {
                let condemnation = ObjectId(reader.array()?);
                let deleted = reader.object_ids()?;
                let at = reader.position();
                let spared = reader.object_ids()?;
                let both = deleted.iter().any(|id| spared.binary_search(id).is_ok());
                reader.check(at, !both, Reason::Value)?;
                Record::Decision { condemnation, deleted, spared }
            }
            Some(ObjectKind::SettledList) => Record::SettledList {
                sessions: Self::read_settled(reader)?,
                removed: reader.object_ids()?,
                replaces: reader.object_ids()?,
            },
            Some(ObjectKind::Damage) => Record::Damage { packs: read_damaged(reader)? },
            _ => return Err(reader.error_at(0, Reason::Value)),
        })
    }

    fn read_settled(reader: &mut Reader<'_>) -> Result<Vec<(SessionId, Verdict)>, DecodeError> {
        let count = reader.count(usize::MAX, SessionId::LEN + Verdict::LEN_MIN)?;
        let mut sessions: Vec<(SessionId, Verdict)> = Vec::with_capacity(count);
        for _ in 0..count {
            let session = reader.session()?;
            reader.check_ascends(sessions.last().map(|(last, _)| last), &session, SessionId::LEN)?;
            sessions.push((session, Verdict::read(reader)?));
        }
        Ok(sessions)
    }
}

/// Appends damaged packs.
pub fn put_damaged(out: &mut Vec<u8>, packs: &[DamagedPack]) {
    put_varint(out, packs.len() as u64);
    for DamagedPack { id, blobs } in packs {
        out.extend_from_slice(&id.0);
        put_varint(out, blobs.len() as u64);
        blobs.iter().for_each(|offset| put_varint(out, u64::from(*offset)));
    }
}

pub fn read_damaged(reader: &mut Reader<'_>) -> Result<Vec<DamagedPack>, DecodeError> {
    let count = reader.count(usize::MAX, ObjectId::LEN + 1)?;
    let mut packs: Vec<DamagedPack> = Vec::with_capacity(count);
    for _ in 0..count {
        let id = ObjectId(reader.array()?);
        reader.check_ascends(packs.last().map(|last| &last.id), &id, ObjectId::LEN)?;
        let count = reader.count(usize::MAX, 1)?;
        let mut blobs: Vec<u32> = Vec::with_capacity(count);
        for _ in 0..count {
            let offset = reader.varint_u32(0, u32::MAX)?;
            reader.check_ascends(blobs.last(), &offset, varint_len(u64::from(offset)))?;
            blobs.push(offset);
        }
        packs.push(DamagedPack { id, blobs });
    }
    Ok(packs)
}

/// A record with its maker's signature. This is the plaintext of the sealed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRecord {
    pub record: Record,
    /// When it was made, by its maker's clock (for people).
    pub created: Time,
    /// 16 random bytes: no two records are equal.
    pub unique: [u8; 16],
    /// Room to grow.
    pub extensions: Vec<Extension>,
    /// Who made it: a maintainer; for removals also the snapshot's host, for damage any member.
    pub signer: [u8; 32],
    /// Over a domain string, the store id and all bytes before it.
    pub signature: [u8; 64],
}

impl SignedRecord {
    /// The bytes before the signature.
    pub fn unsigned_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.record.put(&mut out);
        put_time(&mut out, self.created);
        out.extend_from_slice(&self.unique);
        put_extensions(&mut out, &self.extensions);
        out.extend_from_slice(&self.signer);
        out
    }

    /// All bytes: `kind u8 · the record's fields in the order they are declared · created time · unique 16 · extensions ·
    /// signer 32 · signature 64`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.unsigned_bytes();
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads it back. The signature is not checked here.
    pub fn decode(bytes: &[u8]) -> Result<SignedRecord, DecodeError> {
        let mut reader = Reader::limited("state record", bytes, STATE_BYTES_MAX)?;
        let signed = SignedRecord {
            record: Record::read(&mut reader)?,
            created: reader.time()?,
            unique: reader.array()?,
            extensions: read_extensions(&mut reader)?,
            signer: reader.array()?,
            signature: reader.array()?,
        };
        let says_nothing = matches!(&signed.record, Record::Damage { packs } if packs.is_empty())
            && DamagedIndex::of(&signed.extensions).is_empty();
        reader.check(1, !says_nothing, Reason::Value)?;
        reader.finish()?;
        Ok(signed)
    }
}
