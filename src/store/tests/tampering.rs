//! Changed bytes and forged objects: refused, and named.

use super::*;
use crate::crypto::hash::object_id;
use crate::crypto::sign::{Domain, SigningKey};
use crate::format::envelope::ObjectKind;
use crate::format::session::{Outcome, Verdict};
use crate::format::snapshot::SignedManifest;
use crate::object::envelope;
use crate::storage::{Area, StorageKey};
use crate::store::trust::Authenticity;

#[test]
fn every_changed_byte_of_every_object_is_found_and_costs_nothing_else() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    let snapshot = backup(&store, "host", b"precious").unwrap().snapshot;
    drop(store);
    let mut areas = std::collections::HashMap::new();
    for key in memory.keys() {
        if matches!(key.area(), Area::Config | Area::Keys) || matches!(key, StorageKey::Lease(_)) {
            continue;
        }
        let bytes = memory.get(&key, usize::MAX).unwrap();
        // Padding and table of a pack are read by checks only.
        let (step, until) = if matches!(key.area(), Area::Packs | Area::Trees) { (7, 112) } else { (11, bytes.len()) };
        for at in (0..until).step_by(step) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            memory.replace(&key, changed);
            std::fs::remove_dir_all(&machine.places.cache).unwrap();
            let store = machine.open(&storage).unwrap();
            match restore(&store, snapshot) {
                // One copy of a pack's header is enough.
                Ok(content) => {
                    assert!(content == b"precious" && at < 81 && matches!(key.area(), Area::Packs | Area::Trees))
                }
                Err(error) => {
                    assert!(error.is_damage(), "{key} byte {at}: {error}");
                    *areas.entry(key.area()).or_insert(0) += 1;
                }
            }
        }
        memory.replace(&key, bytes);
    }
    assert!(areas.len() >= 4 && areas.values().all(|found| *found > 2), "found in {areas:?}");
    let store = machine.open(&storage).unwrap();
    assert_eq!(restore(&store, snapshot).unwrap(), b"precious");
}

#[test]
fn a_manifest_that_cannot_be_read_is_told_and_not_hidden() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    let bad = backup(&store, "host", b"one").unwrap().snapshot;
    let good = backup(&store, "host", b"two").unwrap().snapshot;
    memory.replace(&StorageKey::Snapshot(bad), vec![0; 500]);
    std::fs::remove_dir_all(&machine.places.cache).unwrap();
    let store = machine.open(&storage).unwrap();
    let (snapshots, damaged) = store.snapshots().unwrap();
    assert_eq!(snapshots.iter().map(|s| s.id).collect::<Vec<_>>(), [good]);
    assert_eq!(damaged.iter().map(|d| d.id).collect::<Vec<_>>(), [bad]);
    let error = store.find_snapshot(&bad.to_string()).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains(&bad.to_string()));
    // The rest goes on.
    assert_eq!(restore(&store, good).unwrap(), b"two");
    backup(&store, "host", b"three").unwrap();
    let removal = crate::format::state::Record::Removal { snapshots: vec![bad] };
    super::listing::put_record(&store, store.maintainer.as_ref().unwrap(), removal);
    assert!(store.snapshots().unwrap().1.is_empty(), "a maintainer removed it");
}

/// Puts a manifest and an outcome that names it into the store, each made by whoever is given.
fn forge(
    store: &Store,
    manifest: &Manifest,
    change: impl FnOnce(&mut SignedManifest),
    outcome_by: &SigningKey,
) -> ObjectId {
    let (manifest, signer) = (manifest.clone(), store.host_key.public());
    let mut signed = SignedManifest { manifest, signer, signature: [0; 64] };
    signed.manifest.session = crate::base::id::SessionId(crate::crypto::keys::random_bytes());
    let message = SignedManifest::unsigned_bytes(&signed.manifest, &signed.signer);
    signed.signature = store.host_key.sign(Domain::Manifest, &store.id(), &message);
    change(&mut signed);
    let session = signed.manifest.session;
    let sealed = envelope::seal(&store.ring, ObjectKind::Manifest, &signed.encode());
    let id = object_id(&sealed);
    store.storage.put_if_absent(&StorageKey::Snapshot(id), &sealed).unwrap();
    let mut outcome = Outcome {
        session,
        verdict: Verdict::Committed(id),
        segments: Vec::new(),
        summary: [0; 5],
        extensions: Vec::new(),
        signer: outcome_by.public(),
        signature: [0; 64],
    };
    outcome.signature = outcome_by.sign(Domain::Outcome, &store.id(), &outcome.unsigned_bytes());
    let sealed = envelope::seal(&store.ring, ObjectKind::Outcome, &outcome.encode());
    store.storage.put_if_absent(&StorageKey::Outcome(session), &sealed).unwrap();
    id
}

#[test]
fn forged_manifests_and_outcomes_are_told_apart() {
    let (_machine, _, store) = new_store();
    backup(&store, "host", b"one").unwrap();
    let maintainer = store.maintainer.as_ref().unwrap();
    let stranger = SigningKey::from_seed(&[66; 32]);
    let base = store.find_snapshot("latest").unwrap().manifest;
    let true_one = forge(&store, &base, |_| (), &store.host_key);
    let tampered = forge(&store, &base, |signed| signed.manifest.user = "someone".into(), &store.host_key);
    let unsigned = forge(&store, &base, |signed| (signed.signer, signed.signature) = ([0; 32], [0; 64]), maintainer);
    let doubtful = forge(&store, &base, |_| (), &stranger);
    let (snapshots, damaged) = store.snapshots().unwrap();
    let verdict = |id| snapshots.iter().find(|s| s.id == id).map(|s| s.authenticity.clone());
    assert_eq!(verdict(true_one), Some(Authenticity::Authentic));
    assert_eq!(verdict(tampered), Some(Authenticity::Tampered));
    assert_eq!(verdict(unsigned), Some(Authenticity::Unsigned));
    assert_eq!(verdict(doubtful), None);
    assert!(matches!(&damaged[..], [d] if d.id == doubtful && matches!(d.error, StoreError::Doubt { .. })));
    // What is not authentic is never a parent.
    let parent = store.find_parent("host", &[b"/".to_vec()]).unwrap().unwrap();
    assert_eq!(parent.authenticity, Authenticity::Authentic);
}

#[test]
fn an_outcome_moved_to_another_session_settles_nothing() {
    let (_machine, memory, store) = new_store();
    backup(&store, "host", b"one").unwrap();
    let first = store.find_snapshot("latest").unwrap().manifest.session;
    let session = begin(&store, "host").unwrap();
    let manifest = store_tree(&session, "host", b"two").unwrap();
    let moved = memory.get(&StorageKey::Outcome(first), usize::MAX).unwrap();
    memory.put_if_absent(&StorageKey::Outcome(session.id()), &moved).unwrap();
    assert!(matches!(session.commit(manifest), Err(StoreError::Doubt { .. })));
}

#[test]
fn an_index_segment_that_cannot_be_read_is_noticed_and_the_rest_is_used() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    let one = backup(&store, "host", b"one").unwrap().snapshot;
    let segment = memory.keys().into_iter().find(|key| key.area() == Area::Index).unwrap();
    let two = backup(&store, "host", b"two").unwrap().snapshot;
    memory.replace(&segment, vec![0; 300]);
    std::fs::remove_dir_all(&machine.places.cache).unwrap();
    let store = machine.open(&storage).unwrap();
    assert_eq!(restore(&store, two).unwrap(), b"two");
    assert!(store.take_notices().iter().any(|notice| notice.contains(&segment.path())));
    assert!(restore(&store, one).is_err_and(|error| error.is_damage()));
    // What it listed is stored anew, and everything is whole again.
    backup(&store, "host", b"one").unwrap();
    assert_eq!(restore(&store, one).unwrap(), b"one");
}

#[test]
fn what_this_machine_has_cached_hides_no_damage() {
    let (_machine, memory, store) = new_store();
    let snapshot = backup(&store, "host", b"one").unwrap().snapshot;
    let name = snapshot.to_string();
    let session = store.find_snapshot(&name).unwrap().manifest.session;
    for key in [StorageKey::Snapshot(snapshot), StorageKey::Outcome(session)] {
        let bytes = memory.get(&key, usize::MAX).unwrap();
        let mut changed = bytes.clone();
        changed[60] ^= 1;
        memory.replace(&key, changed);
        // By its id it can be had even when only its session is in doubt; `latest` is what can be relied on.
        let by_id = || store.find_snapshot(&name).map(|found| found.authenticity);
        let in_doubt = |found: Result<Authenticity, StoreError>| match (key.area(), found) {
            (Area::Sessions, Ok(Authenticity::InDoubt { .. })) => true,
            (Area::Snapshots, Err(error)) => error.is_damage() || matches!(error, StoreError::NoSnapshot(_)),
            _ => false,
        };
        assert!(in_doubt(by_id()), "{key} changed");
        assert!(store.find_snapshot("latest").unwrap_err().is_damage(), "{key} changed");
        memory.replace(&key, bytes.clone());
        assert_eq!(by_id().unwrap(), Authenticity::Authentic);
        memory.delete(&key).unwrap();
        assert!(in_doubt(by_id()), "{key} deleted");
        store.find_snapshot("latest").unwrap_err();
        memory.put_if_absent(&key, &bytes).unwrap();
        store.find_snapshot(&name).unwrap();
    }
    // A listing reads what has another length or time again.
    memory.replace(&StorageKey::Snapshot(snapshot), vec![0; 500]);
    let (snapshots, damaged) = store.snapshots().unwrap();
    assert_eq!((snapshots.len(), damaged.len()), (0, 1));
}
