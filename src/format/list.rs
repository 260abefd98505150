//! Content of a file: items inline in its entry, or a tree of lists above [`LIST_ITEMS_INLINE`] items.
//!
//! [`LIST_ITEMS_INLINE`]: crate::base::limits::LIST_ITEMS_INLINE

use crate::base::id::ContentId;
use crate::format::error::DecodeError;

/// One piece of a file, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A chunk's id and plaintext length.
    Chunk {
        /// Its id.
        id: ContentId,
        /// Its length, at least 1.
        len: u32,
    },
    /// A hole of this many bytes (at least 1; never two in a row).
    Hole {
        /// Its length.
        len: u64,
    },
}

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
    /// The node.
    pub id: ContentId,
    /// File bytes below it.
    pub bytes: u64,
    /// Items below it.
    pub items: u64,
}

impl ListNode {
    /// All bytes.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads a node back.
    pub fn decode(_bytes: &[u8]) -> Result<ListNode, DecodeError> {
        todo!()
    }
}
