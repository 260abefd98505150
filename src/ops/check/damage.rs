//! What damage costs: nothing where all that is needed of it lies elsewhere too. And what is put on record.

use super::findings::Findings;
use super::index::Catalogue;
use super::packs::Bad;
use super::records::Records;
use super::tree::Needs;
use super::{Severity, Subject};
use crate::base::id::ObjectId;
use crate::object::reader::pack_key;
use crate::store::Store;
use std::collections::BTreeSet;

/// Said of damage that costs nothing.
const NEEDLESS: &str = "nothing needs it: what it held lies elsewhere too, or is of no snapshot";
/// Hosts and paths that are named.
const SOURCES_SHOWN: usize = 4;

/// Says what is damaged and how bad that is, and notes it for the record.
pub(super) fn judge(store: &Store, catalogue: &Catalogue, findings: &Findings<'_>, bad: &[Bad], needs: &Needs) {
    missing(catalogue, findings, needs);
    let tell = |needed: bool, subject: Subject, what: &str| match needed {
        true => findings.add(Severity::Damage, subject, what),
        false => findings.add(Severity::Notice, subject, format!("{what} ({NEEDLESS})")),
    };
    for Bad { kind, id, listed, unreadable, all, structure, whole, blobs } in bad.iter().filter(|bad| !bad.unreadable) {
        debug_assert!(!unreadable);
        let name = pack_key(*kind, *id);
        // What no segment lists, nothing can need.
        let of = |offset: Option<u32>| *listed && (*all || needs.needs(id, offset));
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
        tell(needs.needs(id, Some(*offset)), Subject::Blob(pack_key(*kind, *id), *offset), what);
        store.note_damage(*id, Some(*offset));
    }
}

/// Packs that the index lists and the storage lacks, or has in another length. Every listing shows them: they need no
/// record.
fn missing(catalogue: &Catalogue, findings: &Findings<'_>, needs: &Needs) {
    let mut packs: Vec<_> = catalogue.packs.iter().filter(|(_, pack)| pack.listed).collect();
    packs.sort_unstable_by_key(|(key, _)| **key);
    for ((kind, id), pack) in packs {
        let what = match pack.stored_len {
            None => "the pack is missing; the index lists it".to_string(),
            Some(len) if len != u64::from(pack.listed_len) => {
                format!("the pack has {len} bytes; the index gives it {}", pack.listed_len)
            }
            Some(_) => continue,
        };
        let (severity, what) = match needs.needs(id, None) {
            true => (Severity::Damage, what),
            false => (Severity::Notice, format!("{what} ({NEEDLESS})")),
        };
        findings.add(severity, Subject::Object(pack_key(*kind, *id)), what);
    }
}

/// Says which backups may bring back what is lost.
pub(super) fn advise(findings: &Findings<'_>, records: &Records) {
    let affected = findings.affected_snapshots();
    let sources: BTreeSet<String> = records
        .snapshots
        .iter()
        .filter(|(id, _)| affected.contains(id))
        .map(|(_, manifest)| {
            let paths: Vec<_> = manifest.paths.iter().map(|path| String::from_utf8_lossy(path)).collect();
            format!("of {} on {}", paths.join(" "), manifest.host)
        })
        .collect();
    if sources.is_empty() {
        return;
    }
    let more = if sources.len() > SOURCES_SHOWN { " and others" } else { "" };
    let some: Vec<String> = sources.into_iter().take(SOURCES_SHOWN).collect();
    let message = format!(
        "what is damaged is stored anew by the next backup that still finds it: run the backup {}{more} again, then \
         check again",
        some.join(", ")
    );
    findings.add(Severity::Notice, Subject::Store, message);
}
