//! `snapshots/<id>`: the signed manifest of a snapshot.

use crate::base::id::{ContentId, ObjectId, SessionId};
use crate::base::time::Time;
use crate::format::error::DecodeError;
use crate::format::extension::Extension;
use crate::format::tree::Totals;

/// What a snapshot says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Root node of the tree.
    pub root: ContentId,
    /// The root's level.
    pub root_level: u8,
    /// Totals of the tree.
    pub totals: Totals,
    /// The session that made it.
    pub session: SessionId,
    /// Label of the host, as given or its name.
    pub host: String,
    /// User that ran the backup.
    pub user: String,
    /// Source paths, absolute, sorted (after `--as`).
    pub paths: Vec<Vec<u8>>,
    /// Sorted, unique.
    pub tags: Vec<String>,
    /// The time the snapshot stands for: the run's start, or `--time`.
    pub time: Time,
    /// When the run began, by the source's clock.
    pub started: Time,
    /// When it ended.
    pub ended: Time,
    /// Paths that could not be read.
    pub errors: u64,
    /// Bytes of chunks that were new to the store.
    pub novel_bytes: u64,
    /// Bytes appended to storage.
    pub stored_bytes: u64,
    /// Program and version.
    pub program: String,
    /// Number of this manifest among its host key's: never reused.
    pub sequence: u64,
    /// The host key's manifest before this one.
    pub previous: Option<ObjectId>,
    /// Newest manifests of other host keys seen: (key, sequence, manifest). Sorted by key.
    pub heads: Vec<Head>,
    /// The snapshot this one was compared with.
    pub parent: Option<ObjectId>,
    /// Command line options that shaped it, for people (excludes and the like).
    pub options: Vec<String>,
    /// Room to grow.
    pub extensions: Vec<Extension>,
}

/// The newest manifest of a host key that a client has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The host's ed25519 public key.
    pub signer: [u8; 32],
    /// Its sequence number.
    pub sequence: u64,
    /// Its name.
    pub manifest: ObjectId,
}

/// A manifest with its host's signature. This is the plaintext of the sealed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedManifest {
    /// What is said.
    pub manifest: Manifest,
    /// Who says it: ed25519 public key; zero when unsigned.
    pub signer: [u8; 32],
    /// Over a domain string, the store id and all bytes before the signature.
    pub signature: [u8; 64],
}

impl SignedManifest {
    /// The bytes before the signature, which is what is signed (after domain and store id).
    pub fn unsigned_bytes(_manifest: &Manifest, _signer: &[u8; 32]) -> Vec<u8> {
        todo!()
    }

    /// All bytes.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads a manifest back. The signature is not checked here.
    pub fn decode(_bytes: &[u8]) -> Result<SignedManifest, DecodeError> {
        todo!()
    }
}
