//! Chunks, nodes and lists by id, through the fresh index of a check: where they lie, whether they are available, and
//! reading them.

use super::findings::{Findings, Flaw};
use super::index::{Catalogue, PackState};
use super::{Severity, Subject};
use crate::base::id::{ContentId, ObjectId};
use crate::base::limits::{BLOB_PLAIN_BYTES_MAX, KIB};
use crate::base::time::Time;
use crate::format::blob::BlobKind;
use crate::format::pack::PackKind;
use crate::index::Location;
use crate::object::reader::pack_key;
use crate::store::Store;
use crate::tree::blob::BlobReader;
use std::collections::{BTreeMap, HashSet};

/// What a sealed blob may add to its plaintext.
const BLOB_EXTRA_BYTES_MAX: usize = 64 * KIB;

/// Whether something can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Availability {
    /// From at least one place. When one of its places is damaged: since when it lies in one that is not.
    Here(Option<Time>),
    /// The storage failed, and no place is known to be good.
    Unreadable,
    /// The index gives places, and none of them is good.
    Damaged,
    /// The index does not know it.
    Unknown,
}

/// Where a blob lies: in which pack, at which offset.
pub(super) type BlobPlace = (PackKind, ObjectId, u32);

pub(super) struct Contents<'a> {
    pub catalogue: &'a Catalogue,
    findings: &'a Findings<'a>,
    /// Blobs that were read on the way and are damaged, with the reason.
    pub lost: BTreeMap<BlobPlace, String>,
    /// Blobs of damaged packs that are needed, since what they hold lies nowhere else.
    pub needed: HashSet<(ObjectId, u32)>,
    /// Whether a pack is damaged or missing: without that no place need be weighed.
    any_suspect: bool,
    found: Vec<Location>,
    blobs: BlobReader,
    plain: Vec<u8>,
}

impl<'a> Contents<'a> {
    pub fn new(store: &'a Store, catalogue: &'a Catalogue, findings: &'a Findings<'a>) -> Contents<'a> {
        Contents {
            catalogue,
            findings,
            lost: BTreeMap::new(),
            needed: HashSet::new(),
            any_suspect: catalogue.packs.values().any(PackState::is_suspect),
            found: vec![],
            blobs: BlobReader::new(store.storage.clone(), store.ring.clone()),
            plain: vec![],
        }
    }

    fn pack(&self, location: &Location) -> Option<&PackState> {
        self.catalogue.packs.get(&(location.pack_kind, location.pack))
    }

    fn is_good(&self, location: &Location) -> bool {
        let Some(pack) = self.pack(location) else { return false };
        let end = u64::from(location.blob_offset) + u64::from(location.blob_len);
        pack.stored_len.is_some_and(|len| end <= len)
            && !pack.unreadable
            && !pack.all_bad
            && !pack.bad.contains(&location.blob_offset)
    }

    fn is_unreadable(&self, location: &Location) -> bool {
        self.pack(location).is_some_and(|pack| pack.unreadable)
    }

    /// Whether nothing that comes later is to rely on this place.
    fn is_suspect(&self, location: &Location) -> bool {
        self.is_suspect_at((location.pack_kind, location.pack, location.blob_offset))
    }

    fn is_suspect_at(&self, place: BlobPlace) -> bool {
        let (kind, id, offset) = place;
        let bad = |pack: &PackState| pack.is_suspect() && (pack.is_all_suspect() || pack.bad.contains(&offset));
        self.catalogue.packs.get(&(kind, id)).is_none_or(bad) || self.lost.contains_key(&place)
    }

    /// Whether a damaged place was met, or a pack is damaged or missing.
    fn is_any_suspect(&self) -> bool {
        self.any_suspect || !self.lost.is_empty()
    }

    /// The blobs in damaged places that hold something which the index gives no other place for. `None`: the index cannot
    /// tell. Reads all of it: asked only when it is not known what is needed.
    pub fn lying_nowhere_else(&self) -> Option<HashSet<(ObjectId, u32)>> {
        let (mut lone, mut found) = (HashSet::new(), vec![]);
        if !self.is_any_suspect() {
            return Some(lone);
        }
        let read = self.catalogue.index.each_row(&mut |pack, row| {
            let at = (pack.id, row.blob_offset);
            if lone.contains(&at) || !self.is_suspect_at((pack.kind, pack.id, row.blob_offset)) {
                return;
            }
            found.clear();
            self.catalogue.index.locate(&row.id, &mut found);
            let is_same = |l: &Location| l.blob_kind == row.kind && l.inner_len == row.inner_len;
            if !found.iter().any(|l| is_same(l) && !self.is_suspect(l)) {
                lone.insert(at);
            }
        });
        read.ok().map(|()| lone)
    }

    /// Of the places of something that is needed: which damaged ones are, or since when it lies in another.
    fn weigh(&mut self, found: &[Location]) -> Option<Time> {
        if !self.is_any_suspect() || !found.iter().any(|l| self.is_suspect(l)) {
            return None;
        }
        let (mut solid, mut since) = (false, None);
        for location in found.iter().filter(|l| !self.is_suspect(l)) {
            solid = true;
            since = since.into_iter().chain(self.pack(location).and_then(|pack| pack.since)).min();
        }
        if solid {
            return since;
        }
        self.needed.extend(found.iter().map(|l| (l.pack, l.blob_offset)));
        None
    }

    /// Whether a chunk of this length can be had, as far as is known.
    pub fn chunk(&mut self, id: &ContentId, len: u32) -> Availability {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        self.catalogue.index.locate(id, &mut found);
        found.retain(|l| l.blob_kind == BlobKind::Chunks && l.inner_len == len);
        let since = self.weigh(&found);
        let availability = if found.iter().any(|l| self.is_good(l)) {
            Availability::Here(since)
        } else if found.is_empty() && !self.catalogue.incomplete {
            Availability::Unknown
        } else if self.catalogue.incomplete || found.iter().any(|l| self.is_unreadable(l)) {
            // What could not be read of the index may give a good place.
            Availability::Unreadable
        } else {
            Availability::Damaged
        };
        self.found = found;
        availability
    }

    /// The verified bytes of a node or list, from whichever place has them; when one of its places is damaged, since when
    /// it lies in one that is not.
    pub fn read(&mut self, kind: BlobKind, id: &ContentId) -> Result<(&[u8], Option<Time>), Flaw> {
        let mut found = vec![];
        self.catalogue.index.locate(id, &mut found);
        found.retain(|l| l.blob_kind == kind && l.blob_len as usize <= BLOB_PLAIN_BYTES_MAX + BLOB_EXTRA_BYTES_MAX);
        let mut flaw: Option<Flaw> = None;
        let mut here = false;
        for location in &found {
            match self.read_twice(location, id) {
                Ok(()) => {
                    here = true;
                    break;
                }
                // Where one place could not be read, it may still be there.
                Err(e) if flaw.as_ref().is_none_or(|flaw| !flaw.is_unreadable()) => flaw = Some(e),
                Err(_) => {}
            }
        }
        let since = self.weigh(&found);
        match here {
            true => Ok((&self.plain, since)),
            false if found.is_empty() && self.catalogue.incomplete => {
                Err(Flaw::Unreadable("it is not in what could be read of the index".into()))
            }
            false if self.catalogue.incomplete => {
                let what = flaw.map(|flaw| flaw.to_string()).unwrap_or_default();
                Err(Flaw::Unreadable(format!("{what} (what could not be read of the index may give another place)")))
            }
            false => Err(flaw.unwrap_or("not in the index of the store".into())),
        }
    }

    /// Reads one place, again if that fails; what is wrong both times is damaged.
    fn read_twice(&mut self, location: &Location, id: &ContentId) -> Result<(), Flaw> {
        let Err(first) = self.read_at(location, id) else { return Ok(()) };
        let again = self.read_at(location, id);
        match &again {
            Ok(()) => {
                let subject = Subject::Blob(pack_key(location.pack_kind, location.pack), location.blob_offset);
                let message = format!("could only be read right at a second try: {first}");
                self.findings.add(Severity::ReadErrorOnce, subject, message);
            }
            Err(Flaw::Damaged(what)) if self.pack(location).is_some_and(|pack| pack.stored_len.is_some()) => {
                let place = (location.pack_kind, location.pack, location.blob_offset);
                self.lost.insert(place, what.clone());
            }
            Err(_) => {}
        }
        again
    }

    fn read_at(&mut self, location: &Location, id: &ContentId) -> Result<(), Flaw> {
        if self.pack(location).is_none_or(|pack| pack.stored_len.is_none()) {
            return Err("the pack is missing".into());
        }
        Ok(self.blobs.verified(location, id, true, &mut self.plain)?)
    }
}
