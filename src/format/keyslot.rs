//! `keys/<id>`: a role's bundle of keys, wrapped under a passphrase or a key file.

use crate::base::id::StoreId;
use crate::base::limits::{KDF_LANES_MAX, KDF_MEMORY_KIB_MAX, KDF_PASSES_MAX, KEY_SLOT_BYTES_MAX, LABEL_BYTES_MAX};
use crate::format::cursor::{Reader, put_magic, put_text};
use crate::format::error::{DecodeError, Reason};
use crate::format::extension::{Extension, put_extensions, read_extensions};

const MAGIC: &[u8; 8] = b"larderKS";
const VERSION: u16 = 1;
const BUNDLE_VERSION: u16 = 1;

/// How the wrapping key comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    /// Argon2id over a passphrase.
    Passphrase {
        /// Memory in KiB.
        memory_kib: u32,
        passes: u32,
        lanes: u32,
    },
    /// 32 random bytes through `derive_key`, not stretched.
    KeyFile,
}

/// A decoded key slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySlot {
    /// The store it opens.
    pub store: StoreId,
    pub kind: SlotKind,
    /// Salt of the derivation.
    pub salt: [u8; 32],
    /// Key commitment: checked before anything is opened.
    pub commitment: [u8; 32],
    /// X25519 public key; the secret one lies in the bundle.
    pub exchange_public: [u8; 32],
    /// When it was made, seconds since 1970.
    pub created_s: i64,
    /// A name for people.
    pub label: String,
    /// nonce 24 · sealed bundle · tag 16.
    pub sealed: Vec<u8>,
    /// Room to grow.
    pub extensions: Vec<Extension>,
}

impl KeySlot {
    /// Shortest `sealed`: a nonce and a tag.
    const SEALED_LEN_MIN: usize = 24 + 16;

    /// All bytes before `sealed`, which are the associated data: `magic 8 · version u16 · store 16 · kind u8 · memory u32 ·
    /// passes u32 · lanes u32 (zeros for a key file) · salt 32 · commitment 32 · exchange key 32 · created i64 · label text ·
    /// extensions`.
    pub fn associated_data(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.label.len() + self.sealed.len());
        put_magic(&mut out, MAGIC, VERSION);
        out.extend_from_slice(&self.store.0);
        let (kind, costs) = match self.kind {
            SlotKind::Passphrase { memory_kib, passes, lanes } => (1, [memory_kib, passes, lanes]),
            SlotKind::KeyFile => (2, [0; 3]),
        };
        out.push(kind);
        for cost in costs {
            out.extend_from_slice(&cost.to_le_bytes());
        }
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.commitment);
        out.extend_from_slice(&self.exchange_public);
        out.extend_from_slice(&self.created_s.to_le_bytes());
        put_text(&mut out, &self.label, LABEL_BYTES_MAX);
        put_extensions(&mut out, &self.extensions);
        out
    }

    /// All bytes: the associated data and, to the end, `sealed`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.associated_data();
        out.extend_from_slice(&self.sealed);
        out
    }

    /// Reads a slot back; derivation costs beyond the limits are refused.
    pub fn decode(bytes: &[u8]) -> Result<KeySlot, DecodeError> {
        let mut reader = Reader::limited("key slot", bytes, KEY_SLOT_BYTES_MAX)?;
        reader.magic(MAGIC, VERSION)?;
        let store = StoreId(reader.array()?);
        let kind = Self::decode_kind(&mut reader)?;
        let salt = reader.array()?;
        let commitment = reader.array()?;
        let exchange_public = reader.array()?;
        let created_s = reader.i64()?;
        let label = reader.text(LABEL_BYTES_MAX)?.to_string();
        let extensions = read_extensions(&mut reader)?;
        reader.check(reader.position(), reader.remaining() >= Self::SEALED_LEN_MIN, Reason::Truncated)?;
        let sealed = reader.rest().to_vec();
        Ok(KeySlot { store, kind, salt, commitment, exchange_public, created_s, label, sealed, extensions })
    }

    fn decode_kind(reader: &mut Reader<'_>) -> Result<SlotKind, DecodeError> {
        let at = reader.position();
        let kind = reader.u8()?;
        let [memory_kib, passes, lanes] = [reader.u32()?, reader.u32()?, reader.u32()?];
        match kind {
            1 => {
                reader.check(at + 1, memory_kib <= KDF_MEMORY_KIB_MAX, Reason::Limit)?;
                reader.check(at + 5, passes <= KDF_PASSES_MAX, Reason::Limit)?;
                reader.check(at + 9, lanes <= KDF_LANES_MAX, Reason::Limit)?;
                // RFC 9106: at least one pass, one lane, and 8 KiB a lane.
                reader.check(at + 1, passes >= 1 && lanes >= 1 && memory_kib >= 8 * lanes, Reason::Value)?;
                Ok(SlotKind::Passphrase { memory_kib, passes, lanes })
            }
            2 => {
                reader.check(at + 1, [memory_kib, passes, lanes] == [0; 3], Reason::NotCanonical)?;
                Ok(SlotKind::KeyFile)
            }
            _ => Err(reader.error_at(at, Reason::Value)),
        }
    }
}

/// What a slot wraps.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyBundle {
    /// 1 writer, 2 reader, 3 admin. Only admin is issued so far.
    pub role: u8,
    /// The store secret; zero when the role lacks it.
    pub store_secret: [u8; 32],
    /// The master key, which opens the epochs.
    pub master: [u8; 32],
    /// Seed of the maintainer's ed25519 key.
    pub maintainer_seed: [u8; 32],
    /// X25519 secret of the slot.
    pub exchange_secret: [u8; 32],
}

impl KeyBundle {
    /// Bytes of an encoded bundle.
    pub const LEN: usize = 2 + 1 + 4 * 32;

    /// All bytes: `version u16 · role u8 · store secret 32 · master 32 · maintainer seed 32 · exchange secret 32`.
    /// Whoever takes them wipes them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LEN);
        out.extend_from_slice(&BUNDLE_VERSION.to_le_bytes());
        out.push(self.role);
        for secret in [&self.store_secret, &self.master, &self.maintainer_seed, &self.exchange_secret] {
            out.extend_from_slice(secret);
        }
        out
    }

    /// Reads a bundle back.
    pub fn decode(bytes: &[u8]) -> Result<KeyBundle, DecodeError> {
        let mut reader = Reader::new("key bundle", bytes);
        let version = reader.u16()?;
        reader.check(0, version == BUNDLE_VERSION, Reason::Version)?;
        let role = reader.u8()?;
        reader.check(2, (1..=3).contains(&role), Reason::Value)?;
        let bundle = KeyBundle {
            role,
            store_secret: reader.array()?,
            master: reader.array()?,
            maintainer_seed: reader.array()?,
            exchange_secret: reader.array()?,
        };
        reader.finish()?;
        Ok(bundle)
    }
}

impl std::fmt::Debug for KeyBundle {
    /// The role only: secrets are not printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyBundle").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Drop for KeyBundle {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.store_secret.zeroize();
        self.master.zeroize();
        self.maintainer_seed.zeroize();
        self.exchange_secret.zeroize();
    }
}
