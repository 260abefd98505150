//! Keys, ids, seals and signatures. See `docs/format.md` for the constructions and `docs/threat_model.md` for what they hold.

pub mod keys;
pub mod hash;
pub mod lanes;
pub mod aead;
pub mod pack;
pub mod seal;
pub mod slot;
pub mod sign;

/// Why something sealed or signed is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// The tag does not fit: damaged, moved, or made with another key.
    #[error("authentication failed: damaged or made with another key")]
    Authentication,
    /// A key slot's commitment does not fit.
    #[error("wrong passphrase or key file")]
    WrongSecret,
    /// A signature does not fit.
    #[error("signature is not valid")]
    Signature,
    /// The derivation asks for more (or less) than we run.
    #[error("key derivation asks for memory, passes or lanes outside of what is allowed")]
    Cost,
    /// The derivation's memory is not there.
    #[error("not enough memory for the key derivation")]
    Memory,
    /// It opened, and holds something else than expected.
    #[error("sealed content has a form this program does not know: a newer program wrote it")]
    Content,
}
