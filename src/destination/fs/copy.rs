//! Copies a file of the target, for a name that cannot become a hard link.

use super::compare;
use super::file::{HALF_WRITTEN, set_len};
use super::{FsDestination, FsDirectory, Losses, read_all_at, write_all_at};
use crate::destination::{Attributes, Expected, Replace};
use crate::format::tree::EntryKind;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, OFlags, SeekFrom};
use std::io;
use std::sync::Arc;

/// So much at a time.
const PIECE_BYTES: usize = 1 << 20;

type Place<'a> = (&'a Arc<FsDirectory>, &'a [u8]);

impl FsDestination {
    /// A file of its own with the content of `from`, which must look as it was restored.
    pub(super) fn copy_file(
        &self,
        from: Place<'_>,
        to: Place<'_>,
        expected: &Expected<'_>,
        attributes: &Attributes<'_>,
        replace: Replace<'_>,
    ) -> io::Result<Losses> {
        let (source, target) = (self.directories.fd(from.0)?, self.directories.fd(to.0)?);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let source = super::directory::open_beneath(&*source, from.1, flags)?;
        let there = compare::existing(&compare::look(source.as_fd(), c"")?, HALF_WRITTEN);
        if !self.is_like(from.0, &there, expected, attributes) {
            return Err(io::Error::other("the file it is another name of was replaced while it was being restored"));
        }
        let (fd, temporary) = self.create_fd(to.0, &target, to.1, replace.replaces())?;
        self.flags.at_birth(&fd, attributes.flags);
        let copied = content(&source, &fd, expected.size).and_then(|()| {
            set_len(&fd, expected.size)?;
            self.complete_file((to.0, &target), fd, (temporary.as_deref(), to.1), attributes, replace)
        });
        let written_as = temporary.as_deref().unwrap_or(to.1);
        copied.inspect_err(|_: &io::Error| _ = rustix::fs::unlinkat(&*target, written_as, AtFlags::empty()))
    }

    /// Whether what lies there looks like what was restored, where inode numbers do not tell.
    pub(super) fn is_like(
        &self,
        directory: &Arc<FsDirectory>,
        there: &super::Existing,
        expected: &Expected<'_>,
        attributes: &Attributes<'_>,
    ) -> bool {
        use crate::destination::Destination;
        let sized = matches!(expected.kind, EntryKind::File | EntryKind::Symlink);
        there.kind == expected.kind
            && (!sized || there.size == expected.size)
            && self.same_time(directory, there, attributes.mtime, false)
    }
}

/// Copies what is no hole.
fn content(from: &OwnedFd, to: &OwnedFd, size: u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES.min(size as usize)];
    let mut at = 0;
    while at < size {
        // Where holes cannot be asked for everything is data.
        let data = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Err(rustix::io::Errno::NXIO) => break,
            data => data.unwrap_or(at),
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(data)).unwrap_or(size).clamp(data, size);
        at = data;
        while at < end {
            let len = ((end - at) as usize).min(PIECE_BYTES);
            read_all_at(from, at, &mut piece[..len])?;
            write_all_at(to, at, &piece[..len])?;
            at += len as u64;
        }
        if at == data {
            return Err(io::Error::other("its length changed while it was copied"));
        }
    }
    Ok(())
}
