//! Typed extensions: the room later versions grow into.
//!
//! `count u8 · per extension: kind u16 · critical u8 · length varint · body`, kinds ascending strictly.

use crate::base::limits::{EXTENSIONS_BYTES_MAX, EXTENSIONS_MAX};
use crate::format::cursor::{Reader, put_bytes};
use crate::format::error::{DecodeError, Reason};

/// Of a manifest: paths that could not be read, and files that changed while they were (`format::problems`).
pub const MANIFEST_PROBLEMS: u16 = 1;

/// Of a manifest: which file flags were asked for of every entry, `u32` little-endian. Without it, those of an entry that
/// has none are not known.
pub const MANIFEST_FLAGS_ASKED: u16 = 2;

/// One extension. Types ascend strictly within a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// What it is.
    pub kind: u16,
    /// A reader that does not know `kind` must refuse the record.
    pub critical: bool,
    pub body: Vec<u8>,
}

/// An entry's file flags (`chattr`): `u32` little-endian, the bits of `FS_IOC_GETFLAGS` among [`FILE_FLAGS_KNOWN`].
/// Not there when none of them is set.
pub const FILE_FLAGS: u16 = 1;

/// Cannot be changed at all.
pub const FLAG_IMMUTABLE: u32 = 0x10;
/// Can only be appended to.
pub const FLAG_APPEND: u32 = 0x20;
/// Left out by `dump`.
pub const FLAG_NODUMP: u32 = 0x40;
/// Written in place, where a file system would copy on write.
pub const FLAG_NOCOW: u32 = 0x80_0000;
/// The flags that are kept.
pub const FILE_FLAGS_KNOWN: u32 = FLAG_IMMUTABLE | FLAG_APPEND | FLAG_NODUMP | FLAG_NOCOW;

/// The extensions of an entry with these file flags.
pub fn with_file_flags(flags: u32) -> Vec<Extension> {
    match flags & FILE_FLAGS_KNOWN {
        0 => Vec::new(),
        flags => vec![Extension { kind: FILE_FLAGS, critical: false, body: flags.to_le_bytes().to_vec() }],
    }
}

/// The file flags in an entry's extensions. Bits that this version does not know are passed over.
pub fn file_flags(extensions: &[Extension]) -> u32 {
    let body = extensions.iter().find(|x| x.kind == FILE_FLAGS).map(|x| x.body.as_slice());
    let flags = body.and_then(|body| body.try_into().ok()).map_or(0, u32::from_le_bytes);
    flags & FILE_FLAGS_KNOWN
}

/// Those file flags that a backup asks for of every file and directory; more takes opening them.
pub const FILE_FLAGS_ASKED: u32 = FLAG_IMMUTABLE | FLAG_APPEND | FLAG_NODUMP;

/// The extension of a manifest whose backup asked for file flags.
pub fn flags_asked() -> Extension {
    Extension { kind: MANIFEST_FLAGS_ASKED, critical: false, body: FILE_FLAGS_ASKED.to_le_bytes().to_vec() }
}

/// Which file flags a snapshot knows of every entry, by its manifest's extensions.
pub fn known_flags(manifest: &[Extension]) -> u32 {
    let body = manifest.iter().find(|x| x.kind == MANIFEST_FLAGS_ASKED).map(|x| x.body.as_slice());
    body.and_then(|body| body.try_into().ok()).map_or(0, u32::from_le_bytes) & FILE_FLAGS_KNOWN
}

/// Which file flags are known of an entry of a snapshot that knows `of_all` of every one.
pub fn known_flags_of(extensions: &[Extension], of_all: u32) -> u32 {
    if extensions.iter().any(|x| x.kind == FILE_FLAGS) { FILE_FLAGS_KNOWN } else { of_all }
}

/// Appends a record's extensions.
pub fn put_extensions(out: &mut Vec<u8>, extensions: &[Extension]) {
    debug_assert!(extensions.len() <= EXTENSIONS_MAX && extensions.is_sorted_by(|a, b| a.kind < b.kind));
    out.push(extensions.len() as u8);
    for extension in extensions {
        out.extend_from_slice(&extension.kind.to_le_bytes());
        out.push(u8::from(extension.critical));
        put_bytes(out, &extension.body);
    }
}

/// Reads a record's extensions. This version knows none, so that a critical one is refused and others are kept as they are.
pub fn read_extensions(reader: &mut Reader<'_>) -> Result<Vec<Extension>, DecodeError> {
    let start = reader.position();
    let count = usize::from(reader.u8()?);
    reader.check(start, count <= EXTENSIONS_MAX, Reason::Limit)?;
    reader.check_count(start, count, 4)?;
    let mut extensions: Vec<Extension> = Vec::with_capacity(count);
    let mut room = EXTENSIONS_BYTES_MAX;
    for _ in 0..count {
        let start = reader.position();
        let kind = reader.u16()?;
        reader.check(start, extensions.last().is_none_or(|last| last.kind < kind), Reason::Order)?;
        let critical = reader.u8()?;
        reader.check(start + 2, critical <= 1, Reason::Value)?;
        let body = reader.bytes(room)?;
        room -= body.len();
        reader.check(start, critical == 0, Reason::UnknownCritical)?;
        extensions.push(Extension { kind, critical: false, body: body.to_vec() });
    }
    Ok(extensions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(extensions: &[Extension]) -> Result<Vec<Extension>, Reason> {
        let mut bytes = Vec::new();
        put_extensions(&mut bytes, extensions);
        read_extensions(&mut Reader::new("test", &bytes)).map_err(|error| error.reason)
    }

    fn extension(kind: u16, critical: bool, len: usize) -> Extension {
        Extension { kind, critical, body: vec![7; len] }
    }

    #[test]
    fn unknown_extensions_are_kept_unless_they_are_critical() {
        let known = vec![extension(1, false, 0), extension(900, false, 300)];
        assert_eq!(read(&known), Ok(known.clone()));
        assert_eq!(read(&[extension(1, false, 0), extension(2, true, 0)]), Err(Reason::UnknownCritical));
    }

    #[test]
    fn file_flags_are_kept_as_four_bytes_and_only_when_there_are_some() {
        assert_eq!(with_file_flags(0), []);
        assert_eq!(with_file_flags(0x8_0000), []);
        let some = with_file_flags(FLAG_NODUMP | FLAG_NOCOW | 1);
        assert_eq!(some, [Extension { kind: 1, critical: false, body: vec![0x40, 0, 0x80, 0] }]);
        assert_eq!(file_flags(&some), FLAG_NODUMP | FLAG_NOCOW);
        let later = |body: &[u8]| file_flags(&[Extension { kind: 1, critical: false, body: body.to_vec() }]);
        assert_eq!(later(&[0x71, 1, 0, 0xff]), FLAG_IMMUTABLE | FLAG_APPEND | FLAG_NODUMP);
        assert_eq!((later(&[]), later(&[0x10; 5]), file_flags(&[])), (0, 0, 0));
        // What an older program stored knows only those that are there.
        assert_eq!((known_flags(&[]), known_flags(&[flags_asked()])), (0, FILE_FLAGS_ASKED));
        assert_eq!((known_flags_of(&[], 0), known_flags_of(&[], FILE_FLAGS_ASKED)), (0, FILE_FLAGS_ASKED));
        assert_eq!(known_flags_of(&some, 0), FILE_FLAGS_KNOWN);
    }

    #[test]
    fn more_than_the_limits_is_refused() {
        assert!(read(&[extension(1, false, EXTENSIONS_BYTES_MAX)]).is_ok());
        let two = [extension(1, false, EXTENSIONS_BYTES_MAX), extension(2, false, 1)];
        assert_eq!(read(&two), Err(Reason::Limit));
        let mut bytes = vec![EXTENSIONS_MAX as u8 + 1];
        bytes.resize(1000, 0);
        assert_eq!(read_extensions(&mut Reader::new("test", &bytes)).unwrap_err().reason, Reason::Limit);
    }
}
