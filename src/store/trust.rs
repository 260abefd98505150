//! What this machine has seen of a store: the expected signers, the newest snapshots and the newest config. It lies in
//! the configuration folder.

use super::{MachineFolders, StoreError, machine_files};
use crate::base::id::{ObjectId, StoreId};
use crate::base::limits::TRUST_BYTES_MAX;
use crate::format::snapshot::Head;
use crate::format::trust::Trust;
use std::io;
use std::path::PathBuf;

/// What is known of a snapshot's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authenticity {
    /// Signed by a pinned signer.
    Authentic,
    /// First signature of a member: pinned now.
    PinnedNow,
    /// Signed by someone who is neither pinned nor could be pinned (another key under a known host label).
    UnknownSigner,
    Unsigned,
    /// The signature does not fit.
    Tampered,
    /// The signature fits, and the session that made it does not vouch for it: its outcome is lost or cannot be read.
    InDoubt {
        reason: String,
    },
    /// Part of it is missing.
    Incomplete {
        missing: ObjectId,
    },
}

/// The trust file of one store. Every change reads it again under a lock: several processes may run.
pub struct TrustFile {
    store: StoreId,
    path: PathBuf,
}

/// Nothing seen yet.
pub fn blank(store: StoreId) -> Trust {
    Trust { store, config: 0, signers: Vec::new(), heads: Vec::new() }
}

impl TrustFile {
    /// The trust file of a store on this machine.
    pub fn new(places: &MachineFolders, store: StoreId) -> TrustFile {
        TrustFile { store, path: places.trust_file(store) }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(io::Error) -> StoreError {
        machine_files::failed(what, &self.path)
    }

    /// What it says; nothing seen when there is none. One that cannot be read is an error: it was written whole, and
    /// starting afresh would forget what is trusted.
    pub fn load(&self) -> Result<Trust, StoreError> {
        let bytes = machine_files::read(&self.path, TRUST_BYTES_MAX).map_err(self.failed("read the trust file"))?;
        let Some(bytes) = bytes else { return Ok(blank(self.store)) };
        let wrong = |reason: String| {
            let hint = "; restore a good copy of it, or remove it to trust the present state of the store";
            io::Error::new(io::ErrorKind::InvalidData, reason + hint)
        };
        match Trust::decode(&bytes) {
            Ok(trust) if trust.store == self.store => Ok(trust),
            Ok(_) => Err(self.failed("read the trust file")(wrong("is that of another store".into()))),
            Err(error) => Err(self.failed("read the trust file")(wrong(error.to_string()))),
        }
    }

    /// The same for those who only read: where the file cannot be used nothing has been seen, which is noticed.
    pub fn look(&self, notices: &mut Vec<String>) -> Result<Trust, StoreError> {
        self.load().or_else(|error| unusable(error, notices).map(|()| blank(self.store)))
    }

    /// What is wrong with its bytes, if it could be read: nothing is written to the store until somebody decides about it.
    pub fn damage(&self) -> Option<StoreError> {
        self.load().err().filter(is_damaged)
    }

    /// Whether a backup could note what it does: asked before it begins.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        self.load()?;
        drop(machine_files::lock(&self.beside(".lock")).map_err(self.failed("lock the trust file"))?);
        let folder = self.path.parent().unwrap_or(&self.path);
        machine_files::check_writable(&[folder]).map_err(self.failed("write the trust file"))
    }

    /// Changes it; nothing is written when nothing changes. Durable.
    pub fn update(&self, change: impl FnOnce(&mut Trust)) -> Result<Trust, StoreError> {
        let _lock = machine_files::lock(&self.beside(".lock")).map_err(self.failed("lock the trust file"))?;
        let before = self.load()?;
        let mut trust = before.clone();
        change(&mut trust);
        if trust != before {
            let written = machine_files::replace(&self.path, &trust.encode(), true);
            written.map_err(self.failed("write the trust file"))?;
        }
        Ok(trust)
    }

    /// The next sequence number of this machine's manifests: above `seen` and above all given out before, also to other
    /// processes. The file that counts need not be durable: a number that was used is known from its snapshot and from
    /// the heads.
    pub fn next_sequence(&self, seen: u64) -> Result<u64, StoreError> {
        let path = self.beside(".sequence");
        let _lock = machine_files::lock(&self.beside(".lock")).map_err(self.failed("lock the trust file"))?;
        let given = machine_files::read(&path, 64).map_err(machine_files::failed("read", &path))?;
        let given = given.and_then(|text| String::from_utf8(text).ok()?.trim().parse().ok()).unwrap_or(0);
        let next = seen.max(given).saturating_add(1);
        machine_files::replace(&path, format!("{next}\n").as_bytes(), false)
            .map_err(machine_files::failed("write", &path))?;
        Ok(next)
    }
}

fn is_damaged(error: &StoreError) -> bool {
    matches!(error, StoreError::Local { source, .. } if source.kind() == io::ErrorKind::InvalidData)
}

/// What a reader makes of a configuration folder that cannot be used: a notice. That the trust file itself is damaged is
/// more than that, and [`TrustFile::damage`] tells it.
pub fn unusable(error: StoreError, notices: &mut Vec<String>) -> Result<(), StoreError> {
    match &error {
        _ if is_damaged(&error) => Ok(()),
        StoreError::Local { .. } => {
            let notice = format!(
                "larder cannot compare the store with what this machine saw before, since the configuration folder \
                 cannot be used: {error}"
            );
            notices.push(notice);
            Ok(())
        }
        _ => Err(error),
    }
}

/// Notes the newest manifest of a signer.
pub fn note_head(heads: &mut Vec<Head>, head: Head) {
    match heads.binary_search_by(|known| known.signer.cmp(&head.signer)) {
        Ok(at) if heads[at].sequence < head.sequence => heads[at] = head,
        Ok(_) => {}
        Err(at) => heads.insert(at, head),
    }
}

/// Pins a signer under a label, unless it is pinned already or another one is under that label.
pub fn pin(trust: &mut Trust, signer: [u8; 32], label: &str) -> Authenticity {
    let owner = trust.signers.iter().find(|(_, pinned)| pinned == label);
    if owner.is_some_and(|(key, _)| *key != signer) {
        return Authenticity::UnknownSigner;
    }
    match trust.signers.binary_search_by(|(key, _)| key.cmp(&signer)) {
        Ok(_) => Authenticity::Authentic,
        Err(at) => {
            trust.signers.insert(at, (signer, label.to_owned()));
            Authenticity::PinnedNow
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::machine_folders::tests::machine;

    #[test]
    fn the_first_signer_of_a_label_is_pinned_and_another_is_not_known() {
        let mut trust = blank(StoreId([1; 16]));
        assert_eq!(pin(&mut trust, [5; 32], "web"), Authenticity::PinnedNow);
        assert_eq!(pin(&mut trust, [5; 32], "web"), Authenticity::Authentic);
        assert_eq!(pin(&mut trust, [4; 32], "web"), Authenticity::UnknownSigner);
        assert_eq!(pin(&mut trust, [4; 32], "mail"), Authenticity::PinnedNow);
        assert_eq!(pin(&mut trust, [5; 32], "renamed"), Authenticity::Authentic);
        assert_eq!(pin(&mut trust, [5; 32], "mail"), Authenticity::UnknownSigner);
        assert_eq!(Trust::decode(&trust.encode()), Ok(trust));
    }

    #[test]
    fn changes_of_several_processes_add_up_and_last() {
        let (_guard, places) = machine();
        let files = [0; 2].map(|_| TrustFile::new(&places, StoreId([1; 16])));
        std::thread::scope(|scope| {
            for (n, file) in files.iter().enumerate() {
                scope.spawn(move || {
                    for i in 0..10 {
                        let signer = [(10 * n + i) as u8; 32];
                        let head = Head { signer, sequence: 1, manifest: ObjectId([0; 32]) };
                        file.update(|trust| note_head(&mut trust.heads, head)).unwrap();
                    }
                });
            }
        });
        let heads = files[0].load().unwrap().heads;
        assert_eq!(heads.len(), 20);
        assert!(heads.is_sorted_by_key(|head| head.signer));
    }

    #[test]
    fn sequence_numbers_are_never_given_twice_and_follow_what_the_store_has_seen() {
        let (_guard, places) = machine();
        let files = [0; 2].map(|_| TrustFile::new(&places, StoreId([1; 16])));
        let numbers = parking_lot::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for file in &files {
                scope.spawn(|| (0..10).for_each(|_| numbers.lock().push(file.next_sequence(0).unwrap())));
            }
        });
        let mut numbers = numbers.into_inner();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=20).collect::<Vec<u64>>());
        assert_eq!(files[0].next_sequence(100).unwrap(), 101);
    }

    #[test]
    fn an_older_head_does_not_replace_a_newer_one() {
        let mut heads = Vec::new();
        for (sequence, byte) in [(2, 2), (1, 1), (3, 3), (3, 4)] {
            note_head(&mut heads, Head { signer: [1; 32], sequence, manifest: ObjectId([byte; 32]) });
        }
        assert_eq!(heads, [Head { signer: [1; 32], sequence: 3, manifest: ObjectId([3; 32]) }]);
    }

    #[test]
    fn a_damaged_trust_file_is_not_taken_for_an_empty_one() {
        let (_guard, places) = machine();
        let file = TrustFile::new(&places, StoreId([1; 16]));
        file.update(|trust| trust.config = 3).unwrap();
        let mut bytes = std::fs::read(places.trust_file(StoreId([1; 16]))).unwrap();
        bytes[20] ^= 1;
        std::fs::write(places.trust_file(StoreId([1; 16])), &bytes).unwrap();
        assert!(matches!(file.load(), Err(StoreError::Local { .. })));
    }
}
