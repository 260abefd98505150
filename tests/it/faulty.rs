//! A file system in memory, mounted by FUSE, whose calls fail, or say that they did what they did not, as a test asks.
//!
//! What it holds is looked at directly ([`Faulty::truth`]), not through the mount. It also plays what some file systems
//! lack: inode numbers that stay the same, times finer than a grain, `UTIME_OMIT` (libfuse 2 takes both times or none).

mod served;

use fuser::{BackgroundSession, Config, Errno, FileAttr, FileType, INodeNo, RenameFlags, Request};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nothing is cached by the kernel.
const AT_ONCE: Duration = Duration::ZERO;
/// The low bits of a node's number say which inode it is; the others change where numbers are not stable.
const INODE_BITS: u32 = 24;

/// A call that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Call {
    Chmod,
    Chown,
    Utimens,
    Setxattr,
    Link,
    Symlink,
    Mknod,
    Truncate,
    Fallocate,
    Rename,
    Fsync,
    Close,
    Write,
    /// Not one of the matrix.
    Mkdir,
}

/// The calls of the matrix.
pub const CALLS: [Call; 13] = [
    Call::Chmod,
    Call::Chown,
    Call::Utimens,
    Call::Setxattr,
    Call::Link,
    Call::Symlink,
    Call::Mknod,
    Call::Truncate,
    Call::Fallocate,
    Call::Rename,
    Call::Fsync,
    Call::Close,
    Call::Write,
];

/// What a call does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error number.
    Error(i32),
    /// It says that it worked, and does nothing.
    Faked,
}

/// How the file system behaves. All of it can be changed while it is mounted.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// The call that fails, and how.
    pub fault: Option<(Call, Fault)>,
    /// Only for entries that were made under a name that begins so.
    pub only: Option<&'static str>,
    /// Each look-up gives another inode number, and the count of names is 1, as behind sshfs.
    pub unstable_inodes: bool,
    /// Times are taken when both are given, else ignored, as behind libfuse 2.
    pub both_times: bool,
    /// Times are cut off to multiples of this; zero: kept as they are.
    pub grain: Duration,
}

/// What an inode holds.
#[derive(Debug, Clone)]
pub struct Inode {
    pub kind: FileType,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u32,
    pub mtime: SystemTime,
    pub nlink: u32,
    /// A file's content, a link's target.
    pub data: Vec<u8>,
    pub xattrs: BTreeMap<OsString, Vec<u8>>,
    children: BTreeMap<OsString, u64>,
    made_as: OsString,
}

#[derive(Default)]
struct State {
    behaviour: Behaviour,
    inodes: HashMap<u64, Inode>,
    last: u64,
    looks: u64,
    handles: HashMap<u64, (u64, bool)>,
}

fn now() -> SystemTime {
    SystemTime::now()
}

fn cut(time: SystemTime, grain: Duration) -> SystemTime {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) if !grain.is_zero() => {
            let whole = since.as_nanos() - since.as_nanos() % grain.as_nanos();
            UNIX_EPOCH + Duration::new((whole / 1_000_000_000) as u64, (whole % 1_000_000_000) as u32)
        }
        _ => time,
    }
}

impl State {
    fn ino(node: INodeNo) -> u64 {
        node.0 & ((1 << INODE_BITS) - 1)
    }

    fn get(&mut self, node: INodeNo) -> Result<&mut Inode, Errno> {
        self.inodes.get_mut(&State::ino(node)).ok_or(Errno::ENOENT)
    }

    fn child(&mut self, parent: INodeNo, name: &OsStr) -> Result<u64, Errno> {
        self.get(parent)?.children.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// The error of a call, or whether it is to do its work.
    fn does(&self, call: Call, made_as: &OsStr) -> Result<bool, Errno> {
        let concerns = self.behaviour.only.is_none_or(|only| made_as.as_bytes().starts_with(only.as_bytes()));
        match self.behaviour.fault {
            Some((faulty, Fault::Error(number))) if faulty == call && concerns => Err(Errno::from_i32(number)),
            Some((faulty, Fault::Faked)) if faulty == call && concerns => Ok(false),
            _ => Ok(true),
        }
    }

    fn does_to(&mut self, call: Call, node: INodeNo) -> Result<bool, Errno> {
        let made_as = self.get(node)?.made_as.clone();
        self.does(call, &made_as)
    }

    /// As the kernel is told of it, under a new number where those are not stable.
    fn attr(&mut self, ino: u64, node: Option<INodeNo>) -> FileAttr {
        self.looks += 1;
        let unstable = self.behaviour.unstable_inodes;
        let number = match node {
            Some(node) => node.0,
            None if unstable && ino != 1 => self.looks << INODE_BITS | ino,
            None => ino,
        };
        let inode = &self.inodes[&ino];
        FileAttr {
            ino: INodeNo(number),
            size: inode.data.len() as u64,
            blocks: inode.data.len().div_ceil(512) as u64,
            atime: inode.mtime,
            mtime: inode.mtime,
            ctime: inode.mtime,
            crtime: inode.mtime,
            kind: inode.kind,
            perm: (inode.mode & 0o7777) as u16,
            nlink: if unstable { 1 } else { inode.nlink },
            uid: inode.uid,
            gid: inode.gid,
            rdev: inode.rdev,
            blksize: 4096,
            flags: 0,
        }
    }

    fn make(&mut self, request: &Request, kind: FileType, mode: u32, name: &OsStr) -> u64 {
        self.last += 1;
        let inode = Inode {
            kind,
            mode: mode & 0o7777,
            uid: request.uid(),
            gid: request.gid(),
            rdev: 0,
            mtime: cut(now(), self.behaviour.grain),
            nlink: 1,
            data: vec![],
            xattrs: BTreeMap::new(),
            children: BTreeMap::new(),
            made_as: name.into(),
        };
        self.inodes.insert(self.last, inode);
        self.last
    }

    /// Puts an inode into a directory.
    fn enter(&mut self, parent: INodeNo, name: &OsStr, ino: u64) -> Result<(), Errno> {
        let time = cut(now(), self.behaviour.grain);
        let directory = self.get(parent)?;
        if directory.children.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        directory.children.insert(name.into(), ino);
        directory.mtime = time;
        Ok(())
    }

    fn leave(&mut self, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let time = cut(now(), self.behaviour.grain);
        let directory = self.get(parent)?;
        let ino = directory.children.remove(name).ok_or(Errno::ENOENT)?;
        directory.mtime = time;
        self.inodes.get_mut(&ino).ok_or(Errno::EIO)?.nlink -= 1;
        Ok(())
    }

    fn rename(&mut self, from: (INodeNo, &OsStr), to: (INodeNo, &OsStr), flags: RenameFlags) -> Result<(), Errno> {
        let ino = self.child(from.0, from.1)?;
        let made_as = self.inodes[&ino].made_as.clone();
        if !self.does(Call::Rename, &made_as)? {
            return Ok(());
        }
        // Two entries cannot change places here.
        if flags.bits() & 2 != 0 {
            return Err(Errno::EINVAL);
        }
        if let Ok(there) = self.child(to.0, to.1) {
            if flags.bits() & 1 != 0 {
                return Err(Errno::EEXIST);
            }
            let inode = &self.inodes[&there];
            match (inode.kind == FileType::Directory, self.inodes[&ino].kind == FileType::Directory) {
                (true, false) => return Err(Errno::EISDIR),
                (true, true) if !inode.children.is_empty() => return Err(Errno::ENOTEMPTY),
                _ => self.leave(to.0, to.1)?,
            }
        }
        self.leave(from.0, from.1)?;
        self.inodes.get_mut(&ino).ok_or(Errno::EIO)?.nlink += 1;
        self.enter(to.0, to.1, ino)
    }
}

#[derive(Clone)]
struct Served(Arc<Mutex<State>>);

impl Served {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// The file system, mounted while this lives.
pub struct Faulty {
    state: Served,
    mounted: Option<BackgroundSession>,
    at: tempfile::TempDir,
}

impl Faulty {
    /// Mounts one; `None`, with the reason said, where that is not allowed.
    pub fn mount(behaviour: Behaviour) -> Option<Faulty> {
        let state = Served(Arc::default());
        {
            let mut state = state.state();
            let time = UNIX_EPOCH;
            let root = Inode {
                kind: FileType::Directory,
                mode: 0o755,
                uid: 0,
                gid: 0,
                rdev: 0,
                mtime: time,
                nlink: 1,
                data: vec![],
                xattrs: BTreeMap::new(),
                children: BTreeMap::new(),
                made_as: "/".into(),
            };
            state.inodes.insert(1, root);
            state.last = 1;
            state.behaviour = behaviour;
        }
        let at = tempfile::tempdir().unwrap();
        match fuser::spawn_mount(state.clone(), at.path(), &Config::default()) {
            Ok(mounted) => Some(Faulty { state, mounted: Some(mounted), at }),
            Err(error) => {
                crate::lacks::lacks("fuse", error);
                None
            }
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.at.path()
    }

    /// Changes how it behaves.
    pub fn behave(&self, behaviour: Behaviour) {
        self.state.state().behaviour = behaviour;
    }

    /// All it holds, by path below its root, whatever the mount says.
    pub fn truth(&self) -> BTreeMap<PathBuf, (u64, Inode)> {
        let state = self.state.state();
        let (mut all, mut open) = (BTreeMap::new(), vec![(PathBuf::new(), 1)]);
        while let Some((path, ino)) = open.pop() {
            for (name, child) in &state.inodes[&ino].children {
                open.push((path.join(name), *child));
                all.insert(path.join(name), (*child, state.inodes[child].clone()));
            }
        }
        all
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        if let Some(mounted) = self.mounted.take() {
            _ = mounted.umount_and_join();
        }
    }
}
