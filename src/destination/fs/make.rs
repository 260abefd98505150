//! Creates entries under their own names, or under temporary names that then take the place of what exists.

use super::attributes::{ACL_ACCESS, ACL_DEFAULT, strip_acl};
use super::file::{close, create_new, identity, not_written};
use super::flags::{SEALING, explain};
use super::{FsDestination, FsDirectory, UNFINISHED, flush, found, partial};
use crate::destination::{Attributes, FoundDirectory, Losses, Replace};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Makes a directory that is known to be incomplete until it is finished.
pub(super) fn make_directory(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<()> {
    let make = |mode| rustix::fs::mkdirat(parent.as_fd(), name, Mode::from_raw_mode(mode));
    match make(UNFINISHED) {
        // Some network servers refuse the sticky bit.
        Err(Errno::INVAL | Errno::PERM | Errno::IO | Errno::OPNOTSUPP) => make(UNFINISHED & 0o777),
        made => made,
    }
}

/// What lies where a directory is wanted.
enum There {
    Nothing,
    Directory(Arc<FsDirectory>),
    Other,
}

impl FsDestination {
    /// See [`crate::destination::Destination::directory`].
    pub(super) fn make_or_take(
        &self,
        parent: &Arc<FsDirectory>,
        name: &[u8],
        replace: bool,
    ) -> io::Result<(Arc<FsDirectory>, FoundDirectory)> {
        let fd = self.directories.fd(parent)?;
        let make = || self.in_writable(parent, &fd, || Ok(make_directory(&*fd, name)?));
        // Where something may lie nothing is tried that would change the directory.
        let mut there = if parent.made() { There::Nothing } else { self.there(parent, name)? };
        if matches!(there, There::Nothing) {
            match make() {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => there = self.there(parent, name)?,
                Err(e) => return Err(explain(e, self.flags_of(parent))),
            }
        }
        match there {
            There::Nothing => {}
            There::Directory(directory) => {
                let found = found(&*self.directories.fd(&directory)?)?;
                self.meet_existing(&directory);
                return Ok((directory, found));
            }
            There::Other if !replace => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "not a directory")),
            There::Other => self.directory_instead(parent, &fd, name)?,
        }
        let directory = self.directories.open(parent, name, true)?;
        let inherits = parent.inherits.load(Relaxed);
        if inherits || !parent.made() && self.born(parent, &fd, &*self.directories.fd(&directory)?)?.acl {
            let fd = self.directories.fd(&directory)?;
            let stripped = strip_acl(&*fd, ACL_DEFAULT) & strip_acl(&*fd, ACL_ACCESS);
            directory.inherits.store(!stripped, Relaxed);
        }
        Ok((directory, FoundDirectory::New))
    }

    fn there(&self, parent: &Arc<FsDirectory>, name: &[u8]) -> io::Result<There> {
        match self.open_existing(parent, name) {
            Ok(directory) => Ok(There::Directory(directory)),
            Err(e) => match Errno::from_io_error(&e) {
                Some(Errno::NOENT) => Ok(There::Nothing),
                // Not a directory, or a link (whatever it leads to).
                Some(Errno::NOTDIR | Errno::LOOP) => Ok(There::Other),
                _ => Err(e),
            },
        }
    }

    /// Whether what looks half written by its mode is what a restore left: the directory it lies in is not complete, or
    /// a journal says so. Anything else of that mode is somebody's file.
    pub(super) fn is_left(&self, directory: &Arc<FsDirectory>, fd: &OwnedFd, name: &[u8]) -> bool {
        rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_mode & 0o7777 == UNFINISHED)
            || self.was_left(fd, name)
            || partial::was_begun(fd, name, &|| self.kept(directory, fd).uid)
    }

    /// A new inode under `name`, or under a temporary name when `replace` and something is there.
    pub(super) fn create_fd(
        &self,
        directory: &Arc<FsDirectory>,
        fd: &OwnedFd,
        name: &[u8],
        replace: bool,
    ) -> io::Result<(OwnedFd, Option<Vec<u8>>)> {
        self.claims.entry(fd, name)?;
        let created = self.in_writable(directory, fd, || match create_new(fd, name) {
            Err(e) if replace && e.kind() == io::ErrorKind::AlreadyExists => {
                let temporary = self.temporary_name(directory, fd);
                Ok((create_new(fd, &temporary)?, Some(temporary)))
            }
            created => Ok((created?, None)),
        });
        created.map_err(|e| explain(e, self.flags_of(directory)))
    }

    /// All that a file gets whose content is written: `names` are a temporary one, if it has that, and its own.
    pub(super) fn complete_file(
        &self,
        (directory, directory_fd): (&Arc<FsDirectory>, &OwnedFd),
        fd: OwnedFd,
        names: (Option<&[u8]>, &[u8]),
        attributes: &Attributes<'_>,
        replace: Replace<'_>,
    ) -> io::Result<Losses> {
        let born = self.born(directory, directory_fd, &fd)?;
        let mut losses = self.applier.apply(fd.as_fd(), attributes, born, false);
        self.count_time(directory, directory_fd, attributes.mtime);
        self.flags.early(&fd, attributes.flags);
        if directory.flushes {
            flush::flush(&fd, &mut losses)?;
        }
        let seal = attributes.flags & SEALING != 0;
        let identified = if seal { Some(identity(&rustix::fs::fstat(&fd)?)) } else { None };
        close(fd).map_err(not_written)?;
        if let Some(temporary) = names.0 {
            self.replace((directory, directory_fd), temporary, names.1, replace.clear())?;
        }
        if let Some(identity) = identified {
            self.flags.late(directory, names.1, attributes.flags, identity);
        }
        Ok(losses)
    }

    /// Makes an entry by `make`, under its name or, when `replace` and something is there, by way of a temporary one.
    pub(super) fn make(
        &self,
        (place, directory): (&Arc<FsDirectory>, &OwnedFd),
        name: &[u8],
        replace: Replace<'_>,
        make: impl Fn(&[u8]) -> io::Result<()>,
        complete: impl FnOnce(&[u8]) -> io::Result<Losses>,
    ) -> io::Result<Losses> {
        self.claims.entry(directory, name)?;
        let made = self.in_writable(place, directory, || match make(name) {
            Err(e) if replace.replaces() && e.kind() == io::ErrorKind::AlreadyExists => {
                let temporary = self.temporary_name(place, directory);
                make(&temporary)?;
                Ok(Some(temporary))
            }
            made => made.map(|()| None),
        });
        let temporary = made.map_err(|e| explain(e, self.flags_of(place)))?;
        let made = temporary.as_deref().unwrap_or(name);
        let done = complete(made).and_then(|losses| match &temporary {
            Some(temporary) => self.replace((place, directory), temporary, name, replace.clear()).map(|()| losses),
            None => Ok(losses),
        });
        done.inspect_err(|_| _ = rustix::fs::unlinkat(directory, made, AtFlags::empty()))
    }
}
