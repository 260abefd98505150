//! What of an entry is not as it was restored, found by looking at it again.

use super::{FsDestination, FsDirectory};
use crate::destination::{Attributes, Destination, Expected, LOST_MODE, LOST_OWNER, LOST_TIME, LOST_XATTR};
use crate::format::tree::EntryKind;
use rustix::fd::AsFd;
use rustix::fs::AtFlags;
use std::io;
use std::sync::Arc;

impl FsDestination {
    /// Names what differs. `lost` are the parts that it is known to lack.
    pub(super) fn differences(
        &self,
        directory: &Arc<FsDirectory>,
        name: &[u8],
        expected: &Expected<'_>,
        attributes: &Attributes<'_>,
        lost: u8,
    ) -> io::Result<Vec<&'static str>> {
        let Some(there) = self.look(directory, name)? else { return Ok(vec!["it is not there"]) };
        if there.kind != expected.kind {
            return Ok(vec!["it is of another kind"]);
        }
        let fd = self.directories.fd(directory)?;
        let mut differ = vec![];
        match expected.kind {
            EntryKind::File if there.size != expected.size => differ.push("its length"),
            EntryKind::Symlink if rustix::fs::readlinkat(&*fd, name, vec![])?.as_bytes() != expected.target => {
                differ.push("where it leads");
            }
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                let rdev = rustix::fs::statat(&*fd, name, AtFlags::SYMLINK_NOFOLLOW)?.st_rdev;
                if (rustix::fs::major(rdev), rustix::fs::minor(rdev)) != expected.rdev {
                    differ.push("its device number");
                }
            }
            _ => {}
        }
        // Who may not set owners, or could not, does not get their setuid and setgid bits either; without its ACL an
        // entry's group may have fewer bits.
        let owns = self.applier.owns() && lost & LOST_OWNER == 0;
        let bits = if owns { 0o7777 } else { 0o1777 } & if lost & LOST_XATTR == 0 { 0o7777 } else { 0o7707 };
        let mode = (there.mode ^ attributes.mode) & bits != 0;
        if mode && lost & LOST_MODE == 0 && expected.kind != EntryKind::Symlink {
            differ.push("its mode");
        }
        let right = |there: u32, wanted: u32| there == wanted || wanted == u32::MAX;
        if owns && !(right(there.uid, attributes.uid) && right(there.gid, attributes.gid)) {
            differ.push("its owner");
        }
        if lost & LOST_TIME == 0 && !self.same_time(directory, &there, attributes.mtime, false) {
            differ.push("its modification time");
        }
        if lost & LOST_XATTR == 0 && self.applier.xattrs_differ(fd.as_fd(), name, attributes.xattrs)? {
            differ.push("its extended attributes");
        }
        Ok(differ)
    }
}
