//! Decides how grave each damaged blob is, and records the damage. A damaged blob costs nothing if no snapshot needs
//! it or another copy is good.

use super::findings::Findings;
use super::index::Catalogue;
use super::packs::Bad;
use super::records::Records;
use super::tree::{Need, Needs};
use super::{Severity, Subject};
use crate::base::id::ObjectId;
use crate::base::time::Time;
use crate::object::reader::pack_key;
use crate::storage::StorageErrorKind;
use crate::store::Store;
use std::collections::BTreeMap;

/// Said of damage that costs nothing.
const NEEDLESS: &str = "nothing needs it: its content also lies elsewhere, or belongs to no snapshot";
/// Said of damage while it is not known what that costs.
const NOT_KNOWN: &str = "larder knows whether anything needs it only when everything else can be read";
/// Hosts and paths that are named.
const SOURCES_SHOWN: usize = 4;

/// Says what is damaged and how bad that is, and notes it for the record.
pub(super) fn judge(store: &Store, catalogue: &Catalogue, findings: &Findings<'_>, bad: &[Bad], needs: &Needs) {
    missing(store, catalogue, findings, needs);
    let tell = |need: Need, subject: Subject, what: &str| tell(findings, need, subject, what);
    for Bad { kind, id, listed, unreadable, all, structure, whole, blobs } in bad.iter().filter(|bad| !bad.unreadable) {
        debug_assert!(!unreadable);
        let name = pack_key(*kind, *id);
        // What no segment lists, nothing can need.
        let of = |offset: Option<u32>| match (listed, all) {
            (false, _) => Need::No,
            (true, true) => Need::Yes,
            (true, false) => needs.of(id, offset),
        };
        if let Some(what) = whole {
            tell(of(None), Subject::Object(name), what);
        }
        for (offset, what) in blobs {
            tell(of(Some(*offset)), Subject::Blob(name, *offset), what);
        }
        match structure {
            true => store.note_damage(*id, None),
            false => blobs.keys().for_each(|offset| store.note_damage(*id, Some(*offset))),
        }
    }
    let named = |id: &ObjectId| bad.iter().any(|bad| bad.id == *id);
    for ((kind, id, offset), what) in needs.lost.iter().filter(|((_, id, _), _)| !named(id)) {
        tell(needs.of(id, Some(*offset)), Subject::Blob(pack_key(*kind, *id), *offset), what);
        store.note_damage(*id, Some(*offset));
    }
}

/// Says of something damaged how bad that is.
fn tell(findings: &Findings<'_>, need: Need, subject: Subject, what: &str) {
    match need {
        Need::Yes => findings.add(Severity::Damage, subject, what),
        Need::Unknown => findings.add(Severity::Unreadable, subject, format!("{what} ({NOT_KNOWN})")),
        Need::No => findings.add(Severity::Notice, subject, format!("{what} ({NEEDLESS})")),
    }
}

/// Packs that the index lists and the storage lacks, or has in another length. Every listing shows them: they need no
/// record.
fn missing(store: &Store, catalogue: &Catalogue, findings: &Findings<'_>, needs: &Needs) {
    let mut packs: Vec<_> = catalogue.packs.iter().filter(|(_, pack)| pack.listed).collect();
    packs.sort_unstable_by_key(|(key, _)| **key);
    for ((kind, id), pack) in packs {
        let what = match pack.stored_len {
            None => match store.storage.head(&pack_key(*kind, *id)) {
                Err(error) if error.kind == StorageErrorKind::NoFile => {
                    format!("the index lists this pack; {}", error.source)
                }
                _ => "the pack is missing; the index lists it".to_string(),
            },
            Some(len) if len != u64::from(pack.listed_len) => {
                format!("the pack has {len} bytes, but the index expects {}", pack.listed_len)
            }
            Some(_) => continue,
        };
        tell(findings, needs.of(id, None), Subject::Object(pack_key(*kind, *id)), &what);
    }
}

/// A host, and the paths that it backs up together.
type SourceOf<'a> = (&'a str, &'a [Vec<u8>]);

/// Says which backups may bring back what is lost, and of which sources none does: the newest snapshot of those lacks
/// nothing, and a backup that reads the same again finds nothing to store.
pub(super) fn advise(findings: &Findings<'_>, records: &Records) {
    let affected = findings.affected_snapshots();
    // Of each source its newest snapshot, and whether any is affected.
    let mut sources: BTreeMap<SourceOf<'_>, (Time, &ObjectId, bool)> = BTreeMap::new();
    for (id, manifest) in &records.snapshots {
        let source = sources.entry((&manifest.host, &manifest.paths)).or_insert((manifest.started, id, false));
        if manifest.started >= source.0 {
            (source.0, source.1) = (manifest.started, id);
        }
        source.2 |= affected.contains(id);
    }
    let named = |comes_back: bool| {
        let are_meant = sources.iter().filter(|(_, (_, newest, any))| *any && affected.contains(*newest) == comes_back);
        let name = |(host, paths): &SourceOf<'_>| {
            let paths: Vec<_> = paths.iter().map(|path| String::from_utf8_lossy(path)).collect();
            format!("of {} on {host}", paths.join(" "))
        };
        let names: Vec<String> = are_meant.map(|(source, _)| name(source)).collect();
        let more = if names.len() > SOURCES_SHOWN { " and others" } else { "" };
        let some: Vec<String> = names.into_iter().take(SOURCES_SHOWN).collect();
        (!some.is_empty()).then(|| some.join(", ") + more)
    };
    if let Some(sources) = named(true) {
        let message = format!(
            "the next backup that still finds the damaged content stores it anew: run the backup {sources} again, then \
             check again"
        );
        findings.add(Severity::Notice, Subject::Store, message);
    }
    if let Some(sources) = named(false) {
        let message = format!(
            "only older snapshots need what is lost, and the newest snapshot {sources} does not have it: a backup can \
             store it anew only if the files come back"
        );
        findings.add(Severity::Notice, Subject::Store, message);
    }
}
