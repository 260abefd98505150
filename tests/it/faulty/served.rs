//! The calls of the file system as the kernel makes them.

use super::{AT_ONCE, Call, Inode, Served, State, cut, now};
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

/// The answer to a request about an entry.
fn entry(reply: ReplyEntry, attr: Result<FileAttr, Errno>) {
    match attr {
        Ok(attr) => reply.entry(&AT_ONCE, &attr, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn empty(reply: ReplyEmpty, done: Result<(), Errno>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn xattr(reply: ReplyXattr, size: u32, bytes: Result<Vec<u8>, Errno>) {
    match bytes {
        Ok(bytes) if size == 0 => reply.size(bytes.len() as u32),
        Ok(bytes) if bytes.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(bytes) => reply.data(&bytes),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut state = self.state();
        let found = state.child(parent, name).map(|ino| state.attr(ino, None));
        entry(reply, found);
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let mut state = self.state();
        match state.get(node).map(|_| ()) {
            Ok(()) => reply.attr(&AT_ONCE, &state.attr(State::ino(node), Some(node))),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.state();
        let mut set = || {
            if (uid.is_some() || gid.is_some()) && state.does_to(Call::Chown, node)? {
                let inode = state.get(node)?;
                (inode.uid, inode.gid) = (uid.unwrap_or(inode.uid), gid.unwrap_or(inode.gid));
            }
            // What comes with a change of owner or size is the kernel's own taking away of setuid.
            if let Some(mode) = mode.filter(|_| uid.is_none() && gid.is_none() && size.is_none())
                && state.does_to(Call::Chmod, node)?
            {
                state.get(node)?.mode = mode & 0o7777;
            }
            if let Some(size) = size
                && state.does_to(Call::Truncate, node)?
            {
                state.get(node)?.data.resize(size as usize, 0);
            }
            let (both, grain) = (state.behaviour.both_times, state.behaviour.grain);
            if size.is_none() && (atime.is_some() || mtime.is_some()) && state.does_to(Call::Utimens, node)? {
                let time = mtime.map(|mtime| match mtime {
                    TimeOrNow::SpecificTime(time) => time,
                    TimeOrNow::Now => now(),
                });
                if let Some(time) = time.filter(|_| !both || atime.is_some()) {
                    state.get(node)?.mtime = cut(time, grain);
                }
            }
            state.get(node).map(|_| ())
        };
        match set() {
            Ok(()) => reply.attr(&AT_ONCE, &state.attr(State::ino(node), Some(node))),
            Err(error) => reply.error(error),
        }
    }

    fn readlink(&self, _: &Request, node: INodeNo, reply: ReplyData) {
        match self.state().get(node) {
            Ok(inode) => reply.data(&inode.data),
            Err(error) => reply.error(error),
        }
    }

    fn mknod(&self, r: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, rdev: u32, reply: ReplyEntry) {
        let mut state = self.state();
        let kind = match mode & 0o170000 {
            0o010000 => FileType::NamedPipe,
            0o020000 => FileType::CharDevice,
            0o060000 => FileType::BlockDevice,
            0o140000 => FileType::Socket,
            _ => FileType::RegularFile,
        };
        let made = state.does(Call::Mknod, name).and_then(|does| {
            let ino = state.make(r, kind, mode & !umask, name);
            state.inodes.get_mut(&ino).ok_or(Errno::EIO)?.rdev = rdev;
            if does {
                state.enter(parent, name, ino)?;
            }
            Ok(state.attr(ino, None))
        });
        entry(reply, made);
    }

    fn mkdir(&self, r: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let mut state = self.state();
        let made = state.does(Call::Mkdir, name).and_then(|does| {
            let ino = state.make(r, FileType::Directory, mode & !umask, name);
            if does {
                state.enter(parent, name, ino)?;
            }
            Ok(state.attr(ino, None))
        });
        entry(reply, made);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.state().leave(parent, name);
        empty(reply, done);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.state();
        let done = state.child(parent, name).and_then(|ino| match state.inodes[&ino].children.is_empty() {
            true => state.leave(parent, name),
            false => Err(Errno::ENOTEMPTY),
        });
        empty(reply, done);
    }

    fn symlink(&self, r: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let mut state = self.state();
        let made = state.does(Call::Symlink, name).and_then(|does| {
            let ino = state.make(r, FileType::Symlink, 0o777, name);
            state.inodes.get_mut(&ino).ok_or(Errno::EIO)?.data = target.as_os_str().as_bytes().to_vec();
            if does {
                state.enter(parent, name, ino)?;
            }
            Ok(state.attr(ino, None))
        });
        entry(reply, made);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let done = self.state().rename((parent, name), (to, new_name), flags);
        empty(reply, done);
    }

    fn link(&self, _: &Request, node: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut state = self.state();
        let done = state.does_to(Call::Link, node).and_then(|does| {
            if does {
                state.enter(parent, name, State::ino(node))?;
                state.get(node)?.nlink += 1;
            }
            Ok(state.attr(State::ino(node), None))
        });
        entry(reply, done);
    }

    fn open(&self, _: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let mut state = self.state();
        state.looks += 1;
        let handle = state.looks;
        state.handles.insert(handle, (State::ino(node), flags.0 & 3 != 0));
        reply.opened(FileHandle(handle), FopenFlags::empty());
    }

    fn create(&self, r: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let mut state = self.state();
        let ino = state.make(r, FileType::RegularFile, mode & !umask, name);
        match state.enter(parent, name, ino) {
            Ok(()) => {
                let attr = state.attr(ino, None);
                let handle = state.looks;
                state.handles.insert(handle, (ino, true));
                reply.created(&AT_ONCE, &attr, Generation(0), FileHandle(handle), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.state().get(node) {
            Ok(inode) => {
                let from = (offset as usize).min(inode.data.len());
                let to = (from + size as usize).min(inode.data.len());
                reply.data(&inode.data[from..to]);
            }
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.state();
        let done = state.does_to(Call::Write, node).and_then(|does| {
            let grain = state.behaviour.grain;
            let inode = state.get(node)?;
            let end = offset as usize + data.len();
            inode.data.resize(inode.data.len().max(end), 0);
            inode.mtime = cut(now(), grain);
            if does {
                inode.data[offset as usize..end].copy_from_slice(data);
            }
            Ok(data.len() as u32)
        });
        match done {
            Ok(len) => reply.written(len),
            Err(error) => reply.error(error),
        }
    }

    /// A close that fails, or only says that it worked, loses what was written.
    fn flush(&self, _: &Request, node: INodeNo, handle: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        let mut state = self.state();
        let written = state.handles.get(&handle.0).is_some_and(|(_, written)| *written);
        let does = if written { state.does_to(Call::Close, node) } else { Ok(true) };
        // One that has no such call at all has nothing to lose.
        let lacks = does.is_err_and(|error| error.code() == Errno::ENOSYS.code());
        if !matches!(does, Ok(true)) && !lacks {
            _ = state.get(node).map(|inode| inode.data.clear());
        }
        empty(reply, does.map(|_| ()));
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.state().handles.remove(&handle.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let done = self.state().does_to(Call::Fsync, node).map(|_| ());
        empty(reply, done);
    }

    fn fsyncdir(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let done = self.state().does_to(Call::Fsync, node).map(|_| ());
        empty(reply, done);
    }

    fn readdir(&self, _: &Request, node: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut state = self.state();
        let children = state.get(node).map(|inode| inode.children.clone()).unwrap_or_default();
        for (at, (name, ino)) in children.iter().enumerate().skip(offset as usize) {
            if reply.add(INodeNo(*ino), at as u64 + 1, state.inodes[ino].kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 4096, 255, 4096);
    }

    fn setxattr(&self, _: &Request, node: INodeNo, name: &OsStr, value: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        let mut state = self.state();
        let done = state.does_to(Call::Setxattr, node).and_then(|does| {
            if does {
                state.get(node)?.xattrs.insert(name.into(), value.to_vec());
            }
            Ok(())
        });
        empty(reply, done);
    }

    fn getxattr(&self, _: &Request, node: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let mut state = self.state();
        let value = state.get(node).and_then(|inode| inode.xattrs.get(name).cloned().ok_or(Errno::ENODATA));
        xattr(reply, size, value);
    }

    fn listxattr(&self, _: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        let mut state = self.state();
        let all = |inode: &mut Inode| inode.xattrs.keys().flat_map(|n| [n.as_bytes(), b"\0"].concat()).collect();
        let names = state.get(node).map(all);
        xattr(reply, size, names);
    }

    fn removexattr(&self, _: &Request, node: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.state();
        let removed = state.get(node).and_then(|inode| inode.xattrs.remove(name).map(|_| ()).ok_or(Errno::ENODATA));
        empty(reply, removed);
    }

    fn fallocate(&self, _: &Request, node: INodeNo, _: FileHandle, at: u64, len: u64, _: i32, reply: ReplyEmpty) {
        let mut state = self.state();
        let done = state.does_to(Call::Fallocate, node).and_then(|does| {
            let data = &mut state.get(node)?.data;
            if does {
                data.resize(data.len().max((at + len) as usize), 0);
            }
            Ok(())
        });
        empty(reply, done);
    }
}
