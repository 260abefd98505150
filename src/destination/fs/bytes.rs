//! Reading and writing at a place in a file.

use crate::destination::ReadBack;
use rustix::fd::AsFd;
use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;
use std::io;
use std::os::unix::fs::FileExt;

/// All of `bytes` at `offset`.
pub(super) fn write_all_at(fd: impl AsFd, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(fd.as_fd(), bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = &bytes[n..];
                offset += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Fills `buf` from `offset`.
pub(super) fn read_all_at(fd: impl AsFd, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
    while !buf.is_empty() {
        match rustix::io::pread(fd.as_fd(), &mut *buf, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buf = &mut buf[n..];
                offset += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// So much is compared with zeros, or overwritten with them, at a time.
const ZEROS_BYTES: u64 = 64 << 10;

/// The next range within `at..end` that is no hole; where holes cannot be asked for, all of it.
fn data(fd: impl AsFd, at: u64, end: u64) -> Option<(u64, u64)> {
    let from = match rustix::fs::seek(fd.as_fd(), SeekFrom::Data(at)) {
        Err(Errno::NXIO) => return None,
        data => data.unwrap_or(at),
    };
    let to = rustix::fs::seek(fd.as_fd(), SeekFrom::Hole(from)).unwrap_or(end).min(end);
    (from < to).then_some((from, to))
}

/// Makes all of the range read as zeros, by a hole where there can be one.
pub(in crate::destination) fn clear(fd: impl AsFd, offset: u64, len: u64) -> io::Result<()> {
    let (mut at, end) = (offset, offset.saturating_add(len));
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    while let Some((from, to)) = data(fd.as_fd(), at, end) {
        if rustix::fs::fallocate(fd.as_fd(), punch, from, to - from).is_err() {
            let zeros = vec![0; ZEROS_BYTES as usize];
            for piece in (from..to).step_by(zeros.len()) {
                write_all_at(fd.as_fd(), piece, &zeros[..(to - piece).min(ZEROS_BYTES) as usize])?;
            }
        }
        at = to;
    }
    Ok(())
}

/// A file opened for reading it back.
pub(super) struct Back {
    pub file: std::fs::File,
    pub len: u64,
}

impl ReadBack for Back {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn is_clear(&self, offset: u64, len: u64) -> io::Result<bool> {
        let (mut at, end) = (offset, offset.saturating_add(len));
        let mut piece = vec![];
        while let Some((from, to)) = data(&self.file, at, end) {
            at = (from + ZEROS_BYTES).min(to);
            piece.resize((at - from) as usize, 0);
            self.read_at(from, &mut piece)?;
            if piece.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
