//! What other manifests tell of one whose session has no outcome: that it was committed and its outcome is lost, or that
//! its run was killed before.
//!
//! A host names its manifest before (`previous`) and the newest of the others (`heads`), and only such as it has seen
//! committed. So whoever is named was committed. One that its own host's next manifest passes over, for one before it,
//! never was.

use crate::base::id::ObjectId;
use crate::format::snapshot::SignedManifest;
use std::collections::{BTreeMap, HashMap, HashSet};
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
    named: HashSet<ObjectId>,
    sequences: HashMap<ObjectId, u64>,
    /// Of each signer, by sequence: the manifest that was before.
    previous: HashMap<[u8; 32], BTreeMap<u64, Option<ObjectId>>>,
}

impl Witnesses {
    /// Takes in a manifest whose signature fits.
    pub fn hear(&mut self, id: ObjectId, signed: &SignedManifest) {
        let manifest = &signed.manifest;
        self.named.extend(manifest.previous.iter().chain(manifest.heads.iter().map(|head| &head.manifest)));
        self.sequences.insert(id, manifest.sequence);
        self.previous.entry(signed.signer).or_default().insert(manifest.sequence, manifest.previous);
    }

    /// What they say of this one.
    pub fn of(&self, id: &ObjectId, signed: &SignedManifest) -> Testimony {
        if self.named.contains(id) {
            return Testimony::Committed;
        }
        let sequence = signed.manifest.sequence;
        let later = |by: &BTreeMap<u64, Option<ObjectId>>| {
            by.range((Excluded(sequence), Unbounded)).next().map(|(_, previous)| *previous)
        };
        match self.previous.get(&signed.signer).and_then(later) {
            Some(None) => Testimony::Never,
            Some(Some(before)) if self.sequences.get(&before).is_some_and(|before| *before < sequence) => {
                Testimony::Never
            }
            _ => Testimony::Unknown,
        }
    }
}
