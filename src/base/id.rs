//! Identifiers as types, so that a pack's name is never taken for a chunk's id.

use std::fmt;
use std::str::FromStr;

/// An identifier was not the expected number of lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected {expected} hexadecimal digits")]
pub struct IdParseError {
    /// How many digits the id has.
    pub expected: usize,
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $bytes;

            /// The bytes of the id.
            pub fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = IdParseError;

            fn from_str(s: &str) -> Result<Self, IdParseError> {
                let error = IdParseError { expected: 2 * $bytes };
                let digit = |b: u8| match b {
                    b'0'..=b'9' => Some(b - b'0'),
                    b'a'..=b'f' => Some(b - b'a' + 10),
                    _ => None,
                };
                if s.len() != 2 * $bytes {
                    return Err(error);
                }
                let mut out = [0; $bytes];
                for (byte, pair) in out.iter_mut().zip(s.as_bytes().chunks_exact(2)) {
                    let (high, low) = digit(pair[0]).zip(digit(pair[1])).ok_or_else(|| error.clone())?;
                    *byte = high << 4 | low;
                }
                Ok($name(out))
            }
        }
    };
}

id_type!(
    /// Keyed hash of a plaintext: of a chunk, a tree node or a content list (each kind under its own key).
    ContentId,
    32
);
id_type!(
    /// BLAKE3 of an object's bytes: the name of a pack, index segment, snapshot or state record.
    ObjectId,
    32
);
id_type!(
    /// A random name of a session.
    SessionId,
    16
);
id_type!(
    /// A random name of a store, made at its creation.
    StoreId,
    16
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_prints() {
        let id = SessionId(std::array::from_fn(|i| i as u8 * 17));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn wrong_length_and_wrong_digits_are_refused() {
        for bad in ["", "00", &"0".repeat(31), &"g".repeat(32), &"A".repeat(32)] {
            assert_eq!(bad.parse::<StoreId>(), Err(IdParseError { expected: 32 }), "{bad:?}");
        }
    }
}
