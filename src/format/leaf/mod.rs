//! Leaves of the tree, entry by entry, in a form that leaves out what the entry before says already.
//!
//! Leaf: `level u8 = 0 · count u32 · entries`. Entry:
//!
//! ```text
//! form u8: kind (bits 0-2) · content form (3-5) · changed while read (6) · has extensions (7)
//! flags u16: see the constants
//! shared u8 · suffix bytes                    key: leading bytes of the key before it, then its own
//! [mode varint] [uid varint · gid varint] [user bytes · group bytes] [device varint] [nlink varint]
//! inode zigzag                                difference to the entry before it
//! [mtime] [ctime] [btime]                     differences, each: seconds zigzag · nanoseconds zigzag
//! [size varint]                               files
//! [target bytes]                              symlinks
//! [major varint · minor varint]               devices
//! [count varint · per attribute: name bytes · value bytes]
//! content, by its form
//! [extensions]
//! ```
//!
//! Before the first entry everything is zero or empty. A flag is set exactly when what it says holds.

mod decoder;
mod encoder;

pub use decoder::LeafDecoder;
pub use encoder::LeafEncoder;

const CHANGED: u8 = 1 << 6;
const EXTENDED: u8 = 1 << 7;

/// Forms of content.
const EMPTY: u8 = 0;
/// Length varint, which is not the size; bytes.
const INLINE: u8 = 1;
/// Count u8, items.
const ITEMS: u8 = 2;
/// Id 32, level u8, items varint.
const LIST: u8 = 3;
const UNREADABLE: u8 = 4;
/// Id 32 of the one chunk, which is as long as the file.
const WHOLE: u8 = 5;
/// As many bytes as the file has.
const INLINE_WHOLE: u8 = 6;

/// As in the entry before: mode; uid and gid; both names; device.
const SAME_MODE: u16 = 1;
const SAME_OWNER: u16 = 1 << 1;
const SAME_NAMES: u16 = 1 << 2;
const SAME_DEVICE: u16 = 1 << 3;
/// The link count is 1.
const ONE_LINK: u16 = 1 << 4;
/// mtime as in the entry before.
const SAME_MTIME: u16 = 1 << 5;
/// ctime equals the entry's own mtime; else: ctime as in the entry before.
const CTIME_IS_MTIME: u16 = 1 << 6;
const SAME_CTIME: u16 = 1 << 7;
/// Two bits for btime: there is none; equals the own ctime; else equals the own mtime; a difference to the own ctime.
const BTIME: u16 = 3 << 8;
const BTIME_IS_CTIME: u16 = 1 << 8;
const BTIME_IS_MTIME: u16 = 2 << 8;
const BTIME_OWN: u16 = 3 << 8;
/// There are extended attributes; they are those of the entry before (and short).
const XATTRS: u16 = 1 << 10;
const SAME_XATTRS: u16 = 1 << 11;
const KNOWN_FLAGS: u16 = (1 << 12) - 1;

/// Level and count.
const HEADER_LEN: usize = 5;
/// Form, flags, shared, suffix length, inode.
const ENTRY_LEN_MIN: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ContentId;
    use crate::base::time::Time;
    use crate::format::list::Item;
    use crate::format::tree::{Content, Entry, EntryKind, Meta, Node};

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
}
