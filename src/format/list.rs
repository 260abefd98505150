//! Content of a file: items inline in its entry, or a tree of lists above [`LIST_ITEMS_INLINE`] items.
//!
//! [`LIST_ITEMS_INLINE`]: crate::base::limits::LIST_ITEMS_INLINE

use crate::base::id::ContentId;
use crate::base::limits::{BLOB_PLAIN_BYTES_MAX, FILE_BYTES_MAX, NODE_DECODE_BYTES_MAX, TREE_LEVELS_MAX};
use crate::format::cursor::{Reader, put_varint};
use crate::format::error::{DecodeError, Reason};

/// One piece of a file, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A chunk's id and plaintext length.
    Chunk {
        id: ContentId,
        /// Its length, at least 1.
        len: u32,
    },
    /// A hole of this many bytes (at least 1; never two in a row).
    Hole { len: u64 },
}

#[allow(clippy::len_without_is_empty, reason = "no item is empty")]
impl Item {
    /// Bytes of the file this item stands for.
    pub fn len(&self) -> u64 {
        match self {
            Item::Chunk { len, .. } => u64::from(*len),
            Item::Hole { len } => *len,
        }
    }
}

/// A node of a list tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListNode {
    /// Level 0: items.
    Leaf(Vec<Item>),
    /// Level 1 and up: nodes below, with the bytes and items they stand for.
    Inner {
        /// This node's level.
        level: u8,
        /// Children in order; at least 2.
        children: Vec<ListChild>,
    },
}

/// A reference to a list node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListChild {
    pub id: ContentId,
    /// File bytes below it.
    pub bytes: u64,
    /// Items below it.
    pub items: u64,
}

impl Item {
    /// Appends `(length << 1 | is a hole) varint · (chunk: id 32)`.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        debug_assert!(self.len() <= FILE_BYTES_MAX);
        match self {
            Item::Chunk { id, len } => {
                put_varint(out, u64::from(*len) << 1);
                out.extend_from_slice(&id.0);
            }
            Item::Hole { len } => put_varint(out, len << 1 | 1),
        }
    }

    /// Reads `count` items (at least 1) that lie one after another in one file.
    pub(super) fn read_all(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Item>, DecodeError> {
        let mut items = Vec::with_capacity(count);
        let mut room = FILE_BYTES_MAX;
        let mut after_hole = false;
        for _ in 0..count {
            let at = reader.position();
            let head = reader.varint()?;
            let (len, hole) = (head >> 1, head & 1 == 1);
            reader.check(at, len >= 1 && !(hole && after_hole), Reason::Value)?;
            room = room.checked_sub(len).ok_or_else(|| reader.error_at(at, Reason::Limit))?;
            after_hole = hole;
            items.push(if hole {
                Item::Hole { len }
            } else {
                reader.check(at, len <= BLOB_PLAIN_BYTES_MAX as u64, Reason::Limit)?;
                Item::Chunk { id: ContentId(reader.array()?), len: len as u32 }
            });
        }
        Ok(items)
    }
}

impl ListNode {
    const CHILD_LEN_MIN: usize = ContentId::LEN + 2;

    /// All bytes: `level u8 · count u32`, then for level 0 the items, above per child `id 32 · bytes varint · items varint`.
    pub fn encode(&self) -> Vec<u8> {
        let (level, count) = match self {
            ListNode::Leaf(items) => (0, items.len()),
            ListNode::Inner { level, children } => (*level, children.len()),
        };
        let mut out = Vec::with_capacity(5 + 44 * count);
        out.push(level);
        out.extend_from_slice(&(count as u32).to_le_bytes());
        match self {
            ListNode::Leaf(items) => items.iter().for_each(|item| item.put(&mut out)),
            ListNode::Inner { children, .. } => {
                for child in children {
                    out.extend_from_slice(&child.id.0);
                    put_varint(&mut out, child.bytes);
                    put_varint(&mut out, child.items);
                }
            }
        }
        out
    }

    /// Reads a node back.
    pub fn decode(bytes: &[u8]) -> Result<ListNode, DecodeError> {
        let mut reader = Reader::limited("content list", bytes, NODE_DECODE_BYTES_MAX)?;
        let level = reader.u8()?;
        reader.check(0, usize::from(level) < TREE_LEVELS_MAX, Reason::Limit)?;
        let count = reader.u32()? as usize;
        let node = if level == 0 {
            reader.check(1, count >= 1, Reason::Value)?;
            // Holes take one byte, but never two stand in a row.
            reader.check_count(1, count / 2, 1 + ContentId::LEN)?;
            ListNode::Leaf(Item::read_all(&mut reader, count)?)
        } else {
            reader.check(1, count >= 2, Reason::Value)?;
            reader.check_count(1, count, Self::CHILD_LEN_MIN)?;
            ListNode::Inner { level, children: Self::read_children(&mut reader, count)? }
        };
        reader.finish()?;
        Ok(node)
    }

    fn read_children(reader: &mut Reader<'_>, count: usize) -> Result<Vec<ListChild>, DecodeError> {
        let mut children = Vec::with_capacity(count);
        let mut room = FILE_BYTES_MAX;
        for _ in 0..count {
            let id = ContentId(reader.array()?);
            let at = reader.position();
            let bytes = reader.varint_in(1, room)?;
            // An item stands for one byte at least.
            let items = reader.varint_in(1, u64::MAX)?;
            reader.check(at, items <= bytes, Reason::Totals)?;
            room -= bytes;
            children.push(ListChild { id, bytes, items });
        }
        Ok(children)
    }
}
