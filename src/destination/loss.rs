//! What an entry was restored without, since the destination refused it.

use std::fmt;
use std::io;

/// A part of an entry besides its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Owner and group.
    Owner(u32, u32),
    Mode(u32),
    /// The time of its last change.
    Time,
    /// An extended attribute (ACLs and capabilities are such), by its name, and the bytes of its value.
    Xattr(Box<[u8]>, usize),
    /// An ACL that it inherited and should not have.
    InheritedAcl,
    /// Extended attributes that the snapshot's entry lacks.
    ExtraXattrs,
    /// It is a copy, not another name of the same file.
    Link,
    /// What was written is there, whether on the disk is not known.
    Durable,
}

impl Part {
    /// What all parts have in common that a destination takes or refuses alike, in words for people.
    pub fn class(&self) -> String {
        match self {
            Part::Owner(..) => "owners".into(),
            Part::Mode(_) => "modes".into(),
            Part::Time => "modification times".into(),
            Part::Xattr(name, _) if name.starts_with(b"user.") => "extended attributes of users".into(),
            Part::Xattr(name, _) if name.starts_with(b"trusted.") => "extended attributes of root (trusted)".into(),
            Part::Xattr(name, _) if name.starts_with(b"system.posix_acl_") => "ACLs".into(),
            Part::Xattr(name, _) => format!("extended attributes {:?}", String::from_utf8_lossy(name)),
            Part::InheritedAcl => "inherited ACLs".into(),
            Part::ExtraXattrs => "other extended attributes".into(),
            Part::Link => "hard links".into(),
            Part::Durable => "writes".into(),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Owner(uid, gid) => write!(f, "its owner {uid}:{gid}"),
            Part::Mode(mode) => write!(f, "its mode {mode:04o}"),
            Part::Time => write!(f, "its modification time"),
            Part::Xattr(name, len) => {
                write!(f, "its extended attribute {:?} of {len} bytes", String::from_utf8_lossy(name))
            }
            Part::InheritedAcl => write!(f, "losing an ACL that it inherited"),
            Part::ExtraXattrs => write!(f, "losing extended attributes that the snapshot lacks"),
            Part::Link => write!(f, "being another name of the same file: it is a copy"),
            Part::Durable => write!(f, "being flushed to the disk"),
        }
    }
}

/// A part that an entry was restored without.
#[derive(Debug)]
pub struct Loss {
    pub part: Part,
    pub error: io::Error,
    /// By its error, the destination may not be able to do this for any entry, or this user may not.
    pub refused: bool,
}

impl Loss {
    /// The same for another name of the entry.
    pub fn again(&self) -> Loss {
        let error = match self.error.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::new(self.error.kind(), self.error.to_string()),
        };
        Loss { part: self.part.clone(), error, refused: self.refused }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.part, self.error)
    }
}

/// What one entry was restored without: nothing, as a rule.
pub type Losses = Vec<Loss>;

/// See [`lost_parts`].
pub const LOST_OWNER: u8 = 1;
/// See [`lost_parts`].
pub const LOST_MODE: u8 = 2;
/// See [`lost_parts`].
pub const LOST_TIME: u8 = 4;
/// See [`lost_parts`].
pub const LOST_XATTR: u8 = 8;

/// The parts that were lost, as bits: what need not be looked at again.
pub fn lost_parts(losses: &[Loss]) -> u8 {
    let bit = |loss: &Loss| match loss.part {
        Part::Owner(..) => LOST_OWNER,
        Part::Mode(_) => LOST_MODE,
        Part::Time => LOST_TIME,
        Part::Xattr(..) | Part::InheritedAcl | Part::ExtraXattrs => LOST_XATTR,
        Part::Link | Part::Durable => 0,
    };
    losses.iter().map(bit).fold(0, |all, bit| all | bit)
}
