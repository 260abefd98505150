//! Entries of snapshots.

use super::path::{Path, base64};
use super::time::rfc3339;
use crate::base::id::ObjectId;
use crate::format::tree::{Content, Entry, EntryKind, Xattr};
use serde::Serialize;

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
pub struct EntryObject {
    #[serde(rename = "type")]
    pub object: &'static str,
    /// The snapshot it lies in.
    pub snapshot: String,
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
pub struct XattrObject {
    pub name: String,
    pub value_b64: String,
}

impl EntryObject {
    pub fn new(snapshot: &ObjectId, entry: &Entry, path: &[u8]) -> EntryObject {
        let meta = &entry.meta;
        let target = (meta.kind == EntryKind::Symlink).then(|| Path::new(&meta.target));
        let is_device = matches!(meta.kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        EntryObject {
            object: "entry",
            snapshot: snapshot.to_string(),
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
            unreadable: entry.content == Content::Unreadable,
            changed_while_read: entry.changed_while_read,
        }
    }
}

fn xattr(xattr: &Xattr) -> XattrObject {
    XattrObject { name: String::from_utf8_lossy(&xattr.name).into(), value_b64: base64(&xattr.value) }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;
    use crate::base::time::Time;
    use crate::format::tree::Meta;

    fn entry(kind: EntryKind) -> Entry {
        let meta = Meta {
            kind,
            mode: 0o644,
            uid: 1000,
            gid: 0,
            user: b"me".to_vec(),
            group: Vec::new(),
            size: 12,
            mtime: Time::default(),
            ctime: Time { s: 1, ns: 500_000_000 },
            btime: None,
            nlink: 1,
            device: 0,
            inode: 7,
            rdev: (8, 1),
            target: b"to".to_vec(),
            xattrs: vec![Xattr { name: b"user.a".to_vec(), value: b"hi".to_vec() }],
        };
        Entry { key: Vec::new(), meta, content: Content::Empty, changed_while_read: false, extensions: Vec::new() }
    }

    #[test]
    fn an_entry_in_json() {
        let id = ObjectId([0xab; 32]);
        let line = |kind, tail: &str| {
            format!(
                r#"{{"type":"entry","snapshot":"{}","path":"/a","kind":"{kind}","mode":"0644","uid":1000,"gid":0,"user":"me","size":12,"mtime":"1970-01-01T00:00:00Z","ctime":"1970-01-01T00:00:01.5Z","inode":7,"links":1,{tail}}}"#,
                "ab".repeat(32)
            )
        };
        let xattrs = r#""xattrs":[{"name":"user.a","value_b64":"aGk="}]"#;
        let file = EntryObject::new(&id, &entry(EntryKind::File), b"/a");
        assert_eq!(json(&file), line("file", xattrs));
        let link = EntryObject::new(&id, &entry(EntryKind::Symlink), b"/a");
        assert_eq!(json(&link), line("symlink", &format!(r#""target":"to",{xattrs}"#)));
        let device = Entry { content: Content::Unreadable, changed_while_read: true, ..entry(EntryKind::BlockDevice) };
        let tail = format!(r#""device":[8,1],{xattrs},"unreadable":true,"changed_while_read":true"#);
        assert_eq!(json(&EntryObject::new(&id, &device, b"/a")), line("block_device", &tail));
    }
}
