//! What other manifests say about a manifest whose session has no outcome: either it was committed and the outcome is
//! lost, or its run was killed before.
//!
//! A manifest names the host's manifest before it (`previous`) and the newest ones of other hosts (`heads`), and only
//! those that its host has seen committed. So a manifest that is named was committed. A manifest that its own host's
//! next run skipped, in favour of an earlier one, was never committed, unless both runs took place at the same time
//! and did not see each other.

use super::snapshots::DamagedSnapshot;
use super::state::State;
use super::{Store, StoreError};
use crate::base::id::ObjectId;
use crate::base::time::Time;
use crate::format::snapshot::{Head, SignedManifest};
use crate::storage::{StorageErrorKind, StorageKey};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};

/// What is told of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Testimony {
    /// Another manifest names it: it was committed.
    Committed,
    /// Its host went on without it: it was not.
    Never,
    /// Nobody can tell.
    Unknown,
}

/// What manifests whose signatures fit say of one another.
#[derive(Default)]
pub(crate) struct Witnesses {
    named: HashMap<ObjectId, Head>,
    sequences: HashMap<ObjectId, u64>,
    /// Of each signer, by sequence: when the run began, and the manifest before it.
    runs: HashMap<[u8; 32], BTreeMap<u64, Run>>,
}

/// When a run began, and the manifest before its own.
type Run = (Time, Option<ObjectId>);

impl Witnesses {
    /// Takes in a manifest whose signature fits.
    pub fn hear(&mut self, id: ObjectId, signed: &SignedManifest) {
        let manifest = &signed.manifest;
        let before = |previous| Head {
            signer: signed.signer,
            sequence: manifest.sequence.saturating_sub(1),
            manifest: previous,
        };
        let named = manifest.previous.map(before).into_iter().chain(manifest.heads.iter().copied());
        self.named.extend(named.map(|head| (head.manifest, head)));
        self.sequences.insert(id, manifest.sequence);
        self.runs.entry(signed.signer).or_default().insert(manifest.sequence, (manifest.started, manifest.previous));
    }

    /// Every manifest that one of them names, with its signer, and a number that its own is not above.
    pub fn named(&self) -> impl Iterator<Item = &Head> {
        self.named.values()
    }

    /// What they say of this one.
    pub fn of(&self, id: &ObjectId, signed: &SignedManifest) -> Testimony {
        if self.named.contains_key(id) {
            return Testimony::Committed;
        }
        let (sequence, ended) = (signed.manifest.sequence, signed.manifest.ended);
        let next = self.runs.get(&signed.signer).and_then(|runs| runs.range((Excluded(sequence), Unbounded)).next());
        let is_before = |id: &ObjectId| self.sequences.get(id).is_some_and(|before| *before < sequence);
        match next {
            Some((_, (started, previous))) if *started >= ended && previous.as_ref().is_none_or(is_before) => {
                Testimony::Never
            }
            _ => Testimony::Unknown,
        }
    }
}

impl Store {
    /// Snapshots of which nothing is left in the store: others name them, or this machine has seen them (`seen`), and nobody
    /// removed them. What is known of the store need not be asked for.
    pub(crate) fn gone_snapshots(
        &self,
        state: &State,
        witnesses: &Witnesses,
        seen: &[Head],
        is_known: &dyn Fn(&ObjectId) -> bool,
    ) -> Vec<DamagedSnapshot> {
        // One that was committed a moment ago is there.
        let is_gone = |id: &ObjectId| {
            let found = self.storage.head(&StorageKey::Snapshot(*id));
            found.is_err_and(|e| matches!(e.kind, StorageErrorKind::NotFound | StorageErrorKind::NoFile))
        };
        let named = witnesses.named().map(|head| (head, None, "another snapshot names it"));
        let seen = seen.iter().map(|head| (head, Some(&head.signer), "this machine has seen it committed"));
        let mut gone = BTreeMap::new();
        for (head, signer, who) in named.chain(seen).filter(|(head, ..)| !is_known(&head.manifest)) {
            if !self.is_removed(state, &head.manifest, signer) && is_gone(&head.manifest) {
                gone.insert(head.manifest, (*head, who));
            }
        }
        let damaged = gone.into_iter().map(|(id, (head, who))| DamagedSnapshot {
            id,
            error: StoreError::SnapshotGone { who },
            signed: None,
            head: Some(head),
        });
        damaged.collect()
    }
}
