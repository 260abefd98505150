//! Pinned signers and seen heads, in the configuration folder.

use crate::base::id::ObjectId;

/// What is known of a snapshot's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authenticity {
    /// Signed by a pinned signer.
    Authentic,
    /// First signature of a member: pinned now.
    PinnedNow,
    /// Signed by someone who is neither pinned nor could be pinned (another key under a known host label).
    UnknownSigner,
    /// Not signed.
    Unsigned,
    /// The signature does not fit.
    Tampered,
    /// Part of it is missing.
    Incomplete {
        /// What.
        missing: ObjectId,
    },
}
