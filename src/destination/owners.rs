//! Owners by name: finds the numbers that the names in a snapshot have on this machine.

use crate::format::tree::Meta;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Names beyond this many are asked for again.
const NAMES_MAX: usize = 1 << 16;

/// Names that were asked for.
#[derive(Debug, Default)]
pub struct OwnerNumbers {
    users: Mutex<Known>,
    groups: Mutex<Known>,
}

type Known = HashMap<Vec<u8>, Option<u32>>;

impl OwnerNumbers {
    /// Gives an entry the numbers that its owners' names have here. A name that is not known here leaves the number as
    /// it is, and so does the number 0: root is root whatever its name.
    pub fn give(&self, meta: &mut Meta) {
        let user = |name: &OsStr| uzers::get_user_by_name(name).map(|user| user.uid());
        let group = |name: &OsStr| uzers::get_group_by_name(name).map(|group| group.gid());
        meta.uid = number(&self.users, meta.uid, &meta.user, user);
        meta.gid = number(&self.groups, meta.gid, &meta.group, group);
    }
}

fn number(known: &Mutex<Known>, number: u32, name: &[u8], ask: impl FnOnce(&OsStr) -> Option<u32>) -> u32 {
    if number == 0 || name.is_empty() {
        return number;
    }
    let mut known = known.lock();
    if let Some(here) = known.get(name) {
        return here.unwrap_or(number);
    }
    if known.len() >= NAMES_MAX {
        known.clear();
    }
    let here = ask(OsStr::from_bytes(name));
    known.insert(name.to_vec(), here);
    here.unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_known_here_give_the_number_and_others_leave_it() {
        let asked = std::cell::Cell::new(0);
        let known = Mutex::default();
        let ask = |name: &OsStr| {
            asked.set(asked.get() + 1);
            (name == "me").then_some(1234)
        };
        assert_eq!(number(&known, 1000, b"me", ask), 1234);
        assert_eq!(number(&known, 1000, b"me", ask), 1234);
        assert_eq!(number(&known, 1000, b"you", ask), 1000);
        assert_eq!(number(&known, 1001, b"you", ask), 1001);
        assert_eq!(number(&known, 1000, b"", ask), 1000);
        assert_eq!(number(&known, 0, b"me", ask), 0);
        assert_eq!(asked.get(), 2);
    }
}
