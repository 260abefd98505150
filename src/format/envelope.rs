//! The envelope of a small sealed object: config, manifest, session and state records.
//!
//! `magic 8 · version u16 · kind u8 · store id 16 · epoch u32 · nonce 24 · ciphertext · tag 16`.
//! Everything before the nonce is associated data.

use crate::base::id::StoreId;
use crate::format::error::DecodeError;

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
    /// Nonce bytes.
    pub const NONCE_LEN: usize = 24;

    /// The plain part as bytes, which is also the associated data.
    pub fn encode(&self) -> [u8; Self::LEN] {
        todo!()
    }

    /// Splits an object into its plain part, nonce, and ciphertext with tag.
    pub fn decode(_bytes: &[u8]) -> Result<(Envelope, [u8; 24], &[u8]), DecodeError> {
        todo!()
    }
}
