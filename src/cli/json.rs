//! The objects of `--json`: one a line on standard output. Fields are only ever added. `docs/json.md` lists them.

use super::time::rfc3339;
use crate::format::tree::{Entry, EntryKind, Xattr};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// Standard base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A path: lossy UTF-8, and the exact bytes in base64 when that loses something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Path {
    /// For people.
    pub path: String,
    /// Exact, when `path` is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_b64: Option<String>,
}

impl Path {
    /// Of bytes.
    pub fn new(bytes: &[u8]) -> Path {
        match std::str::from_utf8(bytes) {
            Ok(path) => Path { path: path.into(), path_b64: None },
            Err(_) => Path { path: String::from_utf8_lossy(bytes).into(), path_b64: Some(base64(bytes)) },
        }
    }
}

/// Several paths: lossy, and exact when one of them is no UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paths {
    /// For people.
    pub paths: Vec<String>,
    /// All of them, exact, when one in `paths` is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths_b64: Option<Vec<String>>,
}

impl Paths {
    /// Of bytes.
    pub fn new(paths: &[Vec<u8>]) -> Paths {
        let exact = paths.iter().all(|p| std::str::from_utf8(p).is_ok());
        Paths {
            paths: paths.iter().map(|p| String::from_utf8_lossy(p).into()).collect(),
            paths_b64: (!exact).then(|| paths.iter().map(|p| base64(p)).collect()),
        }
    }
}

/// What an entry is, in one word.
pub fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink => "symlink",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        EntryKind::CharDevice => "char_device",
        EntryKind::BlockDevice => "block_device",
    }
}

/// An entry of a snapshot.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in format::tree::Meta")]
pub struct EntryObject {
    /// `entry`.
    #[serde(rename = "type")]
    pub object: &'static str,
    /// The snapshot it lies in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    #[serde(flatten)]
    pub path: Path,
    pub kind: &'static str,
    /// Permission bits as an octal string, e.g. `0644`.
    pub mode: String,
    pub uid: u32,
    pub gid: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    pub size: u64,
    pub mtime: String,
    pub ctime: String,
    pub inode: u64,
    pub links: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_b64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<[u32; 2]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<XattrObject>,
    /// Could not be read: only its metadata is stored.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unreadable: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub changed_while_read: bool,
}

/// An extended attribute.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct XattrObject {
    pub name: String,
    pub value_b64: String,
}

impl EntryObject {
    /// Of an entry at `path`.
    pub fn new(entry: &Entry, path: &[u8]) -> EntryObject {
        let meta = &entry.meta;
        let target = (meta.kind == EntryKind::Symlink).then(|| Path::new(&meta.target));
        let is_device = matches!(meta.kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        EntryObject {
            object: "entry",
            snapshot: None,
            path: Path::new(path),
            kind: kind(meta.kind),
            mode: format!("{:04o}", meta.mode),
            uid: meta.uid,
            gid: meta.gid,
            user: String::from_utf8_lossy(&meta.user).into(),
            group: String::from_utf8_lossy(&meta.group).into(),
            size: meta.size,
            mtime: rfc3339(meta.mtime),
            ctime: rfc3339(meta.ctime),
            inode: meta.inode,
            links: meta.nlink,
            target_b64: target.as_ref().and_then(|t| t.path_b64.clone()),
            target: target.map(|t| t.path),
            device: is_device.then_some([meta.rdev.0, meta.rdev.1]),
            xattrs: meta.xattrs.iter().map(xattr).collect(),
            unreadable: entry.content == crate::format::tree::Content::Unreadable,
            changed_while_read: entry.changed_while_read,
        }
    }
}

fn xattr(xattr: &Xattr) -> XattrObject {
    XattrObject { name: String::from_utf8_lossy(&xattr.name).into(), value_b64: base64(&xattr.value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_no_utf8_comes_exact_too() {
        let plain = serde_json::to_string(&Path::new(b"/a")).unwrap();
        assert_eq!(plain, r#"{"path":"/a"}"#);
        let odd = serde_json::to_string(&Path::new(b"/a\xff")).unwrap();
        assert_eq!(odd, "{\"path\":\"/a\u{fffd}\",\"path_b64\":\"L2H/\"}");
        let two = serde_json::to_value(Paths::new(&[b"/a".to_vec(), b"/\xff".to_vec()])).unwrap();
        assert_eq!(two["paths_b64"], serde_json::json!(["L2E=", "L/8="]));
    }
}
