//! Typed extensions: the room later versions grow into.

/// One extension. Types ascend strictly within a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// What it is.
    pub kind: u16,
    /// A reader that does not know `kind` must refuse the record.
    pub critical: bool,
    /// Its content.
    pub body: Vec<u8>,
}
