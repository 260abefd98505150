//! The names in a directory, in one piece of memory.

use super::mounts;
use crate::format::tree::EntryKind;
use rustix::io::Errno;
use std::ffi::CStr;
use std::io;

/// Names, each with a zero byte behind, in one piece of memory.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    pub names: Vec<Name>,
}

/// One of [`Names`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    start: u32,
    /// Without the zero byte.
    len: u16,
    /// The kind, where the listing told.
    pub kind: Option<EntryKind>,
    /// It is left out, but it leads to a root that a person named.
    pub on_the_way: bool,
    /// Something is mounted here that is not to be touched.
    pub mounted: Option<mounts::Kind>,
}

impl Names {
    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn get(&self, at: usize) -> &[u8] {
        let name = self.names[at];
        &self.bytes[name.start as usize..][..name.len as usize]
    }

    pub fn c_str(&self, at: usize) -> &CStr {
        let name = self.names[at];
        CStr::from_bytes_with_nul(&self.bytes[name.start as usize..][..name.len as usize + 1]).unwrap_or_default()
    }

    pub fn push(&mut self, name: &[u8], kind: Option<EntryKind>) -> io::Result<()> {
        let start = u32::try_from(self.bytes.len()).map_err(|_| io::Error::other("too many names in one directory"))?;
        let len = u16::try_from(name.len()).map_err(|_| io::Error::from(Errno::NAMETOOLONG))?;
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        self.names.push(Name { start, len, kind, on_the_way: false, mounted: None });
        Ok(())
    }

    pub fn sort(&mut self) {
        let bytes = &self.bytes;
        let of = |n: &Name| &bytes[n.start as usize..][..n.len as usize];
        self.names.sort_unstable_by(|a, b| of(a).cmp(of(b)));
        // Some file systems list a name twice, most of all while the directory changes.
        self.names.dedup_by(|a, b| of(a) == of(b));
    }

    /// Keeps the names for which `keep` says so. It is told the kind, where that is known, and may mark a name as one
    /// that is left out but for what a person named below it.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], Option<EntryKind>, &mut bool) -> bool) {
        let Names { bytes, names } = self;
        names.retain_mut(|n| keep(&bytes[n.start as usize..][..n.len as usize], n.kind, &mut n.on_the_way));
    }

    /// A name's kind, where the listing told.
    pub fn kind(&self, at: usize) -> Option<EntryKind> {
        self.names[at].kind
    }

    /// False for what the listing says is none.
    pub fn may_be_directory(&self, at: usize) -> bool {
        self.kind(at).is_none_or(|kind| kind == EntryKind::Directory)
    }

    pub fn position(&self, name: &[u8]) -> Option<usize> {
        let of = |n: &Name| &self.bytes[n.start as usize..][..n.len as usize];
        self.names.binary_search_by(|n| of(n).cmp(name)).ok()
    }
}
