//! `snapshots/<id>`: the signed manifest of a snapshot.

use crate::base::id::{ContentId, ObjectId, SessionId};
use crate::base::limits::{
    LABEL_BYTES_MAX, MANIFEST_BYTES_MAX, MANIFEST_LIST_MAX, OPTION_BYTES_MAX, PATH_BYTES_MAX, TREE_LEVELS_MAX,
};
use crate::base::path;
use crate::base::time::Time;
use crate::format::cursor::{Reader, put_bytes, put_optional_id, put_text, put_time, put_varint};
use crate::format::error::{DecodeError, Reason};
use crate::format::extension::{Extension, MANIFEST_PROBLEMS, put_extensions, read_extensions};
use crate::format::problems::ProblemList;
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
    /// Source paths, absolute, sorted as bytes, strictly (after `--as`).
    pub paths: Vec<Vec<u8>>,
    /// Tags that a person gave the snapshot.
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

impl Head {
    const LEN_MIN: usize = 32 + 1 + ObjectId::LEN;

    /// Appends `count varint · per head: signer 32 · sequence varint · manifest 32`.
    pub(super) fn put_all(out: &mut Vec<u8>, heads: &[Head]) {
        put_varint(out, heads.len() as u64);
        for head in heads {
            out.extend_from_slice(&head.signer);
            put_varint(out, head.sequence);
            out.extend_from_slice(&head.manifest.0);
        }
    }

    /// Reads heads back; signers ascend strictly.
    pub(super) fn read_all(reader: &mut Reader<'_>) -> Result<Vec<Head>, DecodeError> {
        let count = reader.count(usize::MAX, Head::LEN_MIN)?;
        let mut heads: Vec<Head> = Vec::with_capacity(count);
        for _ in 0..count {
            let signer = reader.array()?;
            reader.check_ascends(heads.last().map(|last| &last.signer), &signer, 32)?;
            heads.push(Head { signer, sequence: reader.varint()?, manifest: ObjectId(reader.array()?) });
        }
        Ok(heads)
    }
}

impl Manifest {
    /// What could not be read, and what changed meanwhile, as far as the snapshot keeps it. One that cannot be understood
    /// is as good as none: nothing depends on it.
    pub fn problems(&self) -> Option<ProblemList> {
        let kept = self.extensions.iter().find(|extension| extension.kind == MANIFEST_PROBLEMS)?;
        ProblemList::decode(&kept.body).ok()
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.root.0);
        out.push(self.root_level);
        self.totals.put(out);
        out.extend_from_slice(&self.session.0);
        put_text(out, &self.host, LABEL_BYTES_MAX);
        put_text(out, &self.user, LABEL_BYTES_MAX);
        put_varint(out, self.paths.len() as u64);
        for path in &self.paths {
            put_bytes(out, path);
        }
        put_varint(out, self.tags.len() as u64);
        for tag in &self.tags {
            put_text(out, tag, LABEL_BYTES_MAX);
        }
        for time in [self.time, self.started, self.ended] {
            put_time(out, time);
        }
        for number in [self.errors, self.novel_bytes, self.stored_bytes] {
            put_varint(out, number);
        }
        put_text(out, &self.program, LABEL_BYTES_MAX);
        put_varint(out, self.sequence);
        put_optional_id(out, self.previous.as_ref());
        Head::put_all(out, &self.heads);
        put_optional_id(out, self.parent.as_ref());
        put_varint(out, self.options.len() as u64);
        for option in &self.options {
            put_text(out, option, OPTION_BYTES_MAX);
        }
        put_extensions(out, &self.extensions);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Manifest, DecodeError> {
        let root = ContentId(reader.array()?);
        let root_level = reader.u8()?;
        reader.check(ContentId::LEN, usize::from(root_level) < TREE_LEVELS_MAX, Reason::Limit)?;
        Ok(Manifest {
            root,
            root_level,
            totals: Totals::read(reader)?,
            session: reader.session()?,
            host: reader.text(LABEL_BYTES_MAX)?.to_string(),
            user: reader.text(LABEL_BYTES_MAX)?.to_string(),
            paths: read_paths(reader)?,
            tags: read_tags(reader)?,
            time: reader.time()?,
            started: reader.time()?,
            ended: reader.time()?,
            errors: reader.varint()?,
            novel_bytes: reader.varint()?,
            stored_bytes: reader.varint()?,
            program: reader.text(LABEL_BYTES_MAX)?.to_string(),
            sequence: reader.varint()?,
            previous: reader.optional_id()?,
            heads: Head::read_all(reader)?,
            parent: reader.optional_id()?,
            options: read_options(reader)?,
            extensions: read_extensions(reader)?,
        })
    }
}

fn read_paths(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, DecodeError> {
    let count = reader.count(MANIFEST_LIST_MAX, 2)?;
    let mut paths: Vec<Vec<u8>> = Vec::with_capacity(count);
    for _ in 0..count {
        let at = reader.position();
        let path = reader.bytes(PATH_BYTES_MAX)?;
        reader.check(at, path.starts_with(b"/") && path::components(path).is_ok(), Reason::Value)?;
        reader.check(at, paths.last().is_none_or(|last| last.as_slice() < path), Reason::Order)?;
        paths.push(path.to_vec());
    }
    Ok(paths)
}

fn read_tags(reader: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let count = reader.count(MANIFEST_LIST_MAX, 2)?;
    let mut tags: Vec<String> = Vec::with_capacity(count);
    for _ in 0..count {
        let at = reader.position();
        let tag = reader.text(LABEL_BYTES_MAX)?;
        reader.check(at, !tag.is_empty(), Reason::Value)?;
        reader.check(at, tags.last().is_none_or(|last| last.as_str() < tag), Reason::Order)?;
        tags.push(tag.to_string());
    }
    Ok(tags)
}

fn read_options(reader: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let count = reader.count(MANIFEST_LIST_MAX, 1)?;
    (0..count).map(|_| Ok(reader.text(OPTION_BYTES_MAX)?.to_string())).collect()
}

impl SignedManifest {
    /// The bytes before the signature, which is what is signed (after domain and store id).
    pub fn unsigned_bytes(manifest: &Manifest, signer: &[u8; 32]) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        manifest.put(&mut out);
        out.extend_from_slice(signer);
        out
    }

    /// All bytes: the manifest's fields in the order they are declared, `signer 32 · signature 64`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Self::unsigned_bytes(&self.manifest, &self.signer);
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads a manifest back. The signature is not checked here.
    pub fn decode(bytes: &[u8]) -> Result<SignedManifest, DecodeError> {
        let mut reader = Reader::limited("snapshot", bytes, MANIFEST_BYTES_MAX)?;
        let manifest = Manifest::read(&mut reader)?;
        let at = reader.position();
        let signed = SignedManifest { manifest, signer: reader.array()?, signature: reader.array()? };
        reader.check(at + 32, signed.signer != [0; 32] || signed.signature == [0; 64], Reason::NotCanonical)?;
        reader.finish()?;
        Ok(signed)
    }
}
