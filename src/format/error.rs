//! Why bytes could not be decoded.

/// A decoder's refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {reason} at byte {offset}")]
pub struct DecodeError {
    /// What was being decoded, e.g. `pack table`.
    pub object: &'static str,
    /// Where in its bytes.
    pub offset: usize,
    /// What is wrong there.
    pub reason: Reason,
}

/// What a decoder can find wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Reason {
    #[error("ends too early")]
    Truncated,
    #[error("bytes left over")]
    Trailing,
    #[error("wrong magic bytes")]
    Magic,
    #[error("format version not known to this program")]
    Version,
    #[error("value beyond its limit")]
    Limit,
    #[error("value not allowed here")]
    Value,
    #[error("not in canonical form")]
    NotCanonical,
    #[error("entries out of order")]
    Order,
    #[error("an extension this program must know and does not")]
    UnknownCritical,
    #[error("totals do not add up")]
    Totals,
}
