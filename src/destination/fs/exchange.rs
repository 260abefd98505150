//! What is complete under a temporary name takes the place of what lies there. Nothing of that goes before: a full
//! directory is asked whether all in it may go, changes places with the new entry, and is removed then.

use super::flags::explain;
use super::make::make_directory;
use super::{FsDestination, FsDirectory, compare};
use crate::destination::{Clear, Clearing, DIRECTORY_STAYS};
use crate::format::tree::EntryKind;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;
use std::io;
use std::sync::Arc;

/// A file is whole, and lies under a temporary name.
pub(super) fn not_renamed(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::DirectoryNotEmpty => error,
        _ => io::Error::other(format!("it cannot be renamed to take the place of what is there: {error}")),
    }
}

/// Puts the entry `temporary` in the place of `name`; an empty directory there gives way, a full one does not.
pub(super) fn rename_over(directory: impl AsFd, temporary: &[u8], name: &[u8]) -> io::Result<()> {
    let directory = directory.as_fd();
    let rename = || rustix::fs::renameat(directory, temporary, directory, name);
    match rename() {
        Err(Errno::ISDIR) => {
            rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).map_err(|error| match error {
                Errno::NOTEMPTY | Errno::EXIST => {
                    let what =
                        "a directory that holds something is there; move it away, or add --delete to have it replaced";
                    io::Error::new(io::ErrorKind::DirectoryNotEmpty, what)
                }
                error => error.into(),
            })?;
            Ok(rename()?)
        }
        renamed => Ok(renamed?),
    }
}

fn is_directory(directory: &OwnedFd, name: &[u8]) -> rustix::io::Result<bool> {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(EntryKind::of_mode(stat.st_mode) == EntryKind::Directory)
}

impl FsDestination {
    /// Puts what was made under a temporary name in the place of `name`. A full directory gives way if `clear` says so.
    pub(super) fn replace(
        &self,
        (directory, fd): (&Arc<FsDirectory>, &OwnedFd),
        temporary: &[u8],
        name: &[u8],
        clear: Option<Clear<'_>>,
    ) -> io::Result<()> {
        let renamed = match clear {
            Some(clear) => match rustix::fs::renameat(fd, temporary, fd, name) {
                Err(Errno::ISDIR) => self.instead_of_full((directory, fd), temporary, name, clear),
                renamed => renamed.map_err(io::Error::from),
            },
            None => rename_over(fd, temporary, name),
        };
        renamed.map_err(|error| {
            let there = compare::look(fd.as_fd(), name).map_or(0, |stat| stat.stx_attributes.bits() as u32);
            not_renamed(explain(error, there | self.flags_of(directory)))
        })
    }

    /// A new directory where something lies that is none.
    pub(super) fn directory_instead(&self, parent: &Arc<FsDirectory>, fd: &OwnedFd, name: &[u8]) -> io::Result<()> {
        let temporary = self.temporary_name(parent, fd);
        let remove = |how| rustix::fs::unlinkat(fd, &*temporary, how);
        let instead = self.in_writable(parent, fd, || Ok(make_directory(fd, &temporary)?)).and_then(|()| {
            self.exchange((parent, fd), &temporary, name)?;
            match remove(AtFlags::empty()) {
                // It was replaced at once.
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(error) => {
                    self.exchange((parent, fd), &temporary, name)?;
                    Err(error.into())
                }
            }
        });
        instead.map_err(|error| {
            _ = remove(AtFlags::REMOVEDIR);
            let there = compare::look(fd.as_fd(), name).map_or(0, |stat| stat.stx_attributes.bits() as u32);
            explain(error, there | self.flags_of(parent))
        })
    }

    /// The same where a full directory lies: it goes when the new entry is in its place.
    fn instead_of_full(
        &self,
        at: (&Arc<FsDirectory>, &OwnedFd),
        temporary: &[u8],
        name: &[u8],
        clear: Clear<'_>,
    ) -> io::Result<()> {
        let stays = || io::Error::new(io::ErrorKind::DirectoryNotEmpty, DIRECTORY_STAYS);
        if !clear(Clearing::Ask) {
            return Err(stays());
        }
        self.exchange(at, temporary, name)?;
        if clear(Clearing::Remove(temporary)) {
            return Ok(());
        }
        // What is left of it must not lie under a name that nobody knows.
        self.exchange(at, temporary, name)?;
        Err(stays())
    }

    /// Two entries, one of which is a directory, change places. Where that cannot be done in one step, the one goes aside
    /// for the moment.
    fn exchange(
        &self,
        (directory, fd): (&Arc<FsDirectory>, &OwnedFd),
        temporary: &[u8],
        name: &[u8],
    ) -> io::Result<()> {
        let was_directory = is_directory(fd, temporary)?;
        let rename = |from: &[u8], to: &[u8]| rustix::fs::renameat(fd, from, fd, to);
        match rustix::fs::renameat_with(fd, temporary, fd, name, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            // The last four: as from one that takes it for a simple renaming.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
            | Err(Errno::ISDIR | Errno::NOTDIR | Errno::EXIST | Errno::NOTEMPTY) => {
                let aside = self.temporary_name(directory, fd);
                rename(name, &aside)?;
                if let Err(error) = rename(temporary, name) {
                    rename(&aside, name)?;
                    return Err(error.into());
                }
                rename(&aside, temporary)?;
            }
            Err(error) => return Err(error.into()),
        }
        match is_directory(fd, name)? == was_directory {
            true => Ok(()),
            false => Err(io::Error::other("the file system says that two entries changed places, and they did not")),
        }
    }
}
