//! The compact form of a leaf: its sizes, its bounds, and that there is only one.

use super::*;
use crate::base::id::ContentId;
use crate::base::limits::*;
use crate::base::time::Time;
use crate::format::error::Reason;
use crate::format::extension::Extension;
use crate::format::list::Item;
use crate::format::tree::{Content, Entry, EntryKind, Meta, Node, Xattr};

fn file(name: &str, inode: u64) -> Entry {
    Entry {
        key: [&b"usr\0share\0doc\0\0"[..], name.as_bytes()].concat(),
        meta: Meta {
            kind: EntryKind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            user: b"root".to_vec(),
            group: b"root".to_vec(),
            size: 4321,
            mtime: Time { s: 1_700_000_000, ns: 0 },
            ctime: Time { s: 1_750_000_000, ns: 100_000_000 + inode as u32 * 54_321 },
            btime: Some(Time { s: 1_750_000_000, ns: 100_000_000 + inode as u32 * 54_321 - 40_000 }),
            nlink: 1,
            device: 2049,
            inode,
            rdev: (0, 0),
            target: vec![],
            xattrs: vec![],
        },
        content: Content::Items(vec![Item::Chunk { id: ContentId([inode as u8; 32]), len: 4321 }]),
        changed_while_read: false,
        extensions: vec![],
    }
}

#[test]
fn a_small_file_takes_about_30_bytes_beside_its_chunk_id() {
    let mut encoder = LeafEncoder::default();
    encoder.push(&file("a-first-name", 7));
    let first = encoder.len();
    encoder.push(&file("copyright.txt", 8));
    assert!(encoder.len() - first - 32 <= 34, "{}", encoder.len() - first - 32);
    let node = encoder.finish();
    let decoded = Node::decode(&node).unwrap();
    assert_eq!(decoded, Node::Leaf(vec![file("a-first-name", 7), file("copyright.txt", 8)]));
    assert_eq!(decoded.encode(), node);
}

#[test]
fn an_encoder_starts_afresh_after_each_node() {
    let mut encoder = LeafEncoder::default();
    let fresh = |name, inode| Node::Leaf(vec![file(name, inode)]).encode();
    for (name, inode) in [("a", 1), ("a", 1), ("b", 9)] {
        encoder.push(&file(name, inode));
        assert_eq!(encoder.first_key(), file(name, inode).key);
        assert_eq!((encoder.count(), encoder.totals().bytes), (1, 4321));
        assert_eq!(encoder.finish(), fresh(name, inode));
        assert_eq!((encoder.len(), encoder.first_key()), (HEADER_LEN, &b""[..]));
    }
    assert_eq!(Node::decode(&encoder.finish()), Ok(Node::Leaf(vec![])));
}

/// Encodes the entries, changes one byte of the last entry's head (form, flags, …) and gives what a reader says.
fn reason_after(entries: &[Entry], change: impl Fn(&mut [u8])) -> Option<Reason> {
    let before = Node::Leaf(entries[..entries.len() - 1].to_vec()).encode().len();
    let mut bytes = Node::Leaf(entries.to_vec()).encode();
    change(&mut bytes[before..]);
    Node::decode(&bytes).err().map(|error| error.reason)
}

#[test]
fn every_flag_is_set_exactly_when_it_holds() {
    // The second entry equals the first in all that a flag can say; a cleared flag lacks its field or repeats it.
    let mut same = [file("a", 1), file("b", 2)];
    for entry in &mut same {
        entry.meta.ctime = Time { s: 5, ns: 5 };
        entry.meta.btime = Some(entry.meta.mtime);
        entry.meta.xattrs = vec![Xattr { name: b"user.x".to_vec(), value: b"y".to_vec() }];
    }
    assert_eq!(reason_after(&same, |_| {}), None);
    for bit in 0..16 {
        let flip = |bytes: &mut [u8]| bytes[1 + bit / 8] ^= 1 << (bit % 8);
        // Without its upper bit, btime is absent: another value, not another encoding.
        assert_eq!(reason_after(&same, flip).is_none(), 1 << bit == BTIME_IS_MTIME, "flag {bit}");
        // Cleared with the field written out as if it had not been the same: only the rule refuses it.
        let mut encoder = LeafEncoder::default();
        encoder.push(&same[0]);
        let before = encoder.len();
        encoder.push(&same[1]);
        let encoded = encoder.finish();
        let (head, entry) = encoded.split_at(before);
        // Form, flags, shared, suffix length, suffix: what follows are the fields.
        let field = 6;
        let written: Option<(u16, Vec<u8>)> = match 1u16 << bit {
            SAME_MODE => Some((SAME_MODE, vec![0xa4, 0x03])),
            SAME_OWNER => Some((SAME_OWNER, vec![0, 0])),
            SAME_NAMES => Some((SAME_NAMES, b"\x04root\x04root".to_vec())),
            SAME_DEVICE => Some((SAME_DEVICE, vec![0x81, 0x10])),
            ONE_LINK => Some((ONE_LINK, vec![1])),
            _ => None,
        };
        if let Some((flag, bytes)) = written {
            let flags = u16::from_le_bytes([entry[1], entry[2]]) & !flag;
            let longer = [head, &entry[..1], &flags.to_le_bytes(), &entry[3..field], &bytes, &entry[field..]].concat();
            assert_eq!(Node::decode(&longer).unwrap_err().reason, Reason::NotCanonical, "flag {bit}");
        }
    }
}

#[test]
fn keys_share_what_they_can_and_must_ascend() {
    let pair = [file("aaa", 1), file("aab", 2)];
    let shared = 17;
    assert_eq!(reason_after(&pair, |bytes| assert_eq!(bytes[3..7], [shared, 1, b'b', 2])), None);
    assert_eq!(reason_after(&pair, |bytes| bytes[5] = b'a'), Some(Reason::Order));
    assert_eq!(reason_after(&pair, |bytes| bytes[5] = b'/'), Some(Reason::Order));
    assert_eq!(reason_after(&pair, |bytes| bytes[3] = shared + 2), Some(Reason::Value));
    // One byte less shared is not the longest.
    let mut less = Node::Leaf(pair.to_vec()).encode();
    let at = Node::Leaf(pair[..1].to_vec()).encode().len();
    less.splice(at + 3..at + 6, [shared - 1, 2, b'a', b'b']);
    assert_eq!(Node::decode(&less).unwrap_err().reason, Reason::NotCanonical);
}

#[test]
fn a_small_node_does_not_unfold_to_a_huge_one() {
    let long_key = |last: u32| {
        let mut entry = file("", 1);
        entry.key = [&[b'd'; 4000][..], b"\0", &[b'e'; 4000], b"\0\0", format!("{last:08}").as_bytes()].concat();
        entry.meta.xattrs = vec![Xattr { name: b"user.long".to_vec(), value: vec![b'v'; 1000] }];
        entry
    };
    let entries: Vec<Entry> = (0..100).map(long_key).collect();
    let node = Node::Leaf(entries.clone()).encode();
    assert!(node.len() > 100 * (8000 + 1000 - 2 * ENTRY_SHARED_BYTES_MAX), "{}", node.len());
    assert_eq!(Node::decode(&node), Ok(Node::Leaf(entries)));
}

#[test]
fn an_entry_with_everything_at_its_limit_fits_a_node() {
    let mut entry = file("", 1);
    let part = [&[b'p'; NAME_BYTES_MAX][..], b"\0"].concat();
    entry.key = [&part.repeat(3)[..], b"\0", &[b'n'; PATH_BYTES_MAX - 1 - 3 * (NAME_BYTES_MAX + 1)]].concat();
    let value = vec![1; XATTR_VALUE_BYTES_MAX - XATTR_NAME_BYTES_MAX];
    let name = |i: u8| [&[b'x'; XATTR_NAME_BYTES_MAX - 1][..], &[i + 1]].concat();
    entry.meta.xattrs = (0..16).map(|i| Xattr { name: name(i), value: value.clone() }).collect();
    entry.meta.user = vec![b'u'; OWNER_NAME_BYTES_MAX];
    entry.meta.group = vec![0xff; OWNER_NAME_BYTES_MAX];
    entry.meta.inode = u64::MAX;
    let chunk = Item::Chunk { id: ContentId([1; 32]), len: BLOB_PLAIN_BYTES_MAX as u32 };
    entry.content = Content::Items(vec![chunk; LIST_ITEMS_INLINE]);
    entry.extensions = vec![Extension { kind: 9, critical: false, body: vec![0; EXTENSIONS_BYTES_MAX] }];
    assert_eq!(entry.check(), Ok(()));
    let node = Node::Leaf(vec![entry.clone()]).encode();
    assert_eq!(Node::decode(&node), Ok(Node::Leaf(vec![entry.clone()])));

    let beyond: [fn(&mut Entry); 8] = [
        |e| e.key.push(b'n'),
        |e| e.meta.xattrs[0].value.push(0),
        |e| e.meta.user.push(b'u'),
        |e| e.meta.mode = 0o10000,
        |e| e.meta.size = FILE_BYTES_MAX + 1,
        |e| e.meta.target = b"target".to_vec(),
        |e| e.meta.rdev = (0, 1),
        |e| e.content = Content::Items(vec![Item::Hole { len: 1 }, Item::Hole { len: 1 }]),
    ];
    for (i, change) in beyond.iter().enumerate() {
        let mut bad = entry.clone();
        change(&mut bad);
        assert!(bad.check().is_err(), "change {i}");
    }
}

#[test]
fn what_does_not_apply_to_a_kind_is_refused() {
    let entry = |kind, content, target: &[u8]| {
        let mut entry = file("x", 1);
        entry.meta.kind = kind;
        entry.meta.size = 0;
        entry.meta.target = target.to_vec();
        entry.content = content;
        entry
    };
    let inline = || Content::Inline(b"x".to_vec());
    for (kind, content, target, good) in [
        (EntryKind::File, inline(), &b""[..], true),
        (EntryKind::Directory, inline(), b"", false),
        (EntryKind::Directory, Content::Unreadable, b"", true),
        (EntryKind::Fifo, Content::Unreadable, b"", false),
        (EntryKind::Fifo, Content::Empty, b"", true),
        (EntryKind::Symlink, Content::Empty, b"to", true),
        (EntryKind::Symlink, Content::Empty, b"", false),
        (EntryKind::Symlink, Content::Unreadable, b"", true),
        (EntryKind::Symlink, Content::Empty, b"t\0o", false),
        (EntryKind::File, Content::Empty, b"to", false),
        (EntryKind::Socket, inline(), b"", false),
    ] {
        let entry = entry(kind, content, target);
        assert_eq!(entry.check().is_ok(), good, "{entry:?}");
    }
}
