//! Strategies for trees: paths, entries, nodes, content lists.

use super::{between, between_u32, content_id, extensions, number, time};
use crate::base::limits::*;
use crate::base::path::key_of;
use crate::base::time::Time;
use crate::format::list::{Item, ListChild, ListNode};
use crate::format::tree::{Child, Content, Entry, EntryKind, Meta, Node, Totals, Xattr};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

/// Totals of at least one entry.
pub fn totals() -> impl Strategy<Value = Totals> {
    (1..=u64::MAX, number(), number(), number(), number()).prop_map(|(entries, files, directories, bytes, flawed)| {
        let files = files.min(entries);
        Totals {
            entries,
            files,
            directories: directories.min(entries - files),
            bytes: if files == 0 { 0 } else { bytes },
            flawed: flawed.min(entries),
        }
    })
}

/// Pieces of a file.
pub fn items(count: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<Item>> {
    let chunk = (content_id(), between_u32(1, BLOB_PLAIN_BYTES_MAX)).prop_map(|(id, len)| Item::Chunk { id, len });
    let hole = between(1, 1 << 50).prop_map(|len| Item::Hole { len });
    vec(prop_oneof![3 => chunk, 1 => hole], count).prop_map(|mut items| {
        let hole = |item: &Item| matches!(item, Item::Hole { .. });
        items.dedup_by(|b, a| hole(a) && hole(b));
        items
    })
}

/// Nodes of content lists.
pub fn list_node() -> impl Strategy<Value = ListNode> {
    let child = (content_id(), between(1, 1 << 50), number()).prop_map(|(id, bytes, items)| ListChild {
        id,
        bytes,
        items: items.clamp(1, bytes),
    });
    prop_oneof![
        items(1..20).prop_map(ListNode::Leaf),
        (1..TREE_LEVELS_MAX as u8, vec(child, 2..6)).prop_map(|(level, children)| ListNode::Inner { level, children }),
    ]
}

/// Absolute paths, often with common beginnings, sometimes with long ones.
pub fn path() -> impl Strategy<Value = Vec<u8>> {
    let long = Just(vec![b'n'; 254]);
    let name = prop_oneof![
        6 => select(vec![&b"a"[..], b"b", b"ab", b"a.c", b"etc", b"\xff\xfe", b"\x01", b"a b\n"]).prop_map(<[u8]>::to_vec),
        1 => long,
        1 => vec(1..=255u8, 1..9).prop_map(|name| name.into_iter().map(|b| if b == b'/' { b'_' } else { b }).collect()),
    ]
    .prop_filter("dots", |name: &Vec<u8>| name != b"." && name != b"..");
    vec(name, 0..5).prop_map(|parts| {
        if parts.is_empty() {
            b"/".to_vec()
        } else {
            parts.iter().flat_map(|part| [b"/", &part[..]].concat()).collect()
        }
    })
}

/// Extended attributes, mostly short ones that several entries share.
pub fn xattrs() -> impl Strategy<Value = Vec<Xattr>> {
    let label = || Xattr { name: b"security.selinux".to_vec(), value: b"system_u:object_r:etc_t:s0".to_vec() };
    let any_xattrs = btree_map(vec(1..=255u8, 1..10), vec(any::<u8>(), 0..300), 1..4)
        .prop_map(|all| all.into_iter().map(|(name, value)| Xattr { name, value }).collect::<Vec<_>>());
    let most = Xattr { name: vec![b'n'; XATTR_NAME_BYTES_MAX], value: vec![0; XATTR_VALUE_BYTES_MAX] };
    prop_oneof![6 => Just(vec![]), 6 => Just(vec![label()]), 2 => any_xattrs, 1 => Just(vec![most])]
}

/// Everything about an entry but its content. Values repeat, so that entries often equal the ones before.
pub fn meta() -> impl Strategy<Value = Meta> {
    let kind = (1..=7u8).prop_map(|number| EntryKind::from_u8(number).unwrap_or(EntryKind::File));
    let kind = prop_oneof![3 => Just(EntryKind::File), 2 => kind];
    let owner = select(vec![(0, 0, "root", "root"), (1000, 1000, "jo", "users"), (u32::MAX, 0, "", "")]);
    let mode = prop_oneof![Just(0o644u32), Just(0o755), 0..=0o7777u32];
    let some_time = || prop_oneof![2 => Just(Time { s: 1_700_000_000, ns: 5 }), 1 => time()];
    let times = (some_time(), some_time(), proptest::option::of(some_time()));
    let nlink = prop_oneof![3 => Just(1), 1 => number()];
    let place = (prop_oneof![3 => Just(2049), 1 => number()], number());
    let by_kind = (between(0, FILE_BYTES_MAX), any::<(u32, u32)>(), vec(1..=255u8, 0..20), xattrs());
    (kind, mode, owner, times, nlink, place, by_kind).prop_map(
        |(kind, mode, owner, (mtime, ctime, btime), nlink, (device, inode), (size, rdev, target, xattrs))| Meta {
            kind,
            mode,
            uid: owner.0,
            gid: owner.1,
            user: owner.2.into(),
            group: owner.3.into(),
            size: if kind == EntryKind::File { size } else { 0 },
            mtime,
            ctime,
            btime,
            nlink,
            device,
            inode,
            rdev: if kind.is_device() { rdev } else { (0, 0) },
            target: if kind == EntryKind::Symlink { target } else { vec![] },
            xattrs,
        },
    )
}

/// What a file holds.
pub fn content() -> impl Strategy<Value = Content> {
    let list = (content_id(), 0..TREE_LEVELS_MAX as u8, between(LIST_ITEMS_INLINE as u64 + 1, FILE_BYTES_MAX))
        .prop_map(|(id, level, items)| Content::List { id, level, items });
    prop_oneof![
        Just(Content::Empty),
        Just(Content::Unreadable),
        vec(any::<u8>(), 1..200).prop_map(Content::Inline),
        items(1..3).prop_map(Content::Items),
        items(LIST_ITEMS_INLINE).prop_map(Content::Items),
        list,
    ]
}

pub fn entry() -> impl Strategy<Value = Entry> {
    let changed = prop_oneof![4 => Just(false), 1 => Just(true)];
    (path(), meta(), content(), changed, extensions(), any::<bool>()).prop_map(
        |(path, mut meta, mut content, changed_while_read, extensions, exact)| {
            match meta.kind {
                EntryKind::File => {
                    if let (Some(len), true) = (content.stored_len(), exact) {
                        meta.size = len;
                    }
                }
                EntryKind::Symlink => {
                    content = if meta.target.is_empty() { Content::Unreadable } else { Content::Empty };
                }
                EntryKind::Directory if content == Content::Unreadable => {}
                _ => content = Content::Empty,
            }
            let key = key_of(&path).unwrap_or_default();
            Entry { key, meta, content, changed_while_read, extensions }
        },
    )
}

/// Entries in the order of a tree.
pub fn entries(count: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<Entry>> {
    vec(entry(), count).prop_map(|mut entries| {
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        entries.dedup_by(|a, b| a.key == b.key);
        entries
    })
}

pub fn node() -> impl Strategy<Value = Node> {
    let children = btree_map(path(), (content_id(), totals()), 2..8).prop_map(|children| {
        let child = |(path, (id, totals)): (Vec<u8>, _)| Child { first: key_of(&path).unwrap_or_default(), id, totals };
        let mut children: Vec<Child> = children.into_iter().map(child).collect();
        children.sort_by(|a, b| a.first.cmp(&b.first));
        children
    });
    prop_oneof![
        3 => entries(0..12).prop_map(Node::Leaf),
        1 => (1..TREE_LEVELS_MAX as u8, children).prop_map(|(level, children)| Node::Inner { level, children }),
    ]
}
