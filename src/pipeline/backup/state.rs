//! Which state of a big file is being read: the one that the walk saw, or another.
//!
//! Several threads read pieces of the file. If it was replaced before it was opened, or has changed, the first thread
//! that notices records its present state, and every piece is compared with that.

use super::context::BackupContext;
use super::item::BigFile;
use super::read::{now, xattrs_of};
use crate::format::tree::Meta;
use crate::source::{Fingerprint, MadeUp, Source, SourceFile};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is known of the state that is read.
#[derive(Debug, Default)]
pub struct State {
    /// It is not what the walk saw, but this.
    other: OnceLock<(Fingerprint, Meta)>,
    /// Something of it was read while it was what the walk saw.
    as_walked: AtomicBool,
}

impl State {
    /// Whether it is known not to be what the walk saw.
    pub fn is_other(&self) -> bool {
        self.other.get().is_some()
    }

    /// All that is recorded of it, where that is not what the walk saw; and whether it changed after a part was read.
    pub fn other(&self) -> Option<(&Meta, bool)> {
        self.other.get().map(|(_, meta)| (meta, self.as_walked.load(Ordering::Acquire)))
    }
}

impl BigFile {
    /// What it is like as long as it does not change.
    pub fn fingerprint(&self) -> Fingerprint {
        self.state.other.get().map_or_else(|| Fingerprint::of(&self.found.meta), |(seen, _)| *seen)
    }

    /// Holds what the open file is like after a part of it was read against what it should be like. `knew` is what
    /// [`State::is_other`] said before that was read. True when the part is to be read again: what was read may be of an
    /// earlier state than the one that was taken down meanwhile.
    pub fn read_again(
        &self,
        context: &BackupContext,
        source: &dyn Source,
        file: &dyn SourceFile,
        seen: Option<Fingerprint>,
        knew: bool,
    ) -> io::Result<bool> {
        let Some(seen) = seen else { return Ok(false) };
        if self.state.is_other() {
            let same = seen == self.fingerprint();
            self.changed.fetch_or(!same, Ordering::Release);
            return Ok(same && !knew);
        }
        if seen == Fingerprint::of(&self.found.meta) {
            self.state.as_walked.store(true, Ordering::Release);
            return Ok(false);
        }
        if self.state.as_walked.load(Ordering::Acquire) {
            self.changed.store(true, Ordering::Release);
            return Ok(false);
        }
        let mut meta = self.found.meta.clone();
        now(&mut meta, file, &seen)?;
        let xattrs = xattrs_of(context, &self.found.key, file.xattrs()).unwrap_or_default();
        *self.xattrs.lock() = xattrs;
        _ = self.state.other.set((seen, meta));
        // Where its holes lie was asked before.
        if self.found.sparse && source.made_up(&self.found) == MadeUp::No {
            self.changed.store(true, Ordering::Release);
        }
        Ok(true)
    }
}
