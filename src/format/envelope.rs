//! The envelope of a small sealed object: config, manifest, session and state records.
//!
//! `magic 8 · version u16 · kind u8 · store id 16 · epoch u32 · nonce 24 · ciphertext · tag 16`.
//! Everything before the nonce is associated data.

use crate::base::id::StoreId;
use crate::format::blob::TAG_LEN;
use crate::format::cursor::Reader;
use crate::format::error::{DecodeError, Reason};

const MAGIC: &[u8; 8] = b"larderOB";
const VERSION: u16 = 1;

/// What a small object is. Numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ObjectKind {
    Manifest = 1,
    Lease = 2,
    Checkpoint = 3,
    Outcome = 4,
    Removal = 5,
    Undelete = 6,
    Mark = 7,
    Condemnation = 8,
    Decision = 9,
    SettledList = 10,
    Damage = 11,
}

impl ObjectKind {
    /// All of them.
    pub const ALL: [ObjectKind; 11] = [
        ObjectKind::Manifest,
        ObjectKind::Lease,
        ObjectKind::Checkpoint,
        ObjectKind::Outcome,
        ObjectKind::Removal,
        ObjectKind::Undelete,
        ObjectKind::Mark,
        ObjectKind::Condemnation,
        ObjectKind::Decision,
        ObjectKind::SettledList,
        ObjectKind::Damage,
    ];

    /// The kind of this number.
    pub fn from_u8(number: u8) -> Option<ObjectKind> {
        ObjectKind::ALL.into_iter().find(|&kind| kind as u8 == number)
    }
}

/// The plain part of a sealed small object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// What is inside.
    pub kind: ObjectKind,
    /// The store it belongs to.
    pub store: StoreId,
    /// Epoch of the sealing key; 0 for keys of the store secret.
    pub epoch: u32,
}

impl Envelope {
    /// Bytes before the nonce.
    pub const LEN: usize = 8 + 2 + 1 + 16 + 4;
    pub const NONCE_LEN: usize = 24;

    /// The plain part as bytes, which is also the associated data.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[10] = self.kind as u8;
        out[11..27].copy_from_slice(&self.store.0);
        out[27..].copy_from_slice(&self.epoch.to_le_bytes());
        out
    }

    /// Splits an object into its plain part, nonce, and ciphertext with tag.
    pub fn decode(bytes: &[u8]) -> Result<(Envelope, [u8; 24], &[u8]), DecodeError> {
        let mut reader = Reader::new("sealed object", bytes);
        reader.magic(MAGIC, VERSION)?;
        let kind = reader.u8()?;
        let kind = ObjectKind::from_u8(kind).ok_or_else(|| reader.error_at(10, Reason::Value))?;
        let store = StoreId(reader.array()?);
        let epoch = reader.u32()?;
        let nonce = reader.array()?;
        reader.check(reader.position(), reader.remaining() >= TAG_LEN, Reason::Truncated)?;
        Ok((Envelope { kind, store, epoch }, nonce, reader.rest()))
    }
}
