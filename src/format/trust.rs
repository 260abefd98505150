//! The trust file: what this client has seen of a store. It lies in the configuration folder, never in the cache.

use crate::base::id::StoreId;
use crate::base::limits::{LABEL_BYTES_MAX, TRUST_BYTES_MAX};
use crate::format::cursor::{Reader, put_magic, put_text, put_varint};
use crate::format::error::{DecodeError, Reason};
use crate::format::snapshot::Head;

const MAGIC: &[u8; 8] = b"larderTR";
const VERSION: u16 = 1;
const CHECKSUM_LEN: usize = 32;

/// The decoded trust file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    pub store: StoreId,
    /// Highest config number seen.
    pub config: u32,
    /// Signers pinned on first sight: (key, the host label it was seen with). Sorted by key.
    pub signers: Vec<([u8; 32], String)>,
    /// Newest manifest seen of each signer. Sorted by key.
    pub heads: Vec<Head>,
}

impl Trust {
    /// All bytes: `magic 8 · version u16 · store 16 · config u32 · signers varint · per signer: key 32 · label text ·
    /// heads · BLAKE3 of all before 32`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + 80 * (self.signers.len() + self.heads.len()));
        put_magic(&mut out, MAGIC, VERSION);
        out.extend_from_slice(&self.store.0);
        out.extend_from_slice(&self.config.to_le_bytes());
        put_varint(&mut out, self.signers.len() as u64);
        for (key, label) in &self.signers {
            out.extend_from_slice(key);
            put_text(&mut out, label, LABEL_BYTES_MAX);
        }
        Head::put_all(&mut out, &self.heads);
        let checksum = blake3::hash(&out);
        out.extend_from_slice(checksum.as_bytes());
        out
    }

    /// Reads it back. The checksum tells a torn or damaged file; it keeps no one from writing another.
    pub fn decode(bytes: &[u8]) -> Result<Trust, DecodeError> {
        let mut reader = Reader::limited("trust file", bytes, TRUST_BYTES_MAX)?;
        reader.magic(MAGIC, VERSION)?;
        let store = StoreId(reader.array()?);
        let config = reader.u32()?;
        let count = reader.count(usize::MAX, 32 + 1)?;
        let mut signers: Vec<([u8; 32], String)> = Vec::with_capacity(count);
        for _ in 0..count {
            let key = reader.array()?;
            reader.check_ascends(signers.last().map(|(last, _)| last), &key, 32)?;
            signers.push((key, reader.text(LABEL_BYTES_MAX)?.to_string()));
        }
        let heads = Head::read_all(&mut reader)?;
        let at = reader.position();
        let checksum: [u8; CHECKSUM_LEN] = reader.array()?;
        reader.finish()?;
        reader.check(at, blake3::hash(&bytes[..at]) == checksum, Reason::Totals)?;
        Ok(Trust { store, config, signers, heads })
    }
}
