//! Reading by id: copies, damage, trees and lists.

use super::reader::Reader;
use crate::base::id::{ContentId, ObjectId};
use crate::base::limits::{BLOCK_ALIGN, LIST_ITEMS_INLINE};
use crate::codec::Compression;
use crate::format::blob::BlobKind;
use crate::format::list::{Item, ListChild, ListNode};
use crate::format::pack::PackKind;
use crate::format::session::SessionPurpose;
use crate::format::tree::{Child, Content, Entry, EntryKind, Node};
use crate::object::writer::PackWriter;
use crate::storage::layer::{Fault, FaultStorage, OperationKind, Plan};
use crate::storage::{Area, BlockPool, Storage, StorageKey};
use crate::store::StoreError;
use crate::store::session::Session;
use crate::store::tests::*;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A tree of three levels: `count` files in leaves of `per_leaf` entries, three leaves an inner node.
fn store_large_tree(session: &Session, count: usize, per_leaf: usize) -> (ContentId, Vec<Vec<u8>>) {
    let keys: Vec<Vec<u8>> = (0..count).map(|n| format!("\0file{n:05}").into_bytes()).collect();
    let mut level: Vec<Child> = Vec::new();
    for keys in keys.chunks(per_leaf) {
        let entries = keys.iter().map(|key| entry(key, EntryKind::File, Content::Empty)).collect();
        let node = Node::Leaf(entries);
        let id = put(session, BlobKind::Node, &node.encode()).unwrap();
        level.push(Child { first: keys[0].clone(), id, totals: node.totals() });
    }
    let mut height = 0;
    while level.len() > 1 {
        height += 1;
        let above = level.chunks(3).map(|children| {
            if let [only] = children {
                return only.clone();
            }
            let node = Node::Inner { level: height, children: children.to_vec() };
            let id = put(session, BlobKind::Node, &node.encode()).unwrap();
            Child { first: children[0].first.clone(), id, totals: node.totals() }
        });
        level = above.collect();
    }
    (level[0].id, keys)
}

/// A key of the tree.
type Key = Vec<u8>;

/// The keys that a walk meets, and the ranges it says are lost.
fn walk(reader: &mut Reader, root: &ContentId, from: &[u8], to: &[u8]) -> (Vec<Key>, Vec<(Key, Key)>) {
    let (mut keys, mut lost) = (Vec::new(), Vec::new());
    let each = &mut |entry: Entry| {
        keys.push(entry.key);
        ControlFlow::Continue(())
    };
    let damaged = &mut |range: std::ops::Range<&[u8]>, error: StoreError| {
        assert!(error.is_damage(), "{error}");
        lost.push((range.start.to_vec(), range.end.to_vec()));
        ControlFlow::Continue(())
    };
    reader.entries(root, from, to, each, damaged).unwrap();
    (keys, lost)
}

#[test]
fn any_range_of_a_tree_is_walked_in_order_and_any_entry_is_found() {
    let (_machine, _, store) = new_store();
    let session = begin(&store, "host").unwrap();
    let (root, keys) = store_large_tree(&session, 90, 10);
    session.end().unwrap();
    let mut reader = Reader::new(store, 1 << 20);
    let bounds: Vec<Vec<u8>> = [0, 1, 9, 10, 11, 30, 45, 89]
        .iter()
        .map(|&n| keys[n].clone())
        .chain([b"\0aaa".to_vec(), b"\0zzz".to_vec()])
        .collect();
    for from in bounds.iter().chain([&Vec::new()]) {
        for to in bounds.iter().chain([&Vec::new()]) {
            let expected = keys.iter().filter(|key| *key >= from && (to.is_empty() || *key < to));
            assert_eq!(walk(&mut reader, &root, from, to), (expected.cloned().collect(), vec![]), "{from:?} {to:?}");
        }
    }
    for key in &keys {
        assert_eq!(reader.entry(&root, key).unwrap().map(|entry| &entry.key == key), Some(true));
    }
    for absent in [&b""[..], b"\0a", b"\0file00000x", b"\0file00045x", b"\0zzz"] {
        assert_eq!(reader.entry(&root, absent).unwrap(), None);
    }
    let mut seen = 0;
    let each = &mut |_: Entry| {
        seen += 1;
        if seen == 25 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    reader.entries(&root, &[], &[], each, &mut |_, error| panic!("{error}")).unwrap();
    assert_eq!(seen, 25, "a walk ends when it is told to");
}

#[test]
fn a_lost_node_costs_exactly_its_range() {
    let (_machine, memory, store) = new_store();
    let session = begin(&store, "host").unwrap();
    let (root, keys) = store_large_tree(&session, 90, 10);
    session.end().unwrap();
    let mut found = Vec::new();
    // Which pack holds which leaf: every node lies in a pack of its own here.
    let leaf = Node::Leaf(keys[40..50].iter().map(|key| entry(key, EntryKind::File, Content::Empty)).collect());
    store.index.read().locate(&store.ring.id_of(BlobKind::Node, &leaf.encode()), &mut found);
    memory.delete(&StorageKey::Tree(found[0].pack)).unwrap();
    let mut reader = Reader::new(store.clone(), 0);
    let (read, lost) = walk(&mut reader, &root, b"", b"");
    assert_eq!(read, [&keys[..40], &keys[50..]].concat());
    assert_eq!(lost, [(keys[40].clone(), keys[50].clone())]);
    let (read, lost) = walk(&mut reader, &root, &keys[50], b"");
    assert_eq!((read.len(), lost.len()), (40, 0), "what is not asked for is not missed");
    assert!(reader.entry(&root, &keys[44]).is_err_and(|error| error.is_damage()));
    assert!(reader.entry(&root, &keys[50]).unwrap().is_some());
}

#[test]
fn a_node_that_is_not_what_its_parent_says_counts_as_lost() {
    let (_machine, _, store) = new_store();
    let session = begin(&store, "host").unwrap();
    let leaf = |names: &[&[u8]]| {
        let node = Node::Leaf(names.iter().map(|key| entry(key, EntryKind::File, Content::Empty)).collect());
        (put(&session, BlobKind::Node, &node.encode()).unwrap(), node.totals())
    };
    let (a, b) = (leaf(&[b"\0a", b"\0b"]), leaf(&[b"\0m", b"\0z"]));
    let inner =
        |children: Vec<Child>| put(&session, BlobKind::Node, &Node::Inner { level: 1, children }.encode()).unwrap();
    let child = |first: &[u8], (id, totals)| Child { first: first.to_vec(), id, totals };
    let mut wrong_totals = b.1;
    wrong_totals.entries += 1;
    let right = inner(vec![child(b"\0a", a), child(b"\0m", b)]);
    let first_key = inner(vec![child(b"\0a", a), child(b"\0l", b)]);
    let beyond = inner(vec![child(b"\0a", a), child(b"\0m", b), child(b"\0y", a)]);
    let totals = inner(vec![child(b"\0a", a), child(b"\0m", (b.0, wrong_totals))]);
    let level = put(
        &session,
        BlobKind::Node,
        &Node::Inner { level: 2, children: vec![child(b"\0a", a), child(b"\0m", b)] }.encode(),
    );
    session.end().unwrap();
    let mut reader = Reader::new(store, 1 << 20);
    for (root, lost) in [(right, 0), (first_key, 1), (beyond, 2), (totals, 1), (level.unwrap(), 2)] {
        assert_eq!(walk(&mut reader, &root, b"", b"").1.len(), lost);
    }
}

#[test]
fn a_list_of_many_items_is_resolved_and_held_against_its_totals() {
    let (_machine, _, store) = new_store();
    let session = begin(&store, "host").unwrap();
    let item = |n: u8| Item::Chunk { id: ContentId([n; 32]), len: 10 };
    let items: Vec<Item> = (0..90).map(item).collect();
    let child = |items: &[Item]| {
        let id = put(&session, BlobKind::List, &ListNode::Leaf(items.to_vec()).encode()).unwrap();
        ListChild { id, bytes: 10 * items.len() as u64, items: items.len() as u64 }
    };
    let children = vec![child(&items[..50]), child(&items[50..])];
    let mut lying = children.clone();
    lying[1].bytes += 1;
    lying[0].bytes -= 1;
    let put_inner = |children| put(&session, BlobKind::List, &ListNode::Inner { level: 1, children }.encode()).unwrap();
    let (root, lying) = (put_inner(children), put_inner(lying));
    session.end().unwrap();
    let mut reader = Reader::new(store, 1 << 20);
    let mut read = |id, level, count| {
        let mut found = Vec::new();
        let result = reader.items(&Content::List { id, level, items: count }, &mut |item| {
            found.push(item);
            if found.len() == 70 && count == 90 && level == 9 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        result.map(|()| found)
    };
    assert!(items.len() > LIST_ITEMS_INLINE);
    assert_eq!(read(root, 1, 90).unwrap(), items);
    for (id, level, count) in [(root, 2, 90), (root, 1, 91), (root, 0, 90), (lying, 1, 90)] {
        assert!(read(id, level, count).is_err_and(|error| error.is_damage()), "{level} {count}");
    }
}

#[test]
fn every_copy_is_tried() {
    let (_machine, memory, store) = new_store();
    let snapshot = backup(&store, "host", b"twice").unwrap().snapshot;
    // A second copy, as two machines make one that back up the same thing at once.
    let session = begin(&store, "host").unwrap();
    let blocks = BlockPool::new(1, BLOCK_ALIGN);
    let (ring, how) = (store.ring.clone(), Compression::None);
    let mut writer = PackWriter::new(memory.clone(), ring, PackKind::Data, session.id(), 16384, how, blocks);
    writer.append(BlobKind::Chunks, store.ring.id_of(BlobKind::Chunks, b"twice"), b"twice").unwrap();
    let packs: Vec<ObjectId> = memory
        .keys()
        .into_iter()
        .filter_map(|key| if let StorageKey::Pack(id) = key { Some(id) } else { None })
        .collect();
    writer.finish().unwrap().into_iter().for_each(|pack| _ = session.stored(pack).unwrap());
    session.end().unwrap();
    memory.delete(&StorageKey::Pack(packs[0])).unwrap();
    assert_eq!(restore(&store, snapshot).unwrap(), b"twice");
}

#[test]
fn a_read_error_that_passes_is_told() {
    let (machine, memory, store) = new_store();
    backup(&store, "host", b"content").unwrap();
    let faulty = Arc::new(FaultStorage::new(memory, None));
    let storage: Arc<dyn Storage> = faulty.clone();
    let store = machine.open(&storage).unwrap();
    store.load_index().unwrap();
    let id = store.ring.id_of(BlobKind::Chunks, b"content");
    // The first read is of the header, the second of the blob.
    for at in 0..2 {
        let mut reader = Reader::new(store.clone(), 0);
        faulty.arm(Plan { only: Some(OperationKind::GetRange), ..Plan::at(at, Fault::Flip(300)) });
        assert_eq!(reader.read(BlobKind::Chunks, &id).unwrap(), b"content");
        assert_eq!(faulty.hits(), 1);
        assert_eq!(reader.take_unstable().len(), 1, "operation {at}");
        assert!(reader.take_unstable().is_empty());
        assert_eq!(reader.read(BlobKind::Chunks, &id).unwrap(), b"content");
    }
}

#[test]
fn what_is_listed_nowhere_or_under_another_kind_is_not_found() {
    let (_machine, _, store) = new_store();
    backup(&store, "host", b"content").unwrap();
    let id = store.ring.id_of(BlobKind::Chunks, b"content");
    let mut reader = Reader::new(store, 0);
    assert!(reader.read(BlobKind::Node, &id).is_err_and(|error| error.is_damage()));
    let absent = reader.read(BlobKind::Chunks, &ContentId([1; 32])).unwrap_err();
    assert!(absent.to_string().contains(&ContentId([1; 32]).to_string()), "{absent}");
}

#[test]
fn a_reader_reads_the_index_again_when_a_pack_was_rewritten() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    backup(&store, "host", b"moved").unwrap();
    let old: Vec<StorageKey> = memory.keys().into_iter().filter(|key| key.area() == Area::Packs).collect();
    let reading = machine.open(&storage).unwrap();
    reading.load_index().unwrap();
    // As recompaction does: a new pack and segment, then the old one goes.
    let session = Session::begin(store.clone(), SessionPurpose::Maintenance, "host", Vec::new()).unwrap();
    let blocks = BlockPool::new(1, BLOCK_ALIGN);
    let (ring, how) = (store.ring.clone(), Compression::None);
    let mut writer = PackWriter::new(memory.clone(), ring, PackKind::Data, session.id(), 16384, how, blocks);
    let id = store.ring.id_of(BlobKind::Chunks, b"moved");
    writer.append(BlobKind::Chunks, id, b"moved").unwrap();
    writer.finish().unwrap().into_iter().for_each(|pack| _ = session.stored(pack).unwrap());
    session.end().unwrap();
    old.iter().for_each(|key| memory.delete(key).unwrap());
    assert_eq!(Reader::new(reading, 0).read(BlobKind::Chunks, &id).unwrap(), b"moved");
}

#[test]
fn the_cache_keeps_to_its_size_and_reads_each_blob_once_while_it_fits() {
    let (_machine, memory, store) = new_store();
    let session = begin(&store, "host").unwrap();
    let chunks: Vec<Vec<u8>> = (0..4u8).map(|n| vec![n; 1000]).collect();
    let ids: Vec<ContentId> = chunks.iter().map(|chunk| put(&session, BlobKind::Chunks, chunk).unwrap()).collect();
    session.end().unwrap();
    drop(store);
    let machine = Machine::new();
    let recorded = Arc::new(crate::storage::layer::RecordStorage::new(memory));
    let storage: Arc<dyn Storage> = recorded.clone();
    let store = machine.open(&storage).unwrap();
    store.load_index().unwrap();
    let reads = |cache_bytes: usize, order: &[usize]| {
        let mut reader = Reader::new(store.clone(), cache_bytes);
        recorded.take();
        for &n in order {
            assert_eq!(reader.read(BlobKind::Chunks, &ids[n]).unwrap(), chunks[n]);
        }
        // Blobs, not headers.
        recorded.take().iter().filter(|op| op.kind == OperationKind::GetRange && op.bytes != 81).count()
    };
    assert_eq!(reads(4000, &[0, 1, 2, 3, 0, 1, 2, 3]), 4);
    assert_eq!(reads(0, &[0, 0, 0]), 3);
    assert_eq!(reads(2000, &[0, 1, 0, 2, 0, 1]), 4, "the one that was not used for longest goes");
}
