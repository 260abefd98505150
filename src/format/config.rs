//! `config/<n>`: what a store is. Plain text, signed by a maintainer; secrets in it are sealed.

use crate::base::id::{ObjectId, StoreId};
use crate::base::limits::{
    BLOB_PLAIN_BYTES_MAX, CONFIG_BYTES_MAX, EPOCHS_MAX, GEAR_WINDOW, INLINE_BYTES_MAX, LABEL_BYTES_MAX, NODE_BYTES_MAX,
    PACK_BYTES_MAX, PACK_BYTES_MIN, ROSTER_MAX,
};
use crate::format::cursor::{Reader, put_magic, put_object_ids, put_text, put_varint};
use crate::format::error::{DecodeError, Reason};
use crate::format::extension::{Extension, put_extensions, read_extensions};

const MAGIC: &[u8; 8] = b"larderCF";
const VERSION: u16 = 1;

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

/// What lies at the same places in every version of a config: the beginning and the end. So its signature can be verified
/// before anything in it is believed, also by a version that does not know the layout between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFrame {
    /// See [`Config::number`].
    pub number: u32,
    /// See [`Config::features_incompatible`].
    pub features_incompatible: u64,
    /// See [`Config::store`].
    pub store: StoreId,
    pub signer: [u8; 32],
    /// Over a domain string, the store and [`ConfigFrame::signed`].
    pub signature: [u8; 64],
}

/// Whether a file that begins like this is a config of some store.
pub fn begins_config(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl ConfigFrame {
    /// Bytes of the signature, which ends a config.
    const SIGNATURE_LEN: usize = 64;

    /// Reads beginning and end: `magic 8 · version u16 · number u32 · incompatible features u64 · read-only features u64 ·
    /// store 16 · … · signer 32 · signature 64`. The signature is not checked here.
    pub fn decode(bytes: &[u8]) -> Result<ConfigFrame, DecodeError> {
        let mut reader = Reader::limited("config", bytes, CONFIG_BYTES_MAX)?;
        let magic: [u8; 8] = reader.array()?;
        reader.check(0, magic == *MAGIC, Reason::Magic)?;
        let _version = reader.u16()?;
        let (number, features_incompatible, _features_read_only) = (reader.u32()?, reader.u64()?, reader.u64()?);
        let store = StoreId(reader.array()?);
        let between = reader.remaining().checked_sub(32 + Self::SIGNATURE_LEN);
        reader.take(between.ok_or_else(|| reader.error(Reason::Truncated))?)?;
        let (signer, signature) = (reader.array()?, reader.array()?);
        reader.finish()?;
        Ok(ConfigFrame { number, features_incompatible, store, signer, signature })
    }

    /// What is signed: all bytes before the signature.
    pub fn signed(bytes: &[u8]) -> &[u8] {
        &bytes[..bytes.len().saturating_sub(Self::SIGNATURE_LEN)]
    }
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
    pub config: Config,
    /// Who signed: a maintainer of the roster.
    pub signer: [u8; 32],
    /// ed25519 over a domain string and all bytes before the signature.
    pub signature: [u8; 64],
}

impl ChunkerParams {
    /// Bytes of the encoded parameters.
    const LEN: usize = 1 + 3 * 4 + 2 * 8;

    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.algorithm);
        for length in [self.min, self.avg, self.max] {
            out.extend_from_slice(&length.to_le_bytes());
        }
        out.extend_from_slice(&self.mask_strict.to_le_bytes());
        out.extend_from_slice(&self.mask_loose.to_le_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<ChunkerParams, DecodeError> {
        let at = reader.position();
        let params = ChunkerParams {
            algorithm: reader.u8()?,
            min: reader.u32()?,
            avg: reader.u32()?,
            max: reader.u32()?,
            mask_strict: reader.u64()?,
            mask_loose: reader.u64()?,
        };
        reader.check(at, params.max as usize <= BLOB_PLAIN_BYTES_MAX, Reason::Limit)?;
        reader.check(at, params.algorithm != 1 || params.is_gear(), Reason::Value)?;
        Ok(params)
    }

    /// Whether the parameters keep the rules of algorithm 1.
    fn is_gear(&self) -> bool {
        let even = [self.min, self.avg, self.max].iter().all(|length| length.is_multiple_of(2));
        let ordered = 0 < self.min && self.min < self.avg && self.avg < self.max;
        let low = self.mask_strict >> GEAR_WINDOW == 0 && self.mask_strict.count_ones() < GEAR_WINDOW as u32;
        even && ordered && low && self.mask_strict & self.mask_loose == self.mask_loose
    }
}

impl Epoch {
    /// A sealed epoch key: nonce, key, tag.
    pub const SEALED_LEN: usize = 24 + 32 + 16;
}

impl Config {
    /// Extension 1: the names of the store's key slots, as `ids`.
    const KEY_SLOTS: u16 = 1;

    /// The key slots that the store has; `None` when they are not listed, as in stores of earlier versions.
    pub fn key_slots(&self) -> Option<Vec<ObjectId>> {
        let listed = self.extensions.iter().find(|extension| extension.kind == Self::KEY_SLOTS)?;
        let mut reader = Reader::new("list of key slots", &listed.body);
        let ids = reader.object_ids().ok()?;
        reader.finish().ok()?;
        Some(ids)
    }

    /// Lists the key slots.
    pub fn set_key_slots(&mut self, mut ids: Vec<ObjectId>) {
        ids.sort_unstable();
        ids.dedup();
        let mut body = Vec::with_capacity(2 + ObjectId::LEN * ids.len());
        put_object_ids(&mut body, &ids);
        self.extensions.retain(|extension| extension.kind != Self::KEY_SLOTS);
        self.extensions.push(Extension { kind: Self::KEY_SLOTS, critical: false, body });
        self.extensions.sort_by_key(|extension| extension.kind);
    }

    /// Bytes before the epochs.
    const FIXED_LEN: usize = 8 + 2 + 4 + 8 + 8 + 16 + ChunkerParams::LEN + 6 * 4;

    fn put(&self, out: &mut Vec<u8>) {
        put_magic(out, MAGIC, VERSION);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.features_incompatible.to_le_bytes());
        out.extend_from_slice(&self.features_read_only.to_le_bytes());
        out.extend_from_slice(&self.store.0);
        self.chunker.put(out);
        let sizes = [self.pack_bytes, self.group_bytes, self.inline_bytes];
        for number in sizes.into_iter().chain([self.node_bytes_min, self.node_bytes_max, self.node_threshold]) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_varint(out, self.epochs.len() as u64);
        for epoch in &self.epochs {
            debug_assert_eq!(epoch.sealed.len(), Epoch::SEALED_LEN);
            out.extend_from_slice(&epoch.number.to_le_bytes());
            out.extend_from_slice(&epoch.sealed);
            out.extend_from_slice(&epoch.sealed_by_next);
        }
        put_varint(out, self.roster.len() as u64);
        for member in &self.roster {
            out.extend_from_slice(&member.key);
            out.push(member.roles);
            put_text(out, &member.name, LABEL_BYTES_MAX);
        }
        put_extensions(out, &self.extensions);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Config, DecodeError> {
        reader.magic(MAGIC, VERSION)?;
        let config = Config {
            number: reader.u32()?,
            features_incompatible: reader.u64()?,
            features_read_only: reader.u64()?,
            store: StoreId(reader.array()?),
            chunker: ChunkerParams::read(reader)?,
            pack_bytes: reader.u32()?,
            group_bytes: reader.u32()?,
            inline_bytes: reader.u32()?,
            node_bytes_min: reader.u32()?,
            node_bytes_max: reader.u32()?,
            node_threshold: reader.u32()?,
            epochs: Self::read_epochs(reader)?,
            roster: Self::read_roster(reader)?,
            extensions: read_extensions(reader)?,
        };
        let sizes_at = Self::FIXED_LEN - 6 * 4;
        let (pack, nodes) = (config.pack_bytes as usize, config.node_bytes_min..=config.node_bytes_max);
        reader.check(sizes_at, pack.is_multiple_of(PACK_BYTES_MIN) && pack > 0, Reason::Value)?;
        reader.check(sizes_at, pack <= PACK_BYTES_MAX, Reason::Limit)?;
        reader.check(sizes_at + 4, config.group_bytes as usize <= BLOB_PLAIN_BYTES_MAX, Reason::Limit)?;
        reader.check(sizes_at + 8, config.inline_bytes as usize <= INLINE_BYTES_MAX, Reason::Limit)?;
        reader.check(sizes_at + 12, !nodes.is_empty() && *nodes.end() as usize <= NODE_BYTES_MAX, Reason::Limit)?;
        Ok(config)
    }

    fn read_epochs(reader: &mut Reader<'_>) -> Result<Vec<Epoch>, DecodeError> {
        let start = reader.position();
        let count = reader.count(EPOCHS_MAX, 4 + Epoch::SEALED_LEN)?;
        reader.check(start, count > 0, Reason::Value)?;
        let mut epochs: Vec<Epoch> = Vec::with_capacity(count);
        for i in 1..=count {
            let at = reader.position();
            let number = reader.u32()?;
            reader.check(at, number > epochs.last().map_or(0, |last| last.number), Reason::Order)?;
            let sealed = reader.take(Epoch::SEALED_LEN)?.to_vec();
            let sealed_by_next = reader.take(if i < count { Epoch::SEALED_LEN } else { 0 })?.to_vec();
            epochs.push(Epoch { number, sealed, sealed_by_next });
        }
        Ok(epochs)
    }

    fn read_roster(reader: &mut Reader<'_>) -> Result<Vec<Member>, DecodeError> {
        let count = reader.count(ROSTER_MAX, 32 + 1 + 1)?;
        let mut roster: Vec<Member> = Vec::with_capacity(count);
        for _ in 0..count {
            let key = reader.array()?;
            reader.check_ascends(roster.last().map(|last| &last.key), &key, 32)?;
            let roles = reader.u8()?;
            reader.check(reader.position() - 1, roles < 16, Reason::Value)?;
            roster.push(Member { key, roles, name: reader.text(LABEL_BYTES_MAX)?.to_string() });
        }
        Ok(roster)
    }
}

impl SignedConfig {
    /// The bytes that are signed: all before the signature.
    pub fn signed_bytes(config: &Config, signer: &[u8; 32]) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        config.put(&mut out);
        out.extend_from_slice(signer);
        out
    }

    /// All bytes: `magic 8 · version u16 · number u32 · incompatible features u64 · read-only features u64 · store 16 ·
    /// chunker 29 · pack, group, inline bytes u32 · node min, max, threshold u32` · `epochs varint · per epoch: number u32 ·
    /// sealed 72 · (all but the last: sealed by next 72)` · `roster varint · per member: key 32 · roles u8 · name text` ·
    /// `extensions · signer 32 · signature 64`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Self::signed_bytes(&self.config, &self.signer);
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads a config back. The signature is not checked here, nor whether this program knows the features.
    pub fn decode(bytes: &[u8]) -> Result<SignedConfig, DecodeError> {
        let mut reader = Reader::limited("config", bytes, CONFIG_BYTES_MAX)?;
        let config = Config::read(&mut reader)?;
        let signed = SignedConfig { config, signer: reader.array()?, signature: reader.array()? };
        reader.finish()?;
        Ok(signed)
    }
}
