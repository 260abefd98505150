//! Paths inside a snapshot and the order of a tree.
//!
//! A *path* is absolute and made of bytes: `/`, `/etc`, `/etc/passwd`. Its *key* orders the tree: each
//! parent component followed by 0x00, then 0x00, then the name. Compared as bytes, a directory's
//! entries are contiguous and a subtree is one range below its prefix. The root's key is empty.

use crate::base::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX};
use memchr::{memchr2, memchr2_iter, memrchr};

/// Why bytes are not a path or a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A component is empty, `.` or `..`, or holds `/` or 0x00.
    #[error("a path component is empty, \".\" or \"..\", or holds \"/\" or a zero byte")]
    Component,
    /// A component or the whole path is too long.
    #[error("a path or one of its components is too long")]
    TooLong,
    /// The key does not have the form of a key.
    #[error("not a tree key")]
    Key,
}

/// Whether `name` may be one component of a path.
pub fn check_name(name: &[u8]) -> Result<(), PathError> {
    match memchr2(b'/', 0, name) {
        None => check_separated(name),
        Some(_) => Err(PathError::Component),
    }
}

/// The same of what holds no `/` and no 0x00.
#[inline]
fn check_separated(name: &[u8]) -> Result<(), PathError> {
    match name {
        [] | [b'.'] | [b'.', b'.'] => Err(PathError::Component),
        name if name.len() > NAME_BYTES_MAX => Err(PathError::TooLong),
        _ => Ok(()),
    }
}

/// The components of a path; repeated and trailing slashes are passed over, `.` and `..` are errors.
pub fn components(path: &[u8]) -> Result<Vec<&[u8]>, PathError> {
    if path.len() > PATH_BYTES_MAX {
        return Err(PathError::TooLong);
    }
    let parts: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|c| !c.is_empty()).collect();
    parts.iter().try_for_each(|c| check_name(c))?;
    Ok(parts)
}

/// The key of an absolute path.
pub fn key_of(path: &[u8]) -> Result<Vec<u8>, PathError> {
    let parts = components(path)?;
    let Some((name, parents)) = parts.split_last() else { return Ok(Vec::new()) };
    let mut key = Vec::with_capacity(path.len() + 2);
    for parent in parents {
        key.extend_from_slice(parent);
        key.push(0);
    }
    key.push(0);
    key.extend_from_slice(name);
    Ok(key)
}

/// The key of the entry `name` in the directory whose key is `parent`.
pub fn child_key(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut key = children_prefix(parent);
    key.extend_from_slice(name);
    key
}

/// The keys of all directories above an entry, in ascending order, the root's first. None above the root.
pub fn ancestor_keys(key: &[u8]) -> Vec<Vec<u8>> {
    let Some((parents, _)) = split_key(key) else { return Vec::new() };
    let mut keys = vec![Vec::new()];
    // Each parent ends before its zero byte; its key has one more before its name.
    for end in memchr::memchr_iter(0, parents) {
        let start = memrchr(0, &parents[..end]).map_or(0, |at| at + 1);
        keys.push([&parents[..start], &[0], &parents[start..end]].concat());
    }
    keys
}

/// What the keys of a directory's own entries begin with.
pub fn children_prefix(directory: &[u8]) -> Vec<u8> {
    let mut prefix = subtree_prefix(directory);
    prefix.push(0);
    prefix
}

/// The end of the range of keys that begin with `prefix`: empty for all keys.
pub fn after(prefix: &[u8]) -> Vec<u8> {
    let mut to = prefix.to_vec();
    if let Some(last) = to.last_mut() {
        // A subtree's prefix ends in 0x00.
        *last += 1;
    }
    to
}

/// What the keys of everything below a directory begin with (empty for the root).
pub fn subtree_prefix(directory: &[u8]) -> Vec<u8> {
    match split_key(directory) {
        None => Vec::new(),
        Some((parents, name)) => [parents, name, &[0]].concat(),
    }
}

/// The parent components (each followed by 0x00) and the name of a key; `None` for the root.
pub fn split_key(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memrchr(0, key)?;
    Some((&key[..at], &key[at + 1..]))
}

/// The absolute path of a valid key.
pub fn path_of(key: &[u8]) -> Vec<u8> {
    let Some((parents, name)) = split_key(key) else { return b"/".to_vec() };
    let mut path = Vec::with_capacity(key.len() + 1);
    for parent in parents.split(|&b| b == 0).filter(|p| !p.is_empty()) {
        path.push(b'/');
        path.extend_from_slice(parent);
    }
    path.push(b'/');
    path.extend_from_slice(name);
    path
}

/// Whether bytes are the key of some path: each component valid, the whole within limits.
pub fn check_key(key: &[u8]) -> Result<(), PathError> {
    if key.is_empty() {
        return Ok(());
    }
    // Every component adds its length and one byte to either: a key is as long as its path.
    if key.len() > PATH_BYTES_MAX {
        return Err(PathError::TooLong);
    }
    // In one pass: every entry of a backup comes by here.
    let mut component = 0;
    for at in memchr2_iter(b'/', 0, key) {
        if key[at] != 0 {
            return Err(PathError::Component);
        }
        if at == component {
            // No more parents: the name follows.
            return check_name(&key[at + 1..]);
        }
        check_separated(&key[component..at])?;
        component = at + 1;
    }
    Err(PathError::Key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_directory_lists_its_entries_before_anything_deeper() {
        let paths: [&[u8]; 7] = [b"/", b"/a", b"/a.x", b"/b", b"/a/c", b"/a/c/d", b"/a.x/e"];
        let keys: Vec<_> = paths.iter().map(|p| key_of(p).unwrap()).collect();
        assert!(keys.is_sorted(), "{keys:?}");
        for (path, key) in paths.iter().zip(&keys) {
            assert_eq!(&path_of(key), path);
            assert_eq!(check_key(key), Ok(()));
        }
        assert!(keys[4].starts_with(&children_prefix(&keys[1])));
        assert!(keys[5].starts_with(&subtree_prefix(&keys[1])));
        assert_eq!(child_key(&keys[1], b"c"), keys[4]);
        assert_eq!(child_key(&[], b"a"), keys[1]);
    }

    #[test]
    fn the_longest_path_has_the_longest_key() {
        let name = [b'n'; NAME_BYTES_MAX];
        let path = [&[&b"/"[..], &name[1..]].concat().repeat(4)[..]].concat();
        assert_eq!(path.len(), PATH_BYTES_MAX);
        let key = key_of(&path).unwrap();
        assert_eq!(check_key(&key), Ok(()));
        assert_eq!(path_of(&key), path);
        let longer = [&key[..], b"n"].concat();
        assert_eq!(check_key(&longer), Err(PathError::TooLong));
        assert_eq!(key_of(&path_of(&longer)), Err(PathError::TooLong));
    }

    proptest! {
        #[test]
        fn checked_keys_are_exactly_the_keys_of_paths(key in prop::collection::vec(prop::sample::select(&b"\0\0ab./"[..]), 0..12)) {
            let valid = check_key(&key).is_ok();
            prop_assert_eq!(valid, key_of(&path_of(&key)).is_ok_and(|k| k == key) );
        }
    }
}
