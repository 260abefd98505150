//! Looks at a restored entry again, and names what is not as it was set.

use super::{FsDestination, FsDirectory};
use crate::destination::{Attributes, Destination, Expected, LOST_MODE, LOST_OWNER, LOST_TIME, LOST_XATTR};
use crate::format::compare::{Facts, Fields};
use crate::format::tree::EntryKind;
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
            return Ok(vec![Fields::KIND.names()[0]]);
        }
        let facts = Facts { target: expected.target, rdev: expected.rdev, ..attributes.facts(expected.kind) };
        let mut fields = self.compare(&there, directory, name, &facts)?;
        // File flags come when the run ends.
        fields.remove(Fields::FLAGS);
        let owner = Fields::UID | Fields::GID;
        // Without its owner an entry does not get that owner's setuid and setgid bits, and without its ACL its group may
        // have fewer bits.
        let without = [
            (LOST_OWNER, owner | Fields::MODE),
            (LOST_MODE, Fields::MODE),
            (LOST_XATTR, Fields::XATTRS | Fields::MODE),
        ];
        without.iter().filter(|(bit, _)| lost & bit != 0).for_each(|(_, less)| fields.remove(*less));
        if lost & LOST_TIME == 0 && !self.same_time(directory, &there, attributes.mtime, false) {
            fields |= Fields::MTIME;
        }
        let mut names = fields.names();
        if expected.kind == EntryKind::File && there.size != expected.size {
            names.insert(0, "length");
        }
        Ok(names)
    }
}
