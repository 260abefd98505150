//! A folder of this machine; nothing is ever written outside it.
//!
//! The folder is opened once. Everything below is reached through descriptors: a directory by openat2 beneath it
//! (`RESOLVE_BENEATH`, no links of any kind), an entry by its directory's descriptor and one name that is never
//! followed. A path string is never walked again, so neither a snapshot that holds `link` and `link/file` nor someone
//! who swaps a directory for a link meanwhile leads a write elsewhere. Links that were there before are another matter:
//! see `links`.

mod attributes;
pub(super) mod bytes;
mod compare;
mod copy;
mod correct;
mod directory;
mod examine;
mod exchange;
mod file;
mod flags;
mod flush;
mod grain;
mod lend;
mod links;
mod make;
mod partial;
mod sweep;
mod times;
mod traces;

pub use attributes::Ownership;
pub use directory::FsDirectory;
pub use file::FsFile;

use super::{
    Attributes, Clear, Destination, Existing, Expected, FoundDirectory, Identity, Led, Losses, Node, Part, ReadBack,
    Replace, Special, Sweep, Way,
};
use crate::base::time::Time;
use crate::format::compare::{Facts, Fields};
use crate::format::tree::EntryKind;
use attributes::{ACL_ACCESS, ACL_DEFAULT, Applier, strip_acl};
use bytes::{Back, read_all_at, write_all_at};
use compare::At;
use directory::{Born, OpenDirectories, open_beneath};
use exchange::not_renamed;
use file::{HALF_WRITTEN, OpenFiles, identity, rename_to_new, set_len};
use flags::{Flags, SEALING, explain};
use flush::Flush;
use grain::{Grains, Kept};
use lend::{Lent, NOT_LENT};
use links::OwnLinks;
use partial::{Claims, Partial};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use traces::Traces;

/// How a folder is written to.
#[derive(Debug, Clone, Copy, Default)]
pub struct FsOptions {
    pub ownership: Ownership,
    /// Leave extended attributes out.
    pub no_xattrs: bool,
    /// What is written is to be made durable at the end.
    pub sync: bool,
    /// Nothing is to be changed.
    pub dry_run: bool,
}

/// A folder as a destination.
pub struct FsDestination {
    target: Arc<FsDirectory>,
    found: FoundDirectory,
    directories: OpenDirectories,
    files: OpenFiles,
    applier: Applier,
    flags: Flags,
    flush: Arc<Flush>,
    grains: Grains,
    lent: Lent,
    own_links: OwnLinks,
    claims: Claims,
    temporary: (u64, AtomicU64),
    traces: Traces,
    /// Entries whose time the file system cannot keep.
    times_beyond: AtomicU64,
    dry_run: bool,
}

/// A directory that is not completed: its owner's alone, and with the sticky bit, so that a later run knows it.
const UNFINISHED: u32 = 0o1700;

const NOT_FOLLOWED: AtFlags = AtFlags::SYMLINK_NOFOLLOW;

impl FsDestination {
    /// Opens the folder, or makes it (and those above it). A link that the caller's path goes through is followed here
    /// and nowhere else.
    pub fn open(folder: &Path, options: FsOptions) -> io::Result<FsDestination> {
        let make = || std::fs::DirBuilder::new().mode(UNFINISHED).create(folder);
        let made = match make() {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => false,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if let Some(parent) = folder.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                make()?;
                true
            }
            Err(e) => return Err(e),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(folder, flags, Mode::empty())?;
        // From its parent's default ACL; the snapshot's entry may have none.
        let inherits = made && !(strip_acl(&fd, ACL_DEFAULT) & strip_acl(&fd, ACL_ACCESS));
        let flush = Arc::new(Flush::new(options.sync));
        let flushes = flush.meet(&fd)?;
        let found = if made { FoundDirectory::New } else { found(&fd)? };
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let destination = FsDestination {
            target: FsDirectory::target(fd, made, inherits, flushes),
            found,
            directories: OpenDirectories::new((limit / 4).min(1024) as usize, flush.clone()),
            files: OpenFiles::new((limit / 8).min(512) as usize),
            applier: Applier::new(options.ownership, !options.no_xattrs),
            flags: Flags::default(),
            flush,
            grains: Grains::default(),
            lent: Lent::default(),
            own_links: OwnLinks::default(),
            claims: Claims::default(),
            temporary: (u64::from_le_bytes(seed), AtomicU64::new(0)),
            traces: Traces::default(),
            times_beyond: AtomicU64::new(0),
            dry_run: options.dry_run,
        };
        if !made {
            destination.meet_existing(&destination.target);
        }
        Ok(destination)
    }

    /// A name that nothing has: replacements are written under it.
    fn temporary_name(&self, directory: &Arc<FsDirectory>, fd: &OwnedFd) -> Vec<u8> {
        self.changes(directory, fd, true);
        let (seed, next) = &self.temporary;
        format!(".larder-{:016x}", seed.wrapping_add(next.fetch_add(1, Relaxed))).into_bytes()
    }

    /// How the file system of this directory keeps what it is given.
    fn kept(&self, directory: &Arc<FsDirectory>, fd: &OwnedFd) -> Kept {
        *directory.kept.get_or_init(|| self.grains.of(fd, || self.temporary_name(directory, fd)))
    }

    /// What a new entry of the directory gets from it; learned once, from the first one.
    fn born(&self, directory: &Arc<FsDirectory>, fd: &OwnedFd, entry: impl AsFd) -> io::Result<Born> {
        if let Some(born) = directory.born.get() {
            return Ok(*born);
        }
        let stat = rustix::fs::fstat(entry)?;
        let acl = (!directory.made() || directory.inherits.load(Relaxed))
            && rustix::fs::fgetxattr_query(fd, ACL_DEFAULT).is_ok();
        Ok(*directory.born.get_or_init(|| Born { uid: stat.st_uid, gid: stat.st_gid, acl }))
    }

    fn open_path(directory: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
    }
}

/// How a directory that was there was found.
fn found(directory: impl AsFd) -> io::Result<FoundDirectory> {
    let unfinished = rustix::fs::fstat(directory)?.st_mode & 0o7777 == UNFINISHED;
    Ok(if unfinished { FoundDirectory::Unfinished } else { FoundDirectory::Whole })
}

fn kind_of(stat: &rustix::fs::Stat) -> EntryKind {
    EntryKind::of_mode(stat.st_mode)
}

impl Destination for FsDestination {
    type Directory = Arc<FsDirectory>;
    type File = Arc<FsFile>;

    fn root(&self) -> (Arc<FsDirectory>, FoundDirectory) {
        (self.target.clone(), self.found)
    }

    fn look(&self, directory: &Arc<FsDirectory>, name: &[u8]) -> io::Result<Option<Existing>> {
        let fd = self.directories.fd(directory)?;
        self.claims.entry(&fd, name)?;
        let mut existing = match compare::look(fd.as_fd(), name) {
            Err(Errno::NOENT) => return Ok(None),
            stat => compare::existing(&stat?, HALF_WRITTEN),
        };
        existing.half_written = existing.half_written && self.is_left(directory, &fd, name);
        if existing.kind == EntryKind::Symlink {
            self.own_link(existing.identity);
        }
        Ok(Some(existing))
    }

    fn directory(
        &self,
        parent: &Arc<FsDirectory>,
        name: &[u8],
        replace: bool,
    ) -> io::Result<(Arc<FsDirectory>, FoundDirectory)> {
        self.make_or_take(parent, name, replace)
    }

    fn open_directory(&self, parent: &Arc<FsDirectory>, name: &[u8]) -> io::Result<Arc<FsDirectory>> {
        let directory = self.directories.open(parent, name, false)?;
        self.meet_existing(&directory);
        Ok(directory)
    }

    fn way(&self, parent: &Arc<FsDirectory>, name: &[u8]) -> io::Result<Way<Arc<FsDirectory>>> {
        self.way_of(parent, name)
    }

    fn led(&self, parent: &Arc<FsDirectory>, name: &[u8]) -> io::Result<Option<Led<Arc<FsDirectory>>>> {
        self.led_by(parent, name)
    }

    fn node(&self, directory: &Arc<FsDirectory>) -> io::Result<Node> {
        let stat = compare::look(self.directories.fd(directory)?.as_fd(), c"")?;
        Ok(links::node_of(&stat))
    }

    fn create(
        &self,
        directory: &Arc<FsDirectory>,
        name: &[u8],
        size: u64,
        flags: u32,
        replace: bool,
    ) -> io::Result<Arc<FsFile>> {
        let directory_fd = self.directories.fd(directory)?;
        let (fd, temporary) = self.create_fd(directory, &directory_fd, name, replace)?;
        self.flags.at_birth(&fd, flags);
        // Where the length cannot be set, the last byte sets it at the end.
        _ = rustix::fs::ftruncate(&fd, size);
        let written_as = temporary.as_deref().unwrap_or(name);
        let file = Arc::new(FsFile::new(directory.clone(), written_as, temporary.is_some().then_some(name), size, fd));
        self.files.admit(&file)?;
        Ok(file)
    }

    fn create_or_continue(
        &self,
        directory: &Arc<FsDirectory>,
        name: &[u8],
        size: u64,
        flags: u32,
        replace: bool,
        content: &[u8; 16],
    ) -> io::Result<(Arc<FsFile>, bool)> {
        let fd = self.directories.fd(directory)?;
        self.claims.entry(&fd, name)?;
        let partial = Partial { directory, fd: &fd, name, size, content, claims: &self.claims };
        let uid = &|| self.kept(directory, &fd).uid;
        let file = match partial.resume(uid) {
            Some(file) => file,
            None => {
                let at_birth = |fd: &OwnedFd| self.flags.at_birth(fd, flags);
                let begin = || partial.begin(replace, uid, || self.temporary_name(directory, &fd), at_birth);
                self.in_writable(directory, &fd, begin).map_err(|e| explain(e, self.flags_of(directory)))?
            }
        };
        let file = Arc::new(file);
        self.files.admit(&file)?;
        Ok((file.clone(), file.resumed))
    }

    fn write_at(&self, file: &Arc<FsFile>, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let fd = self.files.fd(file, || self.directories.fd(&file.directory))?;
        write_all_at(&*fd, offset, bytes)?;
        file.end.fetch_max(offset + bytes.len() as u64, Relaxed);
        Ok(())
    }

    fn read_at(&self, file: &Arc<FsFile>, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let fd = self.files.fd(file, || self.directories.fd(&file.directory))?;
        read_all_at(&*fd, offset, buf)?;
        file.end.fetch_max(offset + buf.len() as u64, Relaxed);
        Ok(())
    }

    fn clear(&self, file: &Arc<FsFile>, offset: u64, len: u64) -> io::Result<()> {
        let fd = self.files.fd(file, || self.directories.fd(&file.directory))?;
        bytes::clear(&*fd, offset, len)
    }

    fn finish(
        &self,
        file: &Arc<FsFile>,
        attributes: &Attributes<'_>,
        identify: bool,
        clear: Option<Clear<'_>>,
    ) -> io::Result<(Option<Identity>, Losses)> {
        let directory = self.directories.fd(&file.directory)?;
        let fd = self.files.fd(file, || Ok(directory.clone()))?;
        if file.end.load(Relaxed) < file.size {
            set_len(&*fd, file.size)?;
        }
        let born = self.born(&file.directory, &directory, &*fd)?;
        let mut losses = self.applier.apply(fd.as_fd(), attributes, born, false);
        self.count_time(&file.directory, &directory, attributes.mtime);
        self.flags.early(&*fd, attributes.flags);
        if file.directory.flushes {
            flush::flush(&*fd, &mut losses)?;
        }
        let seal = attributes.flags & SEALING != 0;
        let identified =
            if identify || seal || file.is_partial { Some(identity(&rustix::fs::fstat(&*fd)?)) } else { None };
        // The last one: what it says of an error in writing is heard.
        drop(fd);
        self.files.close(file)?;
        if file.is_partial && identified != Some(identity(&rustix::fs::statat(&*directory, &*file.name, NOT_FOLLOWED)?))
        {
            return Err(io::Error::other("another file was put in its place while it was being restored"));
        }
        match &file.replaces {
            Some(name) if file.keeps_others => rename_to_new(&*directory, &file.name, name).map_err(not_renamed)?,
            Some(name) => self.replace((&file.directory, &directory), &file.name, name, clear)?,
            None => {}
        }
        if let Some(journal) = &file.journal {
            self.claims.remove_journal(&directory, journal);
        }
        if let Some(identity) = identified.filter(|_| seal) {
            self.flags.late(&file.directory, file.replaces.as_ref().unwrap_or(&file.name), attributes.flags, identity);
        }
        Ok((identified.filter(|_| identify), losses))
    }

    fn abandon(&self, file: &Arc<FsFile>) {
        _ = self.files.close(file);
        if let Ok(directory) = self.directories.fd(&file.directory) {
            _ = rustix::fs::unlinkat(&*directory, &*file.name, AtFlags::empty());
            if let Some(journal) = &file.journal {
                self.claims.remove_journal(&directory, journal);
            }
        }
    }

    fn leave(&self, file: &Arc<FsFile>) {
        if file.journal.is_some() { _ = self.files.close(file) } else { self.abandon(file) }
    }

    fn write_file(
        &self,
        directory: &Arc<FsDirectory>,
        name: &[u8],
        bytes: &[u8],
        size: u64,
        attributes: &Attributes<'_>,
        replace: Replace<'_>,
    ) -> io::Result<Losses> {
        let directory_fd = self.directories.fd(directory)?;
        let (fd, temporary) = self.create_fd(directory, &directory_fd, name, replace.replaces())?;
        self.flags.at_birth(&fd, attributes.flags);
        let written = (|| {
            write_all_at(&fd, 0, bytes)?;
            if size > bytes.len() as u64 {
                set_len(&fd, size)?;
            }
            self.complete_file((directory, &directory_fd), fd, (temporary.as_deref(), name), attributes, replace)
        })();
        let written_as = temporary.as_deref().unwrap_or(name);
        written.inspect_err(|_: &io::Error| _ = rustix::fs::unlinkat(&*directory_fd, written_as, AtFlags::empty()))
    }

    fn special(
        &self,
        directory: &Arc<FsDirectory>,
        name: &[u8],
        special: &Special<'_>,
        attributes: &Attributes<'_>,
        replace: Replace<'_>,
    ) -> io::Result<Losses> {
        let fd = self.directories.fd(directory)?;
        let node = |name: &[u8], kind, (major, minor)| {
            let device = rustix::fs::makedev(major, minor);
            Ok(rustix::fs::mknodat(&*fd, name, kind, Mode::from_raw_mode(0o600), device)?)
        };
        let make = |name: &[u8]| match *special {
            Special::Symlink(target) => Ok(rustix::fs::symlinkat(target, &*fd, name)?),
            Special::Fifo => node(name, FileType::Fifo, (0, 0)),
            Special::Socket => node(name, FileType::Socket, (0, 0)),
            Special::CharDevice(major, minor) => node(name, FileType::CharacterDevice, (major, minor)),
            Special::BlockDevice(major, minor) => node(name, FileType::BlockDevice, (major, minor)),
        };
        self.make((directory, &fd), name, replace, make, |name| {
            let entry = Self::open_path(&fd, name)?;
            let born = self.born(directory, &fd, &entry)?;
            let stat = rustix::fs::fstat(&entry)?;
            let is_link = kind_of(&stat) == EntryKind::Symlink;
            self.count_time(directory, &fd, attributes.mtime);
            if is_link {
                self.own_link(identity(&stat));
            }
            match special {
                Special::Symlink(_) => Ok(self.applier.apply_to_link(fd.as_fd(), name, attributes, born)),
                // Someone put a link in its place: its target's attributes are not ours to change.
                _ if is_link => Err(Errno::LOOP.into()),
                _ => Ok(self.applier.apply_to_path(entry.as_fd(), attributes, born)),
            }
        })
    }

    fn link(
        &self,
        from: (&Arc<FsDirectory>, &[u8]),
        identity: Identity,
        to: (&Arc<FsDirectory>, &[u8]),
        like: (&Expected<'_>, &Attributes<'_>),
        replace: Replace<'_>,
    ) -> io::Result<()> {
        let (source, target) = (self.directories.fd(from.0)?, self.directories.fd(to.0)?);
        // Renaming one name of a file over another does nothing, so this case goes first.
        if replace.replaces() && self.look(to.0, to.1)?.is_some_and(|there| there.identity == identity) {
            return Ok(());
        }
        let make = |name: &[u8]| Ok(rustix::fs::linkat(&*source, from.1, &*target, name, AtFlags::empty())?);
        let linked = self.make((to.0, &target), to.1, replace, make, |name| {
            let there = compare::existing(&compare::look(target.as_fd(), name)?, HALF_WRITTEN);
            if there.kind == EntryKind::Symlink {
                self.own_link(identity);
            }
            // Behind some network file systems each name has a number of its own.
            if there.identity == identity
                || !self.kept(to.0, &target).links && self.is_like(to.0, &there, like.0, like.1)
            {
                Ok(vec![])
            } else {
                Err(io::Error::other("the file it is another name of was replaced while it was being restored"))
            }
        });
        linked.map(|_| self.applier.takes(&Part::Link))
    }

    fn copy(
        &self,
        from: (&Arc<FsDirectory>, &[u8]),
        to: (&Arc<FsDirectory>, &[u8]),
        like: (&Expected<'_>, &Attributes<'_>),
        replace: Replace<'_>,
    ) -> io::Result<Losses> {
        self.copy_file(from, to, like.0, like.1, replace)
    }

    fn is_half_made(&self, directory: &Arc<FsDirectory>, existing: &Existing) -> bool {
        self.was_half_made(directory, existing)
    }

    fn links(&self, directory: &Arc<FsDirectory>) -> bool {
        self.directories.fd(directory).is_ok_and(|fd| self.kept(directory, &fd).links)
    }

    fn examine(
        &self,
        directory: &Arc<FsDirectory>,
        name: &[u8],
        like: (&Expected<'_>, &Attributes<'_>),
        lost: u8,
    ) -> io::Result<Vec<&'static str>> {
        self.differences(directory, name, like.0, like.1, lost)
    }

    fn compare(
        &self,
        existing: &Existing,
        directory: &Arc<FsDirectory>,
        name: &[u8],
        wanted: &Facts<'_>,
    ) -> io::Result<Fields> {
        let fd = self.directories.fd(directory)?;
        self.applier.compare(existing, At::Name(fd.as_fd(), name), wanted)
    }

    fn compare_directory(&self, directory: &Arc<FsDirectory>, wanted: &Facts<'_>) -> io::Result<Fields> {
        let fd = self.directories.fd(directory)?;
        let mut existing = compare::existing(&compare::look(fd.as_fd(), c"")?, HALF_WRITTEN);
        let lent = directory.lent.load(Relaxed);
        if lent != NOT_LENT {
            existing.mode = lent;
        }
        self.applier.compare(&existing, At::Open(fd.as_fd()), wanted)
    }

    fn correct_attributes(
        &self,
        directory: &Arc<FsDirectory>,
        name: &[u8],
        kind: EntryKind,
        attributes: &Attributes<'_>,
    ) -> io::Result<Losses> {
        self.correct(directory, name, kind, attributes)
    }

    fn finish_directory(
        &self,
        directory: &Arc<FsDirectory>,
        attributes: &Attributes<'_>,
        made: bool,
    ) -> io::Result<Losses> {
        self.complete_directory(directory, attributes, made)
    }

    fn finish_as_new(&self, directory: &Arc<FsDirectory>) -> io::Result<()> {
        let fd = self.directories.fd(directory)?;
        // The umask cannot be asked for without setting it, for all threads: a new directory shows it. Where none can be
        // made now, its owner's alone is what it may be in any case.
        let probe = self.temporary_name(directory, &fd);
        let mode = rustix::fs::mkdirat(&*fd, &probe, Mode::from_raw_mode(0o777)).and_then(|()| {
            let stat = rustix::fs::statat(&*fd, &probe, AtFlags::SYMLINK_NOFOLLOW);
            _ = rustix::fs::unlinkat(&*fd, &probe, AtFlags::REMOVEDIR);
            Ok(stat?.st_mode & 0o7777)
        });
        Ok(rustix::fs::fchmod(&*fd, Mode::from_raw_mode(mode.unwrap_or(0o700)))?)
    }

    fn read_back(&self, directory: &Arc<FsDirectory>, name: &[u8]) -> io::Result<Box<dyn ReadBack>> {
        let fd = self.directories.fd(directory)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = open_beneath(&*fd, name, flags)?;
        let stat = rustix::fs::fstat(&file)?;
        if kind_of(&stat) != EntryKind::File {
            return Err(io::Error::other("not a regular file"));
        }
        Ok(Box::new(Back { file: file.into(), len: stat.st_size as u64 }))
    }

    fn sweep(&self, directory: &Arc<FsDirectory>, sweep: &mut Sweep<'_>) -> io::Result<()> {
        self.sweep_directory(directory, sweep)
    }

    fn is_mounted_on(&self, directory: &Arc<FsDirectory>) -> io::Result<bool> {
        self.is_mount(directory)
    }

    fn settle(&self) {
        self.end_traces();
        self.seal();
        self.give_back();
    }

    fn sync(&self) -> io::Result<()> {
        self.flush.all()
    }

    fn took(&self, part: &Part) -> bool {
        self.applier.took(part)
    }

    fn same_time(&self, directory: &Arc<FsDirectory>, existing: &Existing, time: Time, dry_run: bool) -> bool {
        self.is_same_time(directory, existing.mtime, time, dry_run)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.applier.notes();
        self.flags.notes(&mut notes);
        self.note_times(&mut notes);
        self.note_traces(&mut notes);
        notes
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod traces_tests;
