//! What other manifests say about a manifest whose session has no outcome: either it was committed and the outcome is
//! lost, or its run was killed before.
//!
//! A manifest names the host's manifest before it (`previous`) and the newest ones of other hosts (`heads`), and only
//! those that its host has seen committed. So a manifest that is named was committed. A manifest that its own host's
//! next run skipped, in favour of an earlier one, was never committed, unless both runs took place at the same time
//! and did not see each other.

use crate::base::id::ObjectId;
use crate::base::time::Time;
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
    /// Of each signer, by sequence: when the run began, and the manifest before it.
    runs: HashMap<[u8; 32], BTreeMap<u64, Run>>,
}

/// When a run began, and the manifest before its own.
type Run = (Time, Option<ObjectId>);

impl Witnesses {
    /// Takes in a manifest whose signature fits.
    pub fn hear(&mut self, id: ObjectId, signed: &SignedManifest) {
        let manifest = &signed.manifest;
        self.named.extend(manifest.previous.iter().chain(manifest.heads.iter().map(|head| &head.manifest)));
        self.sequences.insert(id, manifest.sequence);
        self.runs.entry(signed.signer).or_default().insert(manifest.sequence, (manifest.started, manifest.previous));
    }

    /// Every manifest that one of them names.
    pub fn named(&self) -> impl Iterator<Item = &ObjectId> {
        self.named.iter()
    }

    /// What they say of this one.
    pub fn of(&self, id: &ObjectId, signed: &SignedManifest) -> Testimony {
        if self.named.contains(id) {
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
