//! `config/<n>`: what a store is. Plain text, signed by a maintainer; secrets in it are sealed.

use crate::base::id::StoreId;
use crate::format::error::DecodeError;
use crate::format::extension::Extension;

/// The decoded config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// 0 for the first; the highest wins.
    pub number: u32,
    /// A reader that does not know one of these bits must not open the store.
    pub features_incompatible: u64,
    /// A writer that does not know one of these bits must not write.
    pub features_read_only: u64,
    /// Name of the store.
    pub store: StoreId,
    /// How files are cut.
    pub chunker: ChunkerParams,
    /// Exact size of a full pack.
    pub pack_bytes: u32,
    /// Small chunks are grouped up to this many bytes.
    pub group_bytes: u32,
    /// Longest content that lies in its entry.
    pub inline_bytes: u32,
    /// Tree nodes: smallest and largest encoded size, and the boundary threshold (out of 2^32).
    pub node_bytes_min: u32,
    /// See `node_bytes_min`.
    pub node_bytes_max: u32,
    /// A node ends where the first 4 bytes (LE) of its keyed hash are below this.
    pub node_threshold: u32,
    /// Keys of the contents, oldest first; at least one.
    pub epochs: Vec<Epoch>,
    /// Who may do what. Sorted by key, strictly.
    pub roster: Vec<Member>,
    /// Room to grow.
    pub extensions: Vec<Extension>,
}

/// Chunker parameters. The masks are ours: at most 47 low bits used, the strict one containing the loose one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkerParams {
    /// Algorithm: 1 = gear with two masks (FastCDC v2020's loop), keyed table.
    pub algorithm: u8,
    /// Smallest chunk, even.
    pub min: u32,
    /// Where the loose mask takes over, even.
    pub avg: u32,
    /// Largest chunk, even.
    pub max: u32,
    /// Mask below `avg`.
    pub mask_strict: u64,
    /// Mask from `avg` on.
    pub mask_loose: u64,
}

/// One epoch's key, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// 1, 2, ….
    pub number: u32,
    /// The epoch key under a key derived from the master key: nonce 24 · ciphertext 32 · tag 16.
    pub sealed: Vec<u8>,
    /// This epoch's key sealed under the next epoch's key; empty in the newest.
    pub sealed_by_next: Vec<u8>,
}

/// A public key that the store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// ed25519 public key.
    pub key: [u8; 32],
    /// Bits: 1 maintainer, 2 writer, 4 reader, 8 shut out.
    pub roles: u8,
    /// A name for people, UTF-8, without control characters.
    pub name: String,
}

/// A config with the maintainer's signature over its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedConfig {
    /// The config.
    pub config: Config,
    /// Who signed: a maintainer of the roster.
    pub signer: [u8; 32],
    /// ed25519 over a domain string and all bytes before the signature.
    pub signature: [u8; 64],
}

impl SignedConfig {
    /// The bytes that are signed.
    pub fn signed_bytes(_config: &Config, _signer: &[u8; 32]) -> Vec<u8> {
        todo!()
    }

    /// All bytes.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads a config back. The signature is not checked here.
    pub fn decode(_bytes: &[u8]) -> Result<SignedConfig, DecodeError> {
        todo!()
    }
}
