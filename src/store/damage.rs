//! Records damage in the store, so that no later backup relies on what is damaged.
//!
//! A record is written after the fact and outside of any session. Its only effect is that the next backup that meets
//! the content stores it anew. So neither the order of writes nor the writer decides over anything that is stored. For
//! the same reason no record is ever withdrawn: a record of something that can be read again costs one more copy.

use super::state::State;
use super::{Store, StoreError};
use crate::base::id::ObjectId;
use crate::base::limits::MIB;
use crate::base::time::Time;
use crate::crypto::hash::object_id;
use crate::crypto::keys::random_bytes;
use crate::crypto::sign::Domain;
use crate::format::cursor::Reader;
use crate::format::extension::Extension;
use crate::format::state::{DamagedPack, Record, SignedRecord, put_damaged, read_damaged};
use crate::index::suspects::Suspects;
use crate::object::{ObjectError, envelope};
use crate::storage::{StorageErrorKind, StorageKey};
use std::collections::BTreeMap;

/// What could not be put on record, in this machine's cache.
const NAME: &str = "damage";
/// With more damaged blobs than this all of a pack counts as damaged.
const BLOBS_MAX: usize = 4096;
/// About how long one record gets.
const RECORD_BYTES: usize = MIB;
/// What one run writes; the rest is found again.
pub(super) const RECORDS_MAX: usize = 16;

/// Whether an error says that the bytes of a pack are wrong: not that it is gone, which every listing shows, nor that
/// this machine lacks a key, nor that the storage fails.
pub(crate) fn is_wrong(error: &ObjectError) -> bool {
    match error {
        ObjectError::Storage(e) => matches!(e.kind, StorageErrorKind::Short | StorageErrorKind::TooLarge),
        ObjectError::Decode { .. }
        | ObjectError::Crypto { .. }
        | ObjectError::Codec { .. }
        | ObjectError::Mismatch { .. } => true,
        ObjectError::Epoch { .. } | ObjectError::Unknown { .. } | ObjectError::TooLong { .. } => false,
    }
}

impl Store {
    /// A blob of a pack (`None`: all of it) reads wrong, again and again. From now on look-ups in the index do not find
    /// what lies there; [`Store::record_damage`] tells everybody.
    pub(crate) fn note_damage(&self, pack: ObjectId, blob: Option<u32>) {
        if self.damage.lock().add(pack, blob) {
            let mut place = Suspects::default();
            place.add(pack, blob);
            self.index.write().suspect(&place);
        }
    }

    /// Puts on record what reads wrong and is not on record yet, of packs and of the index; gives how many packs. Where the store cannot be written
    /// that is noticed, and kept in this machine's cache for its next session.
    pub fn record_damage(&self) -> u64 {
        self.record_damaged_index();
        let noted = self.damage.lock().clone();
        if noted.is_empty() {
            return 0;
        }
        match self.try_record(&noted) {
            Ok(0) => 0,
            Ok(packs) => {
                let what = if packs == 1 { "1 pack".to_string() } else { format!("{packs} packs") };
                self.notice(format!(
                    "damage in {what} is recorded in the store now. No backup relies on it any more, and the next one \
                     stores anew what it still finds; `larder check` names what is lost"
                ));
                packs
            }
            Err(error) => {
                let mut plain = Vec::new();
                put_damaged(&mut plain, &describe(&noted));
                self.cache.write(NAME, &plain);
                self.notice(format!(
                    "damage was found, but could not be recorded in the store; only this machine knows of it: {error}"
                ));
                0
            }
        }
    }

    fn try_record(&self, noted: &Suspects) -> Result<u64, StoreError> {
        let known = self.read_state()?.damaged;
        let mut fresh = Suspects::default();
        for (pack, blob) in noted.places() {
            let is_known = blob.map_or_else(|| known.has_whole(&pack), |blob| known.has(&pack, blob));
            if !is_known {
                fresh.add(pack, blob);
            }
        }
        let mut written = 0;
        let mut packs = describe(&fresh).into_iter().peekable();
        for _ in 0..RECORDS_MAX {
            let (mut some, mut bytes) = (Vec::new(), 0);
            while bytes < RECORD_BYTES
                && let Some(pack) = packs.next()
            {
                bytes += ObjectId::LEN + 5 * pack.blobs.len();
                some.push(pack);
            }
            if some.is_empty() {
                break;
            }
            written += some.len() as u64;
            self.write_damage(some, Vec::new())?;
        }
        if self.cache.read(NAME).is_some_and(|kept| !kept.is_empty()) {
            self.cache.write(NAME, &[]);
        }
        Ok(written)
    }

    pub(super) fn write_damage(&self, packs: Vec<DamagedPack>, extensions: Vec<Extension>) -> Result<(), StoreError> {
        if self.config.features_read_only != 0 {
            return Err(StoreError::NeedsNewer(self.config.features_read_only));
        }
        // Whoever holds the maintainer's key is known to every machine, a host only to those that have seen it.
        let signer = self.maintainer.as_ref().unwrap_or(&self.host_key);
        let mut signed = SignedRecord {
            record: Record::Damage { packs },
            created: Time::now(),
            unique: random_bytes(),
            extensions,
            signer: signer.public(),
            signature: [0; 64],
        };
        signed.signature = signer.sign(Domain::State, &self.id(), &signed.unsigned_bytes());
        let sealed = envelope::seal(&self.ring, signed.record.kind(), &signed.encode());
        self.storage.put_if_absent(&StorageKey::State(object_id(&sealed)), &sealed)?;
        Ok(())
    }

    /// What look-ups are not to rely on: what is on record, and what this machine could not put there.
    pub(crate) fn mistrust_damaged(&self, state: &State) {
        let kept = self.cache.read(NAME).and_then(|plain| read_damaged(&mut Reader::new("kept damage", &plain)).ok());
        let mut all = state.damaged.clone();
        for DamagedPack { id, blobs } in kept.unwrap_or_default() {
            add(&mut all, id, &blobs);
            // It is put on record as soon as that can be.
            add(&mut self.damage.lock(), id, &blobs);
        }
        if !all.is_empty() {
            self.index.write().suspect(&all);
        }
    }
}

/// Adds what a record says of one pack.
pub(super) fn add(suspects: &mut Suspects, pack: ObjectId, blobs: &[u32]) {
    if blobs.is_empty() {
        suspects.add(pack, None);
    }
    blobs.iter().for_each(|blob| _ = suspects.add(pack, Some(*blob)));
}

/// As a record has it.
fn describe(suspects: &Suspects) -> Vec<DamagedPack> {
    let mut packs: BTreeMap<ObjectId, Vec<u32>> = BTreeMap::new();
    for (pack, blob) in suspects.places() {
        packs.entry(pack).or_default().extend(blob);
    }
    let describe = |(id, mut blobs): (ObjectId, Vec<u32>)| {
        blobs.sort_unstable();
        if blobs.len() > BLOBS_MAX {
            blobs.clear();
        }
        DamagedPack { id, blobs }
    };
    packs.into_iter().map(describe).collect()
}
