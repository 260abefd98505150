//! Content, holes and attributes of files, and roots that stand elsewhere.

use super::{Seen, source, source_of};
use crate::base::path::path_of;
use crate::format::tree::{EntryKind, Xattr};
use crate::source::Source;
use crate::source::fs::directory::Directory;
use crate::source::fs::{FsOptions, FsSource, parse_list};
use rustix::fs::{XattrFlags, lsetxattr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

#[test]
fn holes_are_found_where_the_file_system_knows_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    let file = fs::File::create(&path).unwrap();
    file.set_len(8 << 20).unwrap();
    file.write_all_at(&[1; 4096], 1 << 20).unwrap();
    file.write_all_at(&[2; 4096], 5 << 20).unwrap();
    fs::write(folder.path().join("dense"), vec![3; 10_000]).unwrap();
    fs::File::create(folder.path().join("hole")).unwrap().set_len(1 << 20).unwrap();
    let source = source_of(folder.path());
    let seen = Seen::well(&source);
    let root = folder.path().canonicalize().unwrap();
    assert!(!seen.get(root.join("dense")).sparse);
    if fs::metadata(&path).unwrap().blocks() * 512 >= 8 << 20 {
        return crate::lacks::lacks("holes", "a file with holes takes as much room as its length");
    }
    assert!(seen.get(root.join("sparse")).sparse && seen.get(root.join("hole")).sparse);
    let open = source.open(seen.get(root.join("sparse"))).unwrap();
    let (mut at, mut data) = (0, Vec::new());
    while let Some((start, end)) = open.next_data(at, 8 << 20).unwrap() {
        assert!(start >= at && end > start && end <= 8 << 20);
        data.push(start..end);
        at = end;
    }
    let holds = |at: u64| data.iter().any(|range| range.contains(&at));
    assert!(holds(1 << 20) && holds((5 << 20) + 4095) && !holds(3 << 20) && !holds(7 << 20), "{data:?}");
    // What is asked for beyond what there is, in size or place.
    assert_eq!(open.next_data(1 << 20, (1 << 20) + 10).unwrap(), Some((1 << 20, (1 << 20) + 10)));
    assert_eq!(open.next_data(9 << 20, 8 << 20).unwrap(), None);
    assert_eq!(open.next_data(9 << 20, 20 << 20).unwrap(), None);
    let hole = source.open(seen.get(root.join("hole"))).unwrap();
    assert_eq!(hole.next_data(0, 1 << 20).unwrap(), None);
}

fn set(path: &Path, name: &str, value: &[u8]) -> bool {
    lsetxattr(path, name, value, XattrFlags::empty()).is_ok()
}

#[test]
fn attributes_of_every_kind_of_entry_are_read_without_following_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let file = root.join("file");
    fs::write(&file, b"").unwrap();
    fs::create_dir(root.join("directory")).unwrap();
    symlink("file", root.join("link")).unwrap();
    let big = vec![7; 3000];
    if !set(&file, "user.b", b"2") {
        return crate::lacks::lacks("xattrs", "the file system of temporary files has none");
    }
    assert!(set(&file, "user.a", &big) && set(&file, "user.empty", b""));
    assert!(set(&root.join("directory"), "user.d", b"d"));
    let root_only = set(&root.join("link"), "trusted.t", b"link") && set(&file, "trusted.t", b"file");
    let many = root.join("many");
    fs::write(&many, b"").unwrap();
    let made = (0..60).take_while(|n| set(&many, &format!("user.a-name-of-some-length-{n:02}"), b"x")).count();

    let source = source_of(&root);
    let seen = Seen::well(&source);
    let xattr = |name: &str, value: &[u8]| Xattr { name: name.into(), value: value.into() };
    let mut expected = vec![xattr("user.a", &big), xattr("user.b", b"2"), xattr("user.empty", b"")];
    if root_only {
        expected.insert(0, xattr("trusted.t", b"file"));
        assert_eq!(source.xattrs(seen.get(root.join("link"))).unwrap(), [xattr("trusted.t", b"link")]);
    } else {
        assert_eq!(source.xattrs(seen.get(root.join("link"))).unwrap(), []);
    }
    assert_eq!(source.xattrs(seen.get(&file)).unwrap(), expected);
    assert_eq!(source.open(seen.get(&file)).unwrap().xattrs().unwrap(), expected);
    assert_eq!(source.xattrs(seen.get(root.join("directory"))).unwrap(), [xattr("user.d", b"d")]);
    let all = source.open(seen.get(&many)).unwrap().xattrs().unwrap();
    assert!(made > 10 && all.len() == made && all.is_sorted_by(|a, b| a.name < b.name));
    let without = source_with(FsOptions { no_xattrs: true, ..FsOptions::default() }, &root);
    assert_eq!(without.xattrs(seen.get(&file)).unwrap(), []);
    assert_eq!(without.open(seen.get(&file)).unwrap().xattrs().unwrap(), []);
}

fn source_with(options: FsOptions, root: &Path) -> FsSource {
    source(FsOptions { roots: vec![root.to_path_buf()], ..options })
}

#[test]
fn a_root_stands_where_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("snap/etc")).unwrap();
    fs::write(root.join("snap/etc/passwd"), b"root").unwrap();
    symlink("snap", root.join("current")).unwrap();
    for (given, shown, expected) in [
        ("snap", "/", vec!["/", "/etc", "/etc/passwd"]),
        (
            "current",
            "/home/no such/x",
            vec!["/", "/home", "/home/no such", "/home/no such/x", "/home/no such/x/etc", "/home/no such/x/etc/passwd"],
        ),
        ("snap/etc/passwd", "/one", vec!["/", "/one"]),
    ] {
        let source = source_with(FsOptions { as_path: Some(shown.into()), ..FsOptions::default() }, &root.join(given));
        let seen = Seen::well(&source);
        let paths: Vec<_> = seen.paths().into_iter().map(|p| String::from_utf8(p).unwrap()).collect();
        assert_eq!(paths, expected);
        assert_eq!(source.describe().paths, [shown.as_bytes()]);
        let root_entry = seen.get(shown);
        assert_eq!(root_entry.meta.inode, fs::metadata(root.join(given)).unwrap().ino());
        let file = seen.entries.iter().find(|found| found.meta.kind == EntryKind::File).unwrap();
        assert_eq!(source.open(file).unwrap().read_at(0, &mut [0; 9]).unwrap(), 4);
        for found in &seen.entries {
            source.xattrs(found).unwrap();
        }
    }
    let refused = |roots: &[&str], shown: &str| {
        let roots = roots.iter().map(|r| root.join(r)).collect();
        FsSource::new(FsOptions { roots, as_path: Some(shown.into()), ..FsOptions::default() }).is_err()
    };
    assert!(refused(&["snap", "current"], "/x") && refused(&["snap"], "relative"));
    assert!(refused(&["snap/etc/passwd"], "/") && refused(&[], "/x"));
}

#[test]
fn roots_are_checked_and_a_link_to_a_directory_stands_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir(root.join("real")).unwrap();
    fs::write(root.join("real/file"), b"x").unwrap();
    symlink("real", root.join("to-directory")).unwrap();
    symlink("real/file", root.join("to-file")).unwrap();
    let walk = |path: &str| Seen::well(&source_of(&root.join(path)));
    let seen = walk("to-directory");
    assert_eq!(seen.below(&root), ["to-directory", "to-directory/file"]);
    assert_eq!(seen.get(root.join("to-directory")).meta.inode, fs::metadata(root.join("real")).unwrap().ino());
    // On the way to a root links are followed, too.
    let seen = walk("to-directory/file");
    assert_eq!(seen.get(root.join("to-directory")).meta.kind, EntryKind::Directory);
    assert!(seen.get(root.join("to-directory/file")).handle.get::<Directory>().is_some());
    let source = source_of(&root.join("to-directory/file"));
    assert_eq!(source.open(seen.get(root.join("to-directory/file"))).unwrap().read_at(0, &mut [0; 3]).unwrap(), 1);
    assert_eq!(walk("to-file").get(root.join("to-file")).meta.kind, EntryKind::Symlink);
    let missing = FsSource::new(FsOptions { roots: vec![root.join("missing")], ..FsOptions::default() });
    assert!(missing.unwrap_err().to_string().contains("missing"));
    assert!(FsSource::new(FsOptions::default()).is_err());
}

#[test]
fn a_list_of_paths_is_many_roots_whose_absence_is_an_error_of_the_walk() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("a/deep")).unwrap();
    fs::write(root.join("a/deep/file"), b"").unwrap();
    fs::write(root.join("b"), b"").unwrap();
    fs::write(root.join("c\n"), b"").unwrap();
    symlink("a", root.join("link")).unwrap();
    let text = ["b", "gone/x", "a", "link", "c\n", "a/deep"].map(|p| root.join(p).into_os_string());
    let text = text.iter().map(|p| p.as_bytes()).collect::<Vec<_>>().join(&0);
    let options = FsOptions { listed: parse_list(&text, true), ..FsOptions::default() };
    let seen = Seen::of(&source(options));
    assert_eq!(seen.below(&root), ["a", "b", "c\n", "link", "a/deep", "a/deep/file"]);
    assert_eq!(seen.get(root.join("link")).meta.kind, EntryKind::Symlink);
    assert_eq!(seen.errors.len(), 1);
    assert_eq!(seen.errors[0].0, root.join("gone").as_os_str().as_bytes());
    assert_eq!(parse_list(b"a\n\nb b\n", false), [Path::new("a"), Path::new("b b")]);
}

#[test]
fn very_many_roots_are_no_matter_and_are_described_in_short() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir(root.join("in")).unwrap();
    let paths: Vec<PathBuf> = (0..20_000).map(|n| root.join(format!("in/{n}"))).collect();
    fs::write(&paths[7], b"").unwrap();
    let source = source(FsOptions { listed: paths, ..FsOptions::default() });
    assert_eq!(source.describe().paths, [root.join("in").as_os_str().as_bytes()]);
    let seen = Seen::of(&source);
    assert_eq!(seen.below(&root), ["in", "in/7"]);
    assert_eq!(seen.errors.len(), 19_999);
    assert!(seen.entries.iter().all(|found| !path_of(&found.key).is_empty()));
}
