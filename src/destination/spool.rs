//! A destination from little: a connector that can keep a file under a path becomes a whole [`Destination`] here.
//!
//! A connector (a bucket, a server) implements [`Spool`]. The content of a restored file comes in pieces, in any
//! order. [`SpoolDestination`] gathers them in a temporary file of this machine, and gives the connector the whole
//! file from beginning to end.

use super::{
    Attributes, Clear, Destination, Existing, Expected, FoundDirectory, Identity, Led, Loss, Losses, Node, Part,
    ReadBack, Replace, Special, Sweep, Target, Way,
};
use crate::base::time::Time;
use crate::format::compare::{Facts, Fields};
use crate::format::tree::EntryKind;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that a connector keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpooledFile {
    /// Bytes.
    pub size: u64,
    /// The time that it was given. A connector that keeps no times gives `None`, and what it keeps is never taken for right
    /// already.
    pub modified: Option<Time>,
}

/// What a connector can do. Paths are relative, with `/` between components. All methods may be called from several
/// threads.
pub trait Spool: Send + Sync {
    /// Keeps a file under this path, in place of what was kept there. `content` gives exactly `size` bytes. When it
    /// returns without an error all of the file is kept; otherwise nothing of it is.
    fn put(&self, path: &[u8], size: u64, modified: Time, content: &mut dyn Read) -> io::Result<()>;

    /// What it keeps under this path.
    fn look(&self, path: &[u8]) -> io::Result<Option<SpooledFile>>;

    /// Gives the content of a file back, for verification.
    fn get(&self, path: &[u8]) -> io::Result<Box<dyn Read>>;
}

/// A [`Spool`] as the target of a restore.
pub struct SpoolTarget<S> {
    spool: Arc<S>,
    name: String,
    folder: PathBuf,
}

impl<S: Spool> SpoolTarget<S> {
    /// `name`: how a person names it. `folder`: where files are gathered; it needs room for those that are on their way.
    pub fn new(spool: Arc<S>, name: &str, folder: &Path) -> SpoolTarget<S> {
        SpoolTarget { spool, name: name.into(), folder: folder.into() }
    }
}

impl<S: Spool> Target for SpoolTarget<S> {
    type Destination = SpoolDestination<S>;

    fn name(&self) -> String {
        self.name.clone()
    }

    fn open(&self, _dry_run: bool) -> io::Result<Option<SpoolDestination<S>>> {
        Ok(Some(SpoolDestination { spool: self.spool.clone(), folder: self.folder.clone() }))
    }
}

/// A [`Spool`] as a destination. It keeps the content and the times of regular files: what else an entry has is named as
/// lost, and what is no regular file is named as failed. Directories need nothing.
pub struct SpoolDestination<S> {
    spool: Arc<S>,
    folder: PathBuf,
}

/// A file that is gathered. Its temporary file has no name: nothing is left of it however the run ends.
pub struct Gathered {
    path: Vec<u8>,
    size: u64,
    content: File,
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

fn unsupported(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("the target keeps only files and their times: {what}"))
}

/// What of an entry the connector does not keep.
fn losses(attributes: &Attributes<'_>) -> Losses {
    let owner = Part::Owner(attributes.uid, attributes.gid);
    let xattrs = attributes.xattrs.iter().map(|x| Part::Xattr(x.name.clone().into(), x.value.len()));
    let parts = [owner, Part::Mode(attributes.mode)].into_iter().chain(xattrs);
    parts.map(|part| Loss { part, error: unsupported("nothing else"), refused: true }).collect()
}

impl<S: Spool> SpoolDestination<S> {
    fn refuse_existing(&self, path: &[u8], replace: bool) -> io::Result<()> {
        match replace || self.spool.look(path)?.is_none() {
            true => Ok(()),
            false => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }
}

impl<S: Spool> Destination for SpoolDestination<S> {
    /// Its path.
    type Directory = Arc<[u8]>;
    type File = Arc<Gathered>;

    fn root(&self) -> (Arc<[u8]>, FoundDirectory) {
        (Arc::default(), FoundDirectory::Whole)
    }

    fn look(&self, directory: &Arc<[u8]>, name: &[u8]) -> io::Result<Option<Existing>> {
        let found = self.spool.look(&join(directory, name))?;
        Ok(found.map(|SpooledFile { size, modified }| Existing {
            kind: EntryKind::File,
            mode: 0,
            uid: 0,
            gid: 0,
            size,
            // No entry of a snapshot has so many nanoseconds: this stands for a time that is not kept.
            mtime: modified.unwrap_or(Time { s: 0, ns: u32::MAX }),
            identity: Identity { device: 0, inode: 0 },
            nlink: 1,
            half_written: false,
            rdev: (0, 0),
            flags: 0,
            flags_known: 0,
        }))
    }

    fn directory(&self, parent: &Arc<[u8]>, name: &[u8], replace: bool) -> io::Result<(Arc<[u8]>, FoundDirectory)> {
        let path = join(parent, name);
        self.refuse_existing(&path, replace)?;
        Ok((path.into(), FoundDirectory::Whole))
    }

    fn open_directory(&self, parent: &Arc<[u8]>, name: &[u8]) -> io::Result<Arc<[u8]>> {
        Ok(join(parent, name).into())
    }

    fn way(&self, _parent: &Arc<[u8]>, _name: &[u8]) -> io::Result<Way<Arc<[u8]>>> {
        Ok(Way::Nowhere)
    }

    fn led(&self, _parent: &Arc<[u8]>, _name: &[u8]) -> io::Result<Option<Led<Arc<[u8]>>>> {
        Ok(None)
    }

    /// A directory is only a path: its hash stands for it.
    fn node(&self, directory: &Arc<[u8]>) -> io::Result<Node> {
        let hash = blake3::hash(directory);
        Ok((0, hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))))
    }

    fn create(
        &self,
        directory: &Arc<[u8]>,
        name: &[u8],
        size: u64,
        _flags: u32,
        replace: bool,
    ) -> io::Result<Arc<Gathered>> {
        let path = join(directory, name);
        self.refuse_existing(&path, replace)?;
        let content = tempfile::tempfile_in(&self.folder)?;
        content.set_len(size)?;
        Ok(Arc::new(Gathered { path, size, content }))
    }

    fn create_or_continue(
        &self,
        directory: &Arc<[u8]>,
        name: &[u8],
        size: u64,
        flags: u32,
        replace: bool,
        _content: &[u8; 16],
    ) -> io::Result<(Arc<Gathered>, bool)> {
        Ok((self.create(directory, name, size, flags, replace)?, false))
    }

    fn read_at(&self, file: &Arc<Gathered>, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        file.content.read_exact_at(buf, offset)
    }

    fn write_at(&self, file: &Arc<Gathered>, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.content.write_all_at(bytes, offset)
    }

    fn clear(&self, file: &Arc<Gathered>, offset: u64, len: u64) -> io::Result<()> {
        super::fs::bytes::clear(&file.content, offset, len)
    }

    fn finish(
        &self,
        file: &Arc<Gathered>,
        attributes: &Attributes<'_>,
        _identify: bool,
        _clear: Option<Clear<'_>>,
    ) -> io::Result<(Option<Identity>, Losses)> {
        let mut content = &file.content;
        content.rewind()?;
        self.spool.put(&file.path, file.size, attributes.mtime, &mut content.take(file.size))?;
        Ok((None, losses(attributes)))
    }

    fn abandon(&self, _file: &Arc<Gathered>) {}

    fn leave(&self, _file: &Arc<Gathered>) {}

    fn special(
        &self,
        _directory: &Arc<[u8]>,
        _name: &[u8],
        _special: &Special<'_>,
        _attributes: &Attributes<'_>,
        _replace: Replace<'_>,
    ) -> io::Result<Losses> {
        Err(unsupported("no links, pipes, sockets or devices"))
    }

    fn link(
        &self,
        _from: (&Arc<[u8]>, &[u8]),
        _identity: Identity,
        _to: (&Arc<[u8]>, &[u8]),
        _like: (&Expected<'_>, &Attributes<'_>),
        _replace: Replace<'_>,
    ) -> io::Result<()> {
        Err(unsupported("no hard links"))
    }

    fn copy(
        &self,
        from: (&Arc<[u8]>, &[u8]),
        to: (&Arc<[u8]>, &[u8]),
        (expected, attributes): (&Expected<'_>, &Attributes<'_>),
        replace: Replace<'_>,
    ) -> io::Result<Losses> {
        let (from, to) = (join(from.0, from.1), join(to.0, to.1));
        self.refuse_existing(&to, replace.replaces())?;
        match self.spool.look(&from)? {
            Some(found) if found.size == expected.size => {}
            _ => return Err(io::Error::other("the file to copy is not what was restored")),
        }
        self.spool.put(&to, expected.size, attributes.mtime, &mut *self.spool.get(&from)?)?;
        Ok(losses(attributes))
    }

    fn is_half_made(&self, _directory: &Arc<[u8]>, _existing: &Existing) -> bool {
        false
    }

    fn links(&self, _directory: &Arc<[u8]>) -> bool {
        false
    }

    fn same_time(&self, _directory: &Arc<[u8]>, existing: &Existing, time: Time, _dry_run: bool) -> bool {
        existing.mtime == time
    }

    fn examine(
        &self,
        directory: &Arc<[u8]>,
        name: &[u8],
        (expected, attributes): (&Expected<'_>, &Attributes<'_>),
        _lost: u8,
    ) -> io::Result<Vec<&'static str>> {
        if expected.kind != EntryKind::File {
            return Ok(Vec::new());
        }
        let Some(found) = self.spool.look(&join(directory, name))? else { return Err(io::ErrorKind::NotFound.into()) };
        let size = (found.size != expected.size).then_some("its size");
        let time = found.modified.is_some_and(|time| time != attributes.mtime).then_some("its modification time");
        Ok(size.into_iter().chain(time).collect())
    }

    fn compare(
        &self,
        existing: &Existing,
        _directory: &Arc<[u8]>,
        _name: &[u8],
        wanted: &Facts<'_>,
    ) -> io::Result<Fields> {
        Ok(if existing.kind == wanted.kind { Fields::empty() } else { Fields::KIND })
    }

    fn compare_directory(&self, _directory: &Arc<[u8]>, _wanted: &Facts<'_>) -> io::Result<Fields> {
        Ok(Fields::empty())
    }

    fn correct_attributes(
        &self,
        _directory: &Arc<[u8]>,
        _name: &[u8],
        _kind: EntryKind,
        _attributes: &Attributes<'_>,
    ) -> io::Result<Losses> {
        Ok(Losses::new())
    }

    fn finish_directory(
        &self,
        _directory: &Arc<[u8]>,
        _attributes: &Attributes<'_>,
        _made: bool,
    ) -> io::Result<Losses> {
        Ok(Losses::new())
    }

    fn finish_as_new(&self, _directory: &Arc<[u8]>) -> io::Result<()> {
        Ok(())
    }

    fn sweep(&self, _directory: &Arc<[u8]>, _sweep: &mut Sweep<'_>) -> io::Result<()> {
        Err(unsupported("it cannot be asked what else lies there, so nothing is deleted"))
    }

    fn is_mounted_on(&self, _directory: &Arc<[u8]>) -> io::Result<bool> {
        Ok(false)
    }

    fn settle(&self) {}

    fn read_back(&self, directory: &Arc<[u8]>, name: &[u8]) -> io::Result<Box<dyn ReadBack>> {
        let mut content = tempfile::tempfile_in(&self.folder)?;
        let len = io::copy(&mut *self.spool.get(&join(directory, name))?, &mut content)?;
        Ok(Box::new(Fetched { content, len }))
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn took(&self, _part: &Part) -> bool {
        false
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A file that the connector gave back.
struct Fetched {
    content: File,
    len: u64,
}

impl ReadBack for Fetched {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.content.read_exact_at(buf, offset)
    }

    fn is_clear(&self, offset: u64, len: u64) -> io::Result<bool> {
        let mut piece = [0; 8 << 10];
        let (mut at, end) = (offset, offset.saturating_add(len));
        while at < end {
            let n = (end - at).min(piece.len() as u64) as usize;
            self.content.read_exact_at(&mut piece[..n], at)?;
            if piece[..n].iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            at += n as u64;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
