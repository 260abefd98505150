//! An entry of a run: 52 bytes that say where a chunk, node or list lies.
//!
//! `id 32 · kind 2 bits and pack ordinal 30 bits · blob offset · blob length · inner offset · inner length`, each number
//! 4 bytes big-endian, so that comparing bytes compares id, kind, pack and offsets in this order.

use crate::base::id::ContentId;
use crate::format::blob::BlobKind;
use crate::format::segment::Row;

/// Bytes of an entry.
pub const ENTRY_LEN: usize = 52;
/// Pack ordinals are below this.
pub const PACKS_MAX: u32 = 1 << 30;

/// The bytes, used in place where they are mapped.
pub type Entry = [u8; ENTRY_LEN];

/// Packs a row; none for kinds that are not indexed and ordinals from [`PACKS_MAX`] on.
pub fn pack_row(row: &Row) -> Option<Entry> {
    let kind: u32 = match row.kind {
        BlobKind::Chunks => 0,
        BlobKind::Node => 1,
        BlobKind::List => 2,
        _ => return None,
    };
    if row.pack >= PACKS_MAX {
        return None;
    }
    let mut entry = [0; ENTRY_LEN];
    entry[..32].copy_from_slice(&row.id.0);
    let words = [kind << 30 | row.pack, row.blob_offset, row.blob_len, row.inner_offset, row.inner_len];
    for (place, word) in entry[32..].chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    Some(entry)
}

/// The row in an entry; none when its kind is none of those that are written.
pub fn row(entry: &Entry) -> Option<Row> {
    let kind = match word(entry, 0) >> 30 {
        0 => BlobKind::Chunks,
        1 => BlobKind::Node,
        2 => BlobKind::List,
        _ => return None,
    };
    Some(Row {
        id: ContentId(*id(entry)),
        kind,
        pack: pack(entry),
        blob_offset: word(entry, 1),
        blob_len: word(entry, 2),
        inner_offset: word(entry, 3),
        inner_len: word(entry, 4),
    })
}

/// The ordinal of an entry's pack in its run's table.
pub fn pack(entry: &Entry) -> u32 {
    word(entry, 0) & (PACKS_MAX - 1)
}

/// The same entry in a run with another pack table.
pub fn with_pack(mut entry: Entry, pack: u32) -> Entry {
    let word = word(&entry, 0) & !(PACKS_MAX - 1) | pack;
    entry[32..36].copy_from_slice(&word.to_be_bytes());
    entry
}

/// An entry's id.
pub fn id(entry: &Entry) -> &[u8; 32] {
    entry.first_chunk().expect("an entry is longer than an id")
}

/// The first 8 bytes of an id, ordered like ids: they choose the partition, guess the place in it and feed the filter.
pub fn prefix(id: &[u8; 32]) -> u64 {
    u64::from_be_bytes(*id.first_chunk().expect("an id is longer than 8 bytes"))
}

fn word(entry: &Entry, n: usize) -> u32 {
    u32::from_be_bytes(std::array::from_fn(|i| entry[32 + 4 * n + i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn any_row() -> impl Strategy<Value = Row> {
        let kind = prop_oneof![Just(BlobKind::Chunks), Just(BlobKind::Node), Just(BlobKind::List)];
        (any::<[u8; 32]>(), kind, 0..PACKS_MAX, any::<[u32; 4]>()).prop_map(|(id, kind, pack, n)| Row {
            id: ContentId(id),
            kind,
            pack,
            blob_offset: n[0],
            blob_len: n[1],
            inner_offset: n[2],
            inner_len: n[3],
        })
    }

    proptest! {
        #[test]
        fn an_entry_gives_back_the_row_it_was_made_of(row in any_row(), other in 0..PACKS_MAX) {
            let entry = pack_row(&row).unwrap();
            prop_assert_eq!(super::row(&entry), Some(row));
            prop_assert_eq!(super::row(&with_pack(entry, other)), Some(Row { pack: other, ..row }));
        }

        #[test]
        fn entries_are_ordered_like_id_kind_pack_and_offsets(a in any_row(), b in any_row(), same in 0usize..5) {
            let b = Row {
                id: if same > 0 { a.id } else { b.id },
                kind: if same > 1 { a.kind } else { b.kind },
                pack: if same > 2 { a.pack } else { b.pack },
                blob_offset: if same > 3 { a.blob_offset } else { b.blob_offset },
                ..b
            };
            let order = |r: &Row| (r.id, r.kind, r.pack, r.blob_offset, r.blob_len, r.inner_offset, r.inner_len);
            prop_assert_eq!(pack_row(&a).cmp(&pack_row(&b)), order(&a).cmp(&order(&b)));
            prop_assert!(prefix(&a.id.0) <= prefix(&b.id.0) || a.id > b.id);
        }
    }

    #[test]
    fn kinds_and_ordinals_that_do_not_fit_are_refused() {
        let row = Row {
            id: ContentId([1; 32]),
            kind: BlobKind::Chunks,
            pack: PACKS_MAX - 1,
            blob_offset: 0,
            blob_len: 0,
            inner_offset: 0,
            inner_len: 0,
        };
        assert!(pack_row(&row).is_some());
        assert!(pack_row(&Row { pack: PACKS_MAX, ..row }).is_none());
        assert!(pack_row(&Row { kind: BlobKind::Padding, ..row }).is_none());
    }
}
