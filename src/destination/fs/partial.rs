//! Big files that a later run can continue: a journal beside the half-written file says what it will be. What is in it is
//! believed only as far as its chunks are read back and have the right ids, so nothing has to be flushed on the way.

use super::file::{FsFile, HALF_WRITTEN, create_new};
use super::{FsDirectory, kind_of};
use crate::format::tree::EntryKind;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use std::io;
use std::sync::Arc;

/// What a journal begins with.
const HEAD: &str = "larder partial file 1\n";
/// No journal is longer.
const JOURNAL_BYTES_MAX: usize = 256;

/// A big file to begin or to continue.
pub(super) struct Partial<'a> {
    pub directory: &'a Arc<FsDirectory>,
    pub fd: &'a OwnedFd,
    /// The name that it gets.
    pub name: &'a [u8],
    pub size: u64,
    /// Stands for its content.
    pub content: &'a [u8; 16],
}

impl Partial<'_> {
    /// The names of the journal and, where it cannot have its own yet, of the half-written file.
    fn names(&self) -> (Box<[u8]>, Box<[u8]>) {
        let hash = blake3::hash(self.name).to_hex();
        let name = |kind: &str| format!(".larder-{}.{kind}", &hash[..16]).into_bytes().into_boxed_slice();
        (name("journal"), name("partial"))
    }

    fn journal(&self, own_name: bool) -> String {
        let content: String = self.content.iter().map(|byte| format!("{byte:02x}")).collect();
        let lies = if own_name { "own" } else { "temporary" };
        format!("{HEAD}content {content}\nbytes {}\nname {lies}\n", self.size)
    }

    /// The file that an earlier run began, if there is one and it is ours. `uid` says who owns what is made here.
    pub fn resume(&self, uid: &dyn Fn() -> u32) -> Option<FsFile> {
        let (journal, temporary) = self.names();
        let (_, text) = self.open(&journal, OFlags::RDONLY, uid).and_then(|(fd, stat)| {
            let mut text = vec![0; (stat.st_size as usize).min(JOURNAL_BYTES_MAX)];
            super::read_all_at(&fd, 0, &mut text).ok().map(|()| (fd, text))
        })?;
        let own_name = text == self.journal(true).as_bytes();
        if !own_name && text != self.journal(false).as_bytes() {
            return None;
        }
        let written_as = if own_name { self.name } else { &temporary };
        let (fd, stat) = self.open(written_as, OFlags::RDWR, uid)?;
        // Under its own name it may be somebody else's by now: half-written files are known by their mode.
        if own_name && stat.st_mode & 0o7777 != HALF_WRITTEN || stat.st_size as u64 > self.size {
            return None;
        }
        _ = rustix::fs::ftruncate(&fd, self.size);
        Some(self.file(fd, written_as, own_name, journal, true))
    }

    fn open(&self, name: &[u8], access: OFlags, uid: &dyn Fn() -> u32) -> Option<(OwnedFd, Stat)> {
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.fd, name, flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&fd).ok()?;
        let ours = stat.st_uid == rustix::process::geteuid().as_raw() || stat.st_uid == uid();
        (ours && kind_of(&stat) == EntryKind::File && stat.st_nlink == 1).then_some((fd, stat))
    }

    /// A new one, with its journal. Without a journal it is written all the same.
    pub fn begin(&self, replace: bool, at_birth: impl Fn(&OwnedFd)) -> io::Result<FsFile> {
        let (journal, temporary) = self.names();
        let remove = |name: &[u8]| _ = rustix::fs::unlinkat(self.fd, name, AtFlags::empty());
        // What was begun for another content.
        remove(&journal);
        remove(&temporary);
        let own = match create_new(self.fd, self.name) {
            Err(e) if replace && e.kind() == io::ErrorKind::AlreadyExists => None,
            created => Some(created?),
        };
        // Where modes are not kept, a half-written file under its own name could not be told from a whole one.
        let own = match own {
            Some(fd) if rustix::fs::fstat(&fd)?.st_mode & 0o7777 == HALF_WRITTEN => Some(fd),
            Some(_) => {
                remove(self.name);
                None
            }
            None => None,
        };
        let own_name = own.is_some();
        let (fd, written_as) = match own {
            Some(fd) => (fd, self.name),
            None => (create_new(self.fd, &temporary)?, &*temporary),
        };
        at_birth(&fd);
        _ = rustix::fs::ftruncate(&fd, self.size);
        let kept = create_new(self.fd, &journal)
            .and_then(|journal| super::write_all_at(journal, 0, self.journal(own_name).as_bytes()));
        if kept.is_err() {
            remove(&journal);
        }
        let mut file = self.file(fd, written_as, own_name, journal, false);
        file.journal = file.journal.filter(|_| kept.is_ok());
        file.keeps_others = !replace;
        Ok(file)
    }

    fn file(&self, fd: OwnedFd, written_as: &[u8], own_name: bool, journal: Box<[u8]>, resumed: bool) -> FsFile {
        let replaces = (!own_name).then_some(self.name);
        let mut file = FsFile::new(self.directory.clone(), written_as, replaces, self.size, fd);
        (file.journal, file.resumed) = (Some(journal), resumed);
        file
    }
}
