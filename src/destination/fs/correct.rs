//! Giving entries that are there already what the snapshot has for them, and taking away what it lacks.

use super::compare::{self, At};
use super::directory::Born;
use super::file::HALF_WRITTEN;
use super::flags::{SEALING, explain, open_for_flags};
use super::lend::NOT_LENT;
use super::{FsDestination, FsDirectory};
use crate::destination::{Attributes, Destination, Existing};
use crate::format::extension::FLAG_NOCOW;
use crate::format::tree::EntryKind;
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::Mode;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl FsDestination {
    /// See [`Destination::touch_up`].
    pub(super) fn correct(
        &self,
        directory: &Arc<FsDirectory>,
        name: &[u8],
        kind: EntryKind,
        attributes: &Attributes<'_>,
    ) -> io::Result<()> {
        let fd = self.directories.fd(directory)?;
        let entry = Self::open_path(&fd, name)?;
        let existing = compare::existing(&compare::look(entry.as_fd(), c"")?, HALF_WRITTEN);
        if existing.kind != kind {
            return Err(io::Error::other("it was replaced by something else during the restore"));
        }
        let born = Born { uid: existing.uid, gid: existing.gid, acl: false };
        if kind == EntryKind::Symlink {
            self.applier.remove_extra(At::Name(fd.as_fd(), name), attributes.xattrs)?;
            return self.applier.apply_to_link(fd.as_fd(), name, attributes, born);
        }
        let flags = existing.flags_known & self.applier.flags_of_user();
        let changed = (existing.flags ^ attributes.flags) & flags;
        // What seals it and shall not goes first: nothing else can be changed before.
        let unseal = existing.flags & changed & SEALING;
        let reach = if changed == 0 { None } else { open_for_flags(&entry).ok() };
        if let Some(reach) = reach.as_ref().filter(|_| unseal != 0) {
            self.flags.set(reach, 0, unseal);
        }
        let sealed = existing.flags & !unseal;
        self.make_changeable(&entry, &existing)?;
        let done = self.applier.remove_extra(At::Open(entry.as_fd()), attributes.xattrs);
        let done = done.and_then(|()| self.applier.apply_to_path(entry.as_fd(), attributes, born));
        done.map_err(|error| explain(error, sealed))?;
        match &reach {
            Some(reach) => self.flags.set(reach, attributes.flags, changed & !SEALING),
            None if changed != 0 => self.flags.refuse(),
            None => {}
        }
        if attributes.flags & changed & SEALING != 0 {
            self.flags.late(directory, name, attributes.flags, existing.identity);
        }
        Ok(())
    }

    /// See [`Destination::finish_directory`].
    pub(super) fn complete_directory(
        &self,
        directory: &Arc<FsDirectory>,
        attributes: &Attributes<'_>,
        made: bool,
    ) -> io::Result<()> {
        let fd = self.directories.fd(directory)?;
        let existing = compare::existing(&compare::look(fd.as_fd(), c"")?, HALF_WRITTEN);
        let born = Born { uid: existing.uid, gid: existing.gid, acl: false };
        let known = existing.flags_known & self.applier.flags_of_user();
        if made {
            self.applier.apply(fd.as_fd(), attributes, born, true)?;
            let wanted = attributes.flags & (known | FLAG_NOCOW);
            if wanted != 0 {
                self.flags.set(&*fd, wanted, wanted);
            }
            return Ok(());
        }
        let wanted = attributes.facts(EntryKind::Directory);
        if self.compare_directory(directory, &wanted)?.is_empty() && existing.mtime == attributes.mtime {
            return Ok(());
        }
        directory.lent.store(NOT_LENT, Relaxed);
        let changed = (existing.flags ^ attributes.flags) & known;
        let unseal = existing.flags & changed & SEALING;
        if unseal != 0 {
            self.flags.set(&*fd, 0, unseal);
        }
        self.make_changeable(&fd, &existing)?;
        let done = self.applier.remove_extra(At::Open(fd.as_fd()), attributes.xattrs);
        let done = done.and_then(|()| self.applier.apply(fd.as_fd(), attributes, born, true));
        done.map_err(|error| explain(error, existing.flags & !unseal))?;
        if changed & !unseal != 0 {
            self.flags.set(&*fd, attributes.flags, changed);
        }
        Ok(())
    }

    /// A user may not change the extended attributes of what he may not write, even of his own. Its mode comes after.
    fn make_changeable(&self, entry: impl AsFd, existing: &Existing) -> io::Result<()> {
        if self.applier.root || existing.mode & 0o200 != 0 || existing.uid != self.applier.user {
            return Ok(());
        }
        let own = format!("/proc/self/fd/{}", entry.as_fd().as_raw_fd());
        Ok(rustix::fs::chmod(own, Mode::from_raw_mode(existing.mode | 0o200))?)
    }
}
