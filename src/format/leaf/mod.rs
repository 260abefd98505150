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
mod tests;
