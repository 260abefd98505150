//! How a session ends: it writes its index segment, the manifest, the outcome and a settled list, in this order, each
//! durable before the next. Then the backup is complete (`docs/ordering.md`).

use super::session::{Committed, Session, Written};
use super::trust::{note_head, pin};
use super::{Store, StoreError};
use crate::base::id::ObjectId;
use crate::crypto::hash::object_id;
use crate::crypto::sign::Domain;
use crate::format::envelope::ObjectKind;
use crate::format::session::Verdict;
use crate::format::snapshot::{Head, Manifest, SignedManifest};
use crate::object::envelope;
use crate::storage::{Created, StorageKey};
use std::sync::atomic::Ordering::Relaxed;

impl Session {
    /// index segment durable → W(snapshot) → W(outcome: committed) → R(settled list). `manifest.session`, `sequence`,
    /// `previous` and `heads` are filled in here; it is signed with the host key.
    pub fn commit(self, manifest: Manifest) -> Result<Committed, StoreError> {
        let rest = self.write_rest()?;
        let (signed, sealed) = self.step(|| self.store.sign_manifest(Manifest { session: self.id, ..manifest }))?;
        let snapshot = object_id(&sealed);
        self.step(|| self.put_sealed(StorageKey::Snapshot(snapshot), &sealed))?;
        let manifest = &signed.manifest;
        let milliseconds = self.started.elapsed().as_millis() as u64;
        let summary =
            [manifest.totals.bytes, manifest.stored_bytes, manifest.totals.files, manifest.errors, milliseconds];
        self.settle(Verdict::Committed(snapshot), summary)?;
        // From here on the snapshot exists, whatever this machine fails to note.
        let overhead_bytes = self.overhead.load(Relaxed);
        let store = self.store.clone();
        self.publish(rest);
        store.note_committed(snapshot, signed);
        Ok(Committed { snapshot, overhead_bytes })
    }

    /// Ends without a snapshot; what is durable is listed in a segment and counts (outcome "done").
    pub fn end(self) -> Result<(), StoreError> {
        let rest = self.write_rest()?;
        self.settle(Verdict::Done, [0, 0, 0, 0, self.started.elapsed().as_millis() as u64])?;
        self.publish(rest);
        Ok(())
    }

    /// The last segment, durable.
    fn write_rest(&self) -> Result<Option<Written>, StoreError> {
        self.step(|| self.write_segment(&mut self.progress.lock()))
    }

    /// Writes the outcome and makes sure that it is the one that holds.
    fn settle(&self, verdict: Verdict, summary: [u64; 5]) -> Result<(), StoreError> {
        self.step(|| {
            let segments = self.progress.lock().segments.clone();
            let sealed = self.store.seal_outcome(self.id, verdict, segments, summary);
            if self.put_sealed(StorageKey::Outcome(self.id), &sealed)? == Created::Exists {
                // Either somebody settled this session, or our own outcome arrived and the answer was lost.
                let there = self.store.read_outcome(self.id)?;
                if there.is_none_or(|there| there.verdict != verdict || there.signer != self.store.host_key.public()) {
                    return Err(StoreError::Settled);
                }
            }
            let state = self.store.read_state()?;
            match state.settled.get(&self.id) {
                Some(settled) if *settled != verdict || state.contested.contains(&self.id) => Err(StoreError::Settled),
                _ => Ok(()),
            }
        })
    }

    /// Puts the session's rows into the cached index. What fails here is made up for by the next reading of segments.
    fn publish(self, rest: Option<Written>) {
        let store = self.store.clone();
        let published = || -> Result<(), StoreError> {
            let run = rest.map(|written| written.run(&store)).transpose()?;
            let mut index = store.index.write();
            index.publish_private()?;
            if let Some(run) = run {
                index.install_finished(run)?;
            }
            index.merge()?;
            Ok(())
        };
        if let Err(error) = published() {
            store.notice(format!("the index cache could not be brought up to date: {error}"));
        }
        store.note_ended([self.id]);
    }
}

impl Store {
    /// Completes, signs and seals a manifest.
    fn sign_manifest(&self, mut manifest: Manifest) -> Result<(SignedManifest, Vec<u8>), StoreError> {
        // What this machine has seen of the store's manifests: own and others'.
        self.refresh_snapshots()?;
        let signer = self.host_key.public();
        let mut heads = self.trust.load()?.heads;
        self.known_heads().into_iter().for_each(|head| note_head(&mut heads, head));
        let own = heads.iter().find(|head| head.signer == signer).copied();
        manifest.sequence = self.trust.next_sequence(own.map_or(0, |head| head.sequence))?;
        manifest.previous = own.map(|head| head.manifest);
        heads.retain(|head| head.signer != signer);
        manifest.heads = heads;
        let signature =
            self.host_key.sign(Domain::Manifest, &self.id(), &SignedManifest::unsigned_bytes(&manifest, &signer));
        let signed = SignedManifest { manifest, signer, signature };
        let plain = signed.encode();
        // What is kept is what everyone will read: texts are mended when they are written.
        let signed = SignedManifest::decode(&plain)
            .map_err(|error| StoreError::Refused(format!("the snapshot cannot be described: {error}")))?;
        let sealed = envelope::seal(&self.ring, ObjectKind::Manifest, &plain);
        Ok((signed, sealed))
    }

    /// Remembers a snapshot that this machine has just committed.
    fn note_committed(&self, id: ObjectId, signed: SignedManifest) {
        let (signer, host) = (signed.signer, signed.manifest.host.clone());
        let head = Head { signer, sequence: signed.manifest.sequence, manifest: id };
        self.note_manifest(id, signed);
        let noted = self.trust.update(|trust| {
            note_head(&mut trust.heads, head);
            pin(trust, signer, &host);
        });
        if let Err(error) = noted {
            self.notice(format!("the snapshot is committed, but this machine could not record that: {error}"));
        }
    }
}
