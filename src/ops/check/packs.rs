//! Reads packs from beginning to end and checks their names, tables, blobs and ids, and the rows of the index.

use super::findings::{ATTEMPTS, Findings};
use super::index::Catalogue;
use super::meters::Meters;
use super::records::Records;
use super::{Severity, Subject};
use crate::base::id::{ContentId, ObjectId, SessionId};
use crate::base::limits::RESTORE_READ_BYTES;
use crate::codec::Decompressor;
use crate::crypto::hash::{ObjectHasher, content_id};
use crate::crypto::keys::StoreKeys;
use crate::crypto::pack::PackKey;
use crate::format::blob::BlobKind;
use crate::format::pack::{Member, PackKind, PackTable};
use crate::format::segment::Row;
use crate::index::Location;
use crate::monitor::{Counter, Monitor};
use crate::object::ObjectError;
use crate::object::reader::{open_blob, open_header, pack_key, read_table_of};
use crate::storage::StorageKey;
use crate::store::Store;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// What one thread reuses from pack to pack.
#[derive(Default)]
pub(super) struct Scratch {
    piece: Vec<u8>,
    plain: Vec<u8>,
    found: Vec<Location>,
    decompressor: Decompressor,
}

pub(super) struct PackReader<'a> {
    pub store: &'a Store,
    pub records: &'a Records,
    pub catalogue: &'a Catalogue,
    pub findings: &'a Findings<'a>,
    pub monitor: &'a dyn Monitor,
    pub meters: &'a Meters,
    /// Packs that are damaged or could not be read.
    pub bad: &'a Mutex<Vec<Bad>>,
}

/// What of a pack is damaged, or that it could not be read.
pub(super) struct Bad {
    pub kind: PackKind,
    pub id: ObjectId,
    /// A segment that counts lists it.
    pub listed: bool,
    /// The storage failed to give it; that has been named.
    pub unreadable: bool,
    /// Which blobs it holds cannot be told.
    pub all: bool,
    /// Something else than its blobs is damaged.
    pub structure: bool,
    /// What is wrong with the pack as a whole.
    pub whole: Option<String>,
    /// Blobs by their offsets, with what is wrong.
    pub blobs: BTreeMap<u32, String>,
}

/// What one reading of a pack gave.
#[derive(Default, PartialEq)]
struct Reading {
    /// Blobs that do not open, or hold something else, with the reason.
    bad: BTreeMap<u32, String>,
    /// What is wrong with the pack as a whole.
    whole: Option<String>,
    /// Which blobs it holds cannot be told.
    all: bool,
    /// Header, table or trailer are damaged.
    structure: bool,
    /// The storage failed.
    unreadable: Option<String>,
}

impl Reading {
    fn unreadable(error: &ObjectError) -> Reading {
        Reading { unreadable: Some(error.to_string()), ..Reading::default() }
    }
}

/// A blob as the table, or without one the index, gives it.
struct Extent {
    offset: u32,
    len: u32,
    kind: BlobKind,
    members: Vec<Member>,
}

impl PackReader<'_> {
    /// Reads one pack, again if something is wrong with it.
    pub fn read(&self, scratch: &mut Scratch, kind: PackKind, id: ObjectId, len: u64) {
        let name = pack_key(kind, id);
        let subject = Subject::Object(name);
        let listed = self.catalogue.packs.get(&(kind, id)).is_some_and(|pack| pack.listed);
        let mut table = None;
        let first = self.once(scratch, kind, id, len, &mut table);
        let Err(first) = first else {
            self.compare(scratch, kind, id, listed, table.as_ref());
            if self.records.state.damaged.has_some(&id) {
                let message = "it is recorded as damaged, but can be read now. Its content will be stored anew once";
                self.findings.add(Severity::Notice, subject, message);
            }
            return;
        };
        let mut last = first;
        for _ in 1..ATTEMPTS {
            match self.once(scratch, kind, id, len, &mut table) {
                Ok(()) => {
                    self.compare(scratch, kind, id, listed, table.as_ref());
                    let what = last.unreadable.or(last.whole).or(last.bad.into_values().next()).unwrap_or_default();
                    let message = format!("the pack was read wrong, and right when it was read again: {what}");
                    return self.findings.add(Severity::ReadErrorOnce, subject, message);
                }
                // What was read once and was wrong is damage, though another time it could not be read.
                Err(again) if again.unreadable.is_none() || last.unreadable.is_some() => last = again,
                Err(_) => {}
            }
        }
        let Reading { bad: blobs, whole, all, structure, unreadable } = last;
        if let Some(what) = &unreadable {
            // What no segment lists, nothing can need.
            let severity = if listed { Severity::Unreadable } else { Severity::Notice };
            self.findings.add(severity, subject, format!("could not be read: {what}"));
        }
        // With all blobs right, what is wrong lies between them.
        let structure = unreadable.is_none() && (structure || all || blobs.is_empty());
        let bad = Bad { kind, id, listed, unreadable: unreadable.is_some(), all, structure, whole, blobs };
        self.bad.lock().push(bad);
    }

    /// Compares the table of a pack that was read right with the index: that of another pack would say nothing.
    fn compare(
        &self,
        scratch: &mut Scratch,
        kind: PackKind,
        id: ObjectId,
        listed: bool,
        table: Option<&(SessionId, PackTable)>,
    ) {
        // Of a session that did not end well, others list only what they use.
        if let Some((session, table)) = table
            && listed
            && self.records.counts(self.store, session)
        {
            self.meters.compare.work(|| self.compare_index(scratch, kind, id, table));
        }
    }

    /// Reads the pack front to back.
    fn once(
        &self,
        scratch: &mut Scratch,
        kind: PackKind,
        id: ObjectId,
        len: u64,
        table: &mut Option<(SessionId, PackTable)>,
    ) -> Result<(), Reading> {
        let (storage, ring) = (&*self.store.storage, &*self.store.ring);
        let name = pack_key(kind, id);
        let mut reading = Reading::default();
        let (extents, mut key, header) = match self.meters.tables.work(|| read_table_of(storage, ring, kind, id, len)) {
            Ok((header, header_len, read, key)) => {
                let extents = extents_of(header_len, &read);
                *table = Some((header.session, read));
                (extents, Some(key), header.encode())
            }
            Err(error) if error.is_unreadable() => return Err(Reading::unreadable(&error)),
            Err(error) => {
                reading.structure = true;
                reading.whole = Some(format!("its table of contents cannot be read: {error}"));
                *table = None;
                (self.extents_of_index(kind, id, &mut reading), None, vec![])
            }
        };
        let mut hasher = ObjectHasher::default();
        let (mut at, mut next) = (0u64, 0);
        while at < len {
            let (end, to) = piece_end(&extents, next, at, len);
            scratch.piece.resize((end - at) as usize, 0);
            if let Err(error) = self.meters.read.work(|| storage.get_range(&name, at, &mut scratch.piece)) {
                let error = ObjectError::from(error);
                if error.is_unreadable() {
                    return Err(Reading::unreadable(&error));
                }
                reading.whole.get_or_insert(error.to_string());
                extents[next..].iter().for_each(|e| _ = reading.bad.insert(e.offset, error.to_string()));
                return Err(reading);
            }
            self.meters.names.work(|| hasher.update(&scratch.piece));
            self.monitor.add(Counter::BytesChecked, end - at);
            if at == 0 && key.is_some() {
                // Blobs open with the key of the header's copy at the end: restores fall back on it, too.
                if !scratch.piece.starts_with(&header) {
                    reading.structure = true;
                    reading.whole.get_or_insert("its header is not the one that its end repeats".into());
                }
            } else if at == 0 {
                match open_header(ring, kind, &scratch.piece, &|| name.path()) {
                    Ok((_, _, opened)) => key = Some(opened),
                    Err(error) => _ = reading.whole.get_or_insert(format!("its header cannot be read: {error}")),
                }
            }
            for extent in &extents[next..to] {
                if let Err(error) = check_blob(&name, key.as_ref(), &ring.keys, extent, at, scratch, self.meters) {
                    reading.bad.insert(extent.offset, error);
                }
            }
            (at, next) = (end, to);
        }
        for extent in &extents[next..] {
            reading.bad.insert(extent.offset, "it lies beyond the end of the pack".into());
        }
        if hasher.finish() != id {
            reading.whole.get_or_insert("its content does not match its name".into());
        }
        self.monitor.add(Counter::ObjectsChecked, 1);
        if reading == Reading::default() { Ok(()) } else { Err(reading) }
    }

    /// The pack's blobs as the index has them, for a pack whose table is lost.
    fn extents_of_index(&self, kind: PackKind, id: ObjectId, reading: &mut Reading) -> Vec<Extent> {
        let mut rows: Vec<Row> = vec![];
        let read = self.catalogue.index.each_row(&mut |pack, row| {
            if pack.id == id && pack.kind == kind {
                rows.push(*row);
            }
        });
        reading.all = read.is_err();
        let place = |row: &Row| (row.blob_offset, row.blob_len, row.kind as u8);
        rows.sort_unstable_by_key(|row| (place(row), row.inner_offset, row.id));
        rows.dedup_by_key(|row| (place(row), row.inner_offset, row.id));
        let blob = |rows: &[Row]| Extent {
            offset: rows[0].blob_offset,
            len: rows[0].blob_len,
            kind: rows[0].kind,
            members: rows.iter().map(|row| Member { id: row.id, len: row.inner_len }).collect(),
        };
        let mut extents: Vec<Extent> = rows.chunk_by(|a, b| place(a) == place(b)).map(blob).collect();
        // Without overlaps, so that each byte is read once.
        let mut end = 0;
        extents.retain(|extent| {
            let fits = u64::from(extent.offset) >= end;
            if fits {
                end = u64::from(extent.offset) + u64::from(extent.len);
            }
            fits
        });
        extents
    }

    /// Everything in the table is in the index, at its place; and segments that list the whole pack list nothing else.
    fn compare_index(&self, scratch: &mut Scratch, kind: PackKind, id: ObjectId, table: &PackTable) {
        let (absent, contradicts) = self.catalogue.compare(kind, id, table, &mut scratch.found);
        let subject = || Subject::Object(pack_key(kind, id));
        if absent > 0 {
            let message = format!("the index lacks {absent} of its blobs (`larder repair index` adds them)");
            self.findings.add(Severity::Damage, subject(), message);
        } else if contradicts {
            let message = "a row of the index is not what the pack's table says";
            self.findings.add(Severity::Damage, subject(), message);
        }
    }
}

/// Where the piece that begins at `at` ends, and the blob behind it: pieces hold whole blobs, or what lies between.
fn piece_end(extents: &[Extent], next: usize, at: u64, len: u64) -> (u64, usize) {
    let full = len.min(at + RESTORE_READ_BYTES as u64);
    let extent_end = |extent: &Extent| u64::from(extent.offset) + u64::from(extent.len);
    match extents.get(next) {
        Some(extent) if u64::from(extent.offset) > at => (full.min(extent.offset.into()), next),
        Some(extent) if extent_end(extent) <= len => {
            let (mut end, mut to) = (extent_end(extent), next + 1);
            while let Some(extent) = extents.get(to)
                && u64::from(extent.offset) == end
                && extent_end(extent) <= full
            {
                (end, to) = (extent_end(extent), to + 1);
            }
            (end, to)
        }
        _ => (full, next),
    }
}

fn extents_of(header_len: u32, table: &PackTable) -> Vec<Extent> {
    let mut offset = header_len;
    let mut extents = Vec::with_capacity(table.blobs.len());
    for blob in &table.blobs {
        extents.push(Extent { offset, len: blob.sealed_len, kind: blob.kind, members: blob.members.clone() });
        offset = offset.saturating_add(blob.sealed_len);
    }
    extents
}

/// Opens a blob of the piece that begins at `at`, and computes every id in it.
fn check_blob(
    name: &StorageKey,
    key: Option<&PackKey>,
    keys: &StoreKeys,
    extent: &Extent,
    at: u64,
    scratch: &mut Scratch,
    meters: &Meters,
) -> Result<(), String> {
    let key = key.ok_or("the pack's header cannot be read")?;
    let from = (u64::from(extent.offset) - at) as usize;
    let sealed = scratch.piece.get_mut(from..from + extent.len as usize).ok_or("it overlaps its neighbour")?;
    let object = || format!("{} at {}", name.path(), extent.offset);
    let (decompressor, plain) = (&mut scratch.decompressor, &mut scratch.plain);
    let header = meters.open.work(|| open_blob(key, extent.kind, extent.offset, sealed, decompressor, plain, &object));
    let header = header.map_err(|e| e.to_string())?;
    let lens = extent.members.iter().map(|member| member.len);
    let right = match header.members.is_empty() {
        true => lens.eq([header.plain_len]),
        false => lens.eq(header.members.iter().copied()),
    };
    if !right {
        return Err("it does not hold what the pack's table says".into());
    }
    let id_key = match extent.kind {
        BlobKind::Node => &keys.node_id,
        BlobKind::List => &keys.list_id,
        _ => &keys.chunk_id,
    };
    meters.ids.work(|| check_ids(id_key, &extent.members, plain))
}

/// Computes every id of what a blob holds.
fn check_ids(id_key: &[u8; 32], members: &[Member], plain: &[u8]) -> Result<(), String> {
    let mut from = 0;
    for Member { id, len } in members {
        let to = from + *len as usize;
        let is = |id: &ContentId| plain.get(from..to).is_some_and(|content| content_id(id_key, content) == *id);
        if !is(id) {
            return Err(format!("the content does not match the id {id}"));
        }
        from = to;
    }
    Ok(())
}
