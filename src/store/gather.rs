//! Gathers the rows of a session's next index segment.

use crate::base::id::{ContentId, ObjectId};
use crate::base::limits::{SEGMENT_PACKS_MAX, SESSION_ROWS_MAX};
use crate::format::segment::{Row, SegmentPack};
use crate::index::Location;
use crate::object::writer::StoredPack;
use std::collections::HashMap;

/// What the next segment will hold.
#[derive(Debug)]
pub struct Gathered {
    /// Packs that the rows point into.
    pub packs: Vec<SegmentPack>,
    /// The rows, in the order they came.
    pub rows: Vec<Row>,
    ordinals: HashMap<ObjectId, u32>,
    /// With so many rows it is full.
    rows_max: usize,
}

impl Default for Gathered {
    fn default() -> Gathered {
        Gathered::new(SESSION_ROWS_MAX)
    }
}

/// What the index says of a pack.
pub fn describe(pack: &StoredPack) -> SegmentPack {
    SegmentPack { id: pack.id, kind: pack.kind, len: pack.len, header_len: pack.header_len }
}

/// The rows of everything in a pack, which has this ordinal.
pub fn rows_of(pack: &StoredPack, ordinal: u32) -> impl Iterator<Item = Row> + '_ {
    let mut blob_offset = pack.header_len;
    pack.table.blobs.iter().flat_map(move |blob| {
        let at = blob_offset;
        blob_offset += blob.sealed_len;
        let mut inner_offset = 0;
        blob.members.iter().map(move |member| {
            let row = Row {
                id: member.id,
                kind: blob.kind,
                pack: ordinal,
                blob_offset: at,
                blob_len: blob.sealed_len,
                inner_offset,
                inner_len: member.len,
            };
            inner_offset += member.len;
            row
        })
    })
}

impl Gathered {
    /// Nothing yet; full with `rows_max` rows, or sooner.
    pub fn new(rows_max: usize) -> Gathered {
        // More would not fit a segment together with the last pack.
        let rows_max = rows_max.clamp(1, SESSION_ROWS_MAX);
        Gathered { packs: Vec::new(), rows: Vec::new(), ordinals: HashMap::new(), rows_max }
    }

    /// What has gathered; it is empty again.
    pub fn take(&mut self) -> Gathered {
        std::mem::replace(self, Gathered::new(self.rows_max))
    }

    fn ordinal(&mut self, pack: SegmentPack) -> u32 {
        *self.ordinals.entry(pack.id).or_insert_with(|| {
            self.packs.push(pack);
            self.packs.len() as u32 - 1
        })
    }

    /// Everything in a pack.
    pub fn add_pack(&mut self, pack: &StoredPack) {
        let ordinal = self.ordinal(describe(pack));
        self.rows.extend(rows_of(pack, ordinal));
    }

    /// One thing in a pack.
    pub fn add(&mut self, id: ContentId, pack: SegmentPack, at: &Location) {
        let row = Row {
            id,
            kind: at.blob_kind,
            pack: self.ordinal(pack),
            blob_offset: at.blob_offset,
            blob_len: at.blob_len,
            inner_offset: at.inner_offset,
            inner_len: at.inner_len,
        };
        self.rows.push(row);
    }

    /// Whether it is time to write a segment.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= self.rows_max || self.packs.len() >= SEGMENT_PACKS_MAX - 1
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::blob::BlobKind;
    use crate::format::pack::{Member, PackKind, PackTable, TableBlob};

    #[test]
    fn rows_say_where_each_chunk_of_each_group_lies() {
        let member = |n: u8, len| Member { id: ContentId([n; 32]), len };
        let blobs = vec![
            TableBlob { kind: BlobKind::Chunks, sealed_len: 100, members: vec![member(1, 10), member(2, 20)] },
            TableBlob { kind: BlobKind::Node, sealed_len: 50, members: vec![member(3, 70)] },
        ];
        let table = PackTable { blobs };
        let pack = StoredPack { id: ObjectId([9; 32]), kind: PackKind::Data, len: 4096, header_len: 81, table };
        let mut gathered = Gathered::default();
        gathered.add_pack(&pack);
        gathered.add_pack(&pack);
        let places = gathered.rows[..3].iter();
        let places: Vec<_> = places.map(|r| (r.blob_offset, r.blob_len, r.inner_offset, r.inner_len)).collect();
        assert_eq!(places, [(81, 100, 0, 10), (81, 100, 10, 20), (181, 50, 0, 70)]);
        assert_eq!((gathered.packs.len(), gathered.rows.len()), (1, 6));
    }
}
