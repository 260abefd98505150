//! Corrects the attributes of entries that exist already.

use super::attributes::{ACL_DEFAULT, strip_acl};
use super::compare::{self, At};
use super::directory::Born;
use super::file::HALF_WRITTEN;
use super::flags::{SEALING, explain, open_for_flags};
use super::flush::flush;
use super::lend::NOT_LENT;
use super::{FsDestination, FsDirectory};
use crate::destination::{Attributes, Destination, Existing, Loss, Losses, Part};
use crate::format::extension::FLAG_NOCOW;
use crate::format::tree::EntryKind;
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::Mode;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl FsDestination {
    /// See [`Destination::correct_attributes`].
    pub(super) fn correct(
        &self,
        directory: &Arc<FsDirectory>,
        name: &[u8],
        kind: EntryKind,
        attributes: &Attributes<'_>,
    ) -> io::Result<Losses> {
        let fd = self.directories.fd(directory)?;
        let entry = Self::open_path(&fd, name)?;
        let existing = compare::existing(&compare::look(entry.as_fd(), c"")?, HALF_WRITTEN);
        if existing.kind != kind {
            return Err(io::Error::other("it was replaced by something else during the restore"));
        }
        let born = Born { uid: existing.uid, gid: existing.gid, acl: false };
        if kind == EntryKind::Symlink {
            let mut losses = self.applier.remove_extra(At::Name(fd.as_fd(), name), attributes.xattrs);
            losses.extend(self.applier.apply_to_link(fd.as_fd(), name, attributes, born));
            return Ok(losses);
        }
        let flags = existing.flags_known & self.applier.flags_of_user() & attributes.flags_known;
        let changed = (existing.flags ^ attributes.flags) & flags;
        // What seals it and shall not goes first: nothing else can be changed before.
        let unseal = existing.flags & changed & SEALING;
        let reach = if changed == 0 { None } else { open_for_flags(&entry).ok() };
        if let Some(reach) = reach.as_ref().filter(|_| unseal != 0) {
            self.flags.set(reach, 0, unseal);
        }
        let sealed = existing.flags & !unseal;
        self.make_changeable(&entry, &existing);
        let mut losses = self.applier.remove_extra(At::Open(entry.as_fd()), attributes.xattrs);
        losses.extend(self.applier.apply_to_path(entry.as_fd(), attributes, born));
        explain_all(&mut losses, sealed);
        match &reach {
            Some(reach) => self.flags.set(reach, attributes.flags, changed & !SEALING),
            None if changed != 0 => self.flags.refuse(),
            None => {}
        }
        if attributes.flags & changed & SEALING != 0 {
            self.flags.late(directory, name, attributes.flags, existing.identity);
        }
        Ok(losses)
    }

    /// See [`Destination::finish_directory`].
    pub(super) fn complete_directory(
        &self,
        directory: &Arc<FsDirectory>,
        attributes: &Attributes<'_>,
        made: bool,
    ) -> io::Result<Losses> {
        let fd = self.directories.fd(directory)?;
        let existing = compare::existing(&compare::look(fd.as_fd(), c"")?, HALF_WRITTEN);
        let inherits = made && directory.inherits.load(Relaxed);
        let born = Born { uid: existing.uid, gid: existing.gid, acl: inherits };
        let known = existing.flags_known & self.applier.flags_of_user() & attributes.flags_known;
        self.count_time(directory, &fd, attributes.mtime);
        if made {
            let stripped = !inherits || strip_acl(&*fd, ACL_DEFAULT);
            let mut losses = self.applier.apply(fd.as_fd(), attributes, born, true);
            if !stripped {
                let error = io::Error::other("it cannot be removed");
                losses.push(Loss { part: Part::InheritedAcl, error, refused: false });
            }
            let wanted = attributes.flags & (known | FLAG_NOCOW);
            if wanted != 0 {
                self.flags.set(&*fd, wanted, wanted);
            }
            if directory.flushes {
                flush(&*fd, &mut losses)?;
            }
            return Ok(losses);
        }
        let wanted = attributes.facts(EntryKind::Directory);
        // One that cannot be compared is brought up to date.
        let is_right = self.compare_directory(directory, &wanted).is_ok_and(|differ| differ.is_empty())
            && self.is_same_time(directory, existing.mtime, attributes.mtime, self.dry_run);
        self.time_is_given(existing.identity);
        if is_right {
            return Ok(vec![]);
        }
        directory.lent.store(NOT_LENT, Relaxed);
        let changed = (existing.flags ^ attributes.flags) & known;
        let unseal = existing.flags & changed & SEALING;
        if unseal != 0 {
            self.flags.set(&*fd, 0, unseal);
        }
        self.make_changeable(&fd, &existing);
        let mut losses = self.applier.remove_extra(At::Open(fd.as_fd()), attributes.xattrs);
        losses.extend(self.applier.apply(fd.as_fd(), attributes, born, true));
        explain_all(&mut losses, existing.flags & !unseal);
        if changed & !unseal != 0 {
            self.flags.set(&*fd, attributes.flags, changed);
        }
        if directory.flushes {
            flush(&*fd, &mut losses)?;
        }
        Ok(losses)
    }

    /// A user may not change the extended attributes of what he may not write, even of his own. Its mode comes after.
    /// Where that fails, what needs it fails, too, and says so.
    fn make_changeable(&self, entry: impl AsFd, existing: &Existing) {
        if !self.applier.root && existing.mode & 0o200 == 0 && existing.uid == self.applier.user {
            let own = format!("/proc/self/fd/{}", entry.as_fd().as_raw_fd());
            _ = rustix::fs::chmod(own, Mode::from_raw_mode(existing.mode | 0o200));
        }
    }
}

/// What an entry refuses that is sealed is a matter of this entry, and can be permitted.
fn explain_all(losses: &mut Losses, flags: u32) {
    if flags & SEALING == 0 {
        return;
    }
    for loss in losses {
        loss.refused = false;
        loss.error = explain(std::mem::replace(&mut loss.error, io::ErrorKind::Other.into()), flags);
    }
}
