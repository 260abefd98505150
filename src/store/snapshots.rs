//! Lists snapshots, and finds them by name.

use super::manifests::Judged;
use super::newest::{self, Wanted};
use super::state::State;
use super::trust::{Authenticity, note_head, pin, unusable};
use super::witnesses::Witnesses;
use super::{Store, StoreError, WRITER};
use crate::base::id::{ObjectId, hex};
use crate::base::time::Time;
use crate::format::snapshot::{Head, Manifest, SignedManifest};
use crate::format::trust::Trust;
use crate::storage::{Area, StorageKey};
use std::collections::HashSet;
use std::sync::Arc;

/// A snapshot that counts: its session's outcome names it, and it is not removed.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The snapshot's id: the hash of its sealed manifest.
    pub id: ObjectId,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Who signed it.
    pub signer: [u8; 32],
    /// Whether that holds.
    pub authenticity: Authenticity,
}

/// A manifest that could not be used.
#[derive(Debug)]
pub struct DamagedSnapshot {
    /// The snapshot's id.
    pub id: ObjectId,
    /// What is wrong with it.
    pub error: StoreError,
    /// What it says of itself, where only its session is in doubt.
    pub signed: Option<Arc<SignedManifest>>,
    /// Who signed it, and a number that its own is not above, where no more than that is left of it.
    pub(super) head: Option<Head>,
}

impl DamagedSnapshot {
    /// Whether it may be what somebody means who asks for the newest and would get `found`.
    fn may_be_meant(&self, wanted: &Wanted, found: &Snapshot) -> bool {
        if let Some(head) = &self.head {
            return match head.signer == found.signer {
                true => head.sequence > found.manifest.sequence,
                // Of what this machine made the newest is meant, unless a host is named.
                false => wanted.here.is_none() || !wanted.select.hosts.is_empty(),
            };
        }
        self.signed.as_ref().is_none_or(|signed| {
            let (manifest, of_found) = (&signed.manifest, &found.manifest);
            let is_newer = match signed.signer == found.signer {
                true => manifest.sequence > of_found.sequence,
                false => manifest.time > of_found.time,
            };
            is_newer && wanted.select.selects_manifest(manifest)
        })
    }
}

/// Shortest beginning of an id that names a snapshot.
const PREFIX_DIGITS_MIN: usize = 4;

/// Of the others, those that say they are newer than what was found, and whose signature does not fit: they are not taken,
/// and not passed over without a word.
fn passed_over(found: &Snapshot, others: Vec<Snapshot>) -> impl Iterator<Item = DamagedSnapshot> {
    let time = found.manifest.time;
    let doubtful = |a: &Authenticity| matches!(a, Authenticity::Unsigned | Authenticity::Tampered);
    let others = others.into_iter().filter(move |other| doubtful(&other.authenticity) && other.manifest.time > time);
    others.map(|Snapshot { id, manifest, authenticity, .. }| {
        let reason = match authenticity {
            Authenticity::Unsigned => format!("snapshot {id} claims to be newer, but is not signed"),
            _ => format!("snapshot {id} claims to be newer, but its signature does not fit"),
        };
        DamagedSnapshot { id, error: StoreError::Doubt { session: manifest.session, reason }, signed: None, head: None }
    })
}

impl Store {
    /// All snapshots, oldest first, and those that cannot be read. A manifest that cannot be read is hidden only when a
    /// maintainer removed it.
    pub fn snapshots(&self) -> Result<(Vec<Snapshot>, Vec<DamagedSnapshot>), StoreError> {
        self.snapshots_under(&self.read_state()?)
    }

    /// The same, whatever this machine has cached: the outcome of each session is read anew, and what none vouches for is
    /// not among them.
    pub fn snapshots_confirmed(&self) -> Result<(Vec<Snapshot>, Vec<DamagedSnapshot>), StoreError> {
        self.forget_unconfirmed()?;
        self.snapshots()
    }

    fn snapshots_under(&self, state: &State) -> Result<(Vec<Snapshot>, Vec<DamagedSnapshot>), StoreError> {
        let (mut judged, mut damaged) = self.verified_manifests(state)?;
        judged.retain(|judged| !self.is_removed(state, &judged.id, Some(&judged.signed.signer)));
        damaged.retain(|damaged| !self.is_removed(state, &damaged.id, Some(&[0; 32])));
        // The first signature of a label pins its signer: so in the order of time.
        judged.sort_by_key(|judged| (judged.signed.manifest.time, judged.id));
        let seen = self.seen()?;
        let mut witnesses = Witnesses::default();
        judged.iter().filter(|one| one.valid).for_each(|one| witnesses.hear(one.id, &one.signed));
        let ids: HashSet<ObjectId> = judged.iter().map(|one| one.id).chain(damaged.iter().map(|one| one.id)).collect();
        damaged.extend(self.gone_snapshots(state, &witnesses, &seen.heads, &|id| ids.contains(id)));
        let verdicts = self.authenticate(&judged, seen)?;
        let snapshots = judged.into_iter().zip(verdicts).map(|(judged, authenticity)| Snapshot {
            id: judged.id,
            manifest: judged.signed.manifest.clone(),
            signer: judged.signed.signer,
            authenticity,
        });
        Ok((snapshots.collect(), damaged))
    }

    /// Holds signers against what this machine has seen (`before`), and the trust file learns of new ones and of new heads.
    fn authenticate(&self, judged: &[Judged], before: Trust) -> Result<Vec<Authenticity>, StoreError> {
        let mut trust = before.clone();
        let forgotten: Vec<Authenticity> =
            judged.iter().map(|judged| self.authenticate_one(&mut trust, judged)).collect();
        if trust == before {
            return Ok(forgotten);
        }
        let mut verdicts: Vec<Authenticity> = Vec::with_capacity(judged.len());
        let learn = |trust: &mut Trust| {
            verdicts.extend(judged.iter().map(|judged| self.authenticate_one(trust, judged)));
        };
        if let Err(error) = self.trust.update(learn) {
            let mut notices = Vec::new();
            unusable(error, &mut notices)?;
            notices.into_iter().for_each(|notice| self.notice(notice));
            return Ok(forgotten);
        }
        for (judged, _) in judged.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == Authenticity::PinnedNow) {
            let (signer, host) = (hex(&judged.signed.signer), &judged.signed.manifest.host);
            self.notice(format!(
                "snapshot {}: from now on this machine expects signer {signer} for host {host}",
                judged.id
            ));
        }
        Ok(verdicts)
    }

    fn authenticate_one(&self, trust: &mut Trust, judged: &Judged) -> Authenticity {
        let (signer, manifest) = (judged.signed.signer, &judged.signed.manifest);
        if signer == [0; 32] {
            return Authenticity::Unsigned;
        }
        if !judged.valid {
            return Authenticity::Tampered;
        }
        let pinned = pin(trust, signer, &manifest.host);
        let verdict = match pinned {
            // This machine knows itself, and those that a maintainer wrote into the roster.
            Authenticity::UnknownSigner | Authenticity::PinnedNow
                if signer == self.host_key.public() || self.has_role(&signer, WRITER) =>
            {
                Authenticity::Authentic
            }
            other => other,
        };
        if matches!(verdict, Authenticity::Authentic | Authenticity::PinnedNow) {
            note_head(&mut trust.heads, Head { signer, sequence: manifest.sequence, manifest: judged.id });
        }
        verdict
    }

    /// `latest`, a full id or a unique prefix of one (at least 4 digits). It is read from the store, not from the cache.
    pub fn find_snapshot(&self, name: &str) -> Result<Snapshot, StoreError> {
        Ok(self.find_snapshot_among(name, &Wanted::default())?.0)
    }

    /// The same among those that somebody asks for; with those that cannot be relied on and may have been meant: a newer
    /// one than `latest` gave.
    pub fn find_snapshot_among(
        &self,
        name: &str,
        wanted: &Wanted,
    ) -> Result<(Snapshot, Vec<DamagedSnapshot>), StoreError> {
        let state = self.read_state()?;
        let (snapshots, damaged) = self.snapshots_under(&state)?;
        if name == "latest" {
            let (candidates, beside) = wanted.candidates(snapshots, &self.host_key.public());
            if candidates.is_empty() && damaged.is_empty() && !wanted.select.is_all() {
                return Err(StoreError::NoMatch(newest::NONE_SELECTED.into()));
            }
            let found = self.find_latest(wanted, candidates, damaged, &state)?;
            if let Some(newer) = newest::newer(&found.0, &beside, Time::now()) {
                let (id, host, signer) = (newer.id, &newer.manifest.host, hex(&newer.signer));
                self.notice(format!(
                    "snapshot {id} is newer, but was not taken as latest: it has this machine's name {host}, and \
                     another key {signer} signed it. Use its id, or --host {host}"
                ));
            }
            return Ok(found);
        }
        let (found, damaged) = self.find_named(name, snapshots, damaged, &state)?;
        if !wanted.select.selects(&found) {
            let (id, host) = (found.id, &found.manifest.host);
            return Err(StoreError::NoMatch(format!(
                "snapshot {id} of host {host} does not match --host, --path and --tag"
            )));
        }
        Ok((found, damaged))
    }

    /// By its id.
    fn find_named(
        &self,
        name: &str,
        snapshots: Vec<Snapshot>,
        damaged: Vec<DamagedSnapshot>,
        state: &State,
    ) -> Result<(Snapshot, Vec<DamagedSnapshot>), StoreError> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if name.len() < PREFIX_DIGITS_MIN || !name.bytes().all(digits) {
            return Err(StoreError::NoSnapshot(name.into()));
        }
        let is_meant = |id: &ObjectId| id.to_string().starts_with(name);
        let mut meant: Vec<_> = snapshots.into_iter().filter(|snapshot| is_meant(&snapshot.id)).collect();
        let mut damaged: Vec<_> = damaged.into_iter().filter(|damaged| is_meant(&damaged.id)).collect();
        let found = match (meant.len(), damaged.len()) {
            (1, 0) => match self.confirm(meant.remove(0), state) {
                Err((id, error)) => self.in_doubt(id, error),
                Ok(snapshot) => Ok(snapshot),
            },
            (0, 1) => {
                let DamagedSnapshot { id, error, .. } = damaged.remove(0);
                self.in_doubt(id, error)
            }
            (0, 0) => match self.uncommitted(name, state)? {
                Some(id) => self.in_doubt(id, StoreError::NoSnapshot(name.into())),
                None => Err(StoreError::NoSnapshot(name.into())),
            },
            _ => Err(StoreError::Ambiguous(name.into())),
        };
        Ok((found?, Vec::new()))
    }

    /// The newest that the store still vouches for.
    fn find_latest(
        &self,
        wanted: &Wanted,
        mut snapshots: Vec<Snapshot>,
        mut damaged: Vec<DamagedSnapshot>,
        state: &State,
    ) -> Result<(Snapshot, Vec<DamagedSnapshot>), StoreError> {
        newest::sort(&mut snapshots, Time::now());
        while let Some(newest) = snapshots.pop() {
            match self.confirm(newest, state) {
                Ok(snapshot) => {
                    damaged.retain(|damaged| damaged.may_be_meant(wanted, &snapshot));
                    damaged.extend(passed_over(&snapshot, snapshots));
                    return Ok((snapshot, damaged));
                }
                Err((id, error)) if error.is_damage() || error.is_unreadable() => {
                    damaged.push(DamagedSnapshot { id, error, signed: None, head: None })
                }
                // Removed since it was listed.
                Err((_, StoreError::NoSnapshot(_))) => {}
                Err((_, error)) => return Err(error),
            }
        }
        match damaged.pop() {
            Some(DamagedSnapshot { error, .. }) => Err(error),
            None => Err(StoreError::NoSnapshot("latest".into())),
        }
    }

    /// Reads a listed snapshot again.
    fn confirm(&self, listed: Snapshot, state: &State) -> Result<Snapshot, (ObjectId, StoreError)> {
        let Snapshot { id, authenticity: known, .. } = listed;
        let judged = self.judge_again(id, state).map_err(|error| (id, error))?;
        let verdicts = self.seen().and_then(|seen| self.authenticate(std::slice::from_ref(&judged), seen));
        let verdicts = verdicts.map_err(|error| (id, error))?;
        // What was pinned a moment ago, while listing, is new to the person.
        let authenticity = verdicts.into_iter().next().filter(|v| *v != Authenticity::Authentic).unwrap_or(known);
        let signed = &judged.signed;
        Ok(Snapshot { id, manifest: signed.manifest.clone(), signer: signed.signer, authenticity })
    }

    /// A snapshot that was asked for by its id, and whose session does not vouch for it: it may be all there is.
    fn in_doubt(&self, id: ObjectId, error: StoreError) -> Result<Snapshot, StoreError> {
        let reason = match &error {
            StoreError::Doubt { reason, .. } => reason.clone(),
            StoreError::NoSnapshot(_) => {
                "its session has no outcome: the backup was killed, or the outcome was lost".into()
            }
            _ => return Err(error),
        };
        let Some(judged) = self.read_in_doubt(id)? else { return Err(error) };
        let authenticity = if judged.valid { Authenticity::InDoubt { reason } } else { Authenticity::Tampered };
        let signed = &judged.signed;
        Ok(Snapshot { id, manifest: signed.manifest.clone(), signer: signed.signer, authenticity })
    }

    /// The only manifest with this beginning of its id that no outcome names.
    fn uncommitted(&self, prefix: &str, state: &State) -> Result<Option<ObjectId>, StoreError> {
        let mut found = Vec::new();
        self.storage.list(Area::Snapshots, &mut |listed| match listed.key {
            StorageKey::Snapshot(id) if id.to_string().starts_with(prefix) => found.push(id),
            _ => {}
        })?;
        found.retain(|id| !self.is_removed(state, id, None));
        Ok(if found.len() == 1 { found.pop() } else { None })
    }

    /// Another machine's key that is pinned under this host label: what this machine signs under it others do not trust.
    pub fn other_signer(&self, host: &str) -> Result<Option<[u8; 32]>, StoreError> {
        let own = self.host_key.public();
        let signers = self.seen()?.signers;
        Ok(signers.into_iter().find(|(key, label)| label == host && *key != own).map(|(key, _)| key))
    }

    /// The newest committed snapshot of this host key, host label and paths. The outcome of its session is read anew:
    /// nothing is built on what it does not vouch for any more.
    pub fn find_parent(&self, host: &str, paths: &[Vec<u8>]) -> Result<Option<Snapshot>, StoreError> {
        let own = self.host_key.public();
        let state = self.read_state()?;
        let (snapshots, _) = self.snapshots_under(&state)?;
        let candidates = snapshots.into_iter().filter(|snapshot| {
            snapshot.signer == own
                && snapshot.authenticity == Authenticity::Authentic
                && snapshot.manifest.host == host
                && snapshot.manifest.paths == paths
        });
        let mut candidates: Vec<Snapshot> = candidates.collect();
        // Not by time: that can be chosen.
        candidates.sort_unstable_by_key(|snapshot| snapshot.manifest.sequence);
        while let Some(newest) = candidates.pop() {
            match self.confirm_manifest(newest.id, &newest.manifest, &newest.signer, &state)? {
                None => return Ok(Some(newest)),
                Some(reason) => {
                    self.notice(format!("snapshot {} is not compared with, since it is in doubt: {reason}", newest.id));
                }
            }
        }
        Ok(None)
    }
}
