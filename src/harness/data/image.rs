//! Disk images: an ext4 file system with another data set in it, made without root. The second version is the first with the
//! changes of that data set made in place, as a running system would: blocks that did not change stay where they are.
//!
//! Ids, owners and times are fixed, so the same tools make the same image. The layout is the tools' own: their versions
//! differ by some blocks, and there is no digest that holds everywhere.

use super::Watch;
use super::recipe::Image;
use super::tool::Tool;
use crate::harness::error::BenchError;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The image's name in its folder.
const FILE: &str = "disk.img";
/// Of the file system, and of the hash of its directories.
const UUID: &str = "6c617264-6572-4000-8000-62656e636864";
/// Seconds since 1970 that the tools take for now: first and second version.
const TIMES: [&str; 2] = ["1600000000", "1600086400"];

/// The first version: `content` in a new file system.
pub fn first(image: &Image, content: &Path, out: &Path, work: &Path, watch: &Watch<'_>) -> Result<(), BenchError> {
    fs::create_dir(out).map_err(BenchError::io("make", out))?;
    let mut mke2fs = Tool::new("mke2fs", "e2fsprogs", "a disk image")?;
    mke2fs.args(["-q", "-t", "ext4", "-U", UUID, "-E"]).arg(format!("hash_seed={UUID},root_owner=0:0"));
    at(&mut mke2fs, TIMES[0]).arg("-d").arg(content).arg(out.join(FILE)).arg(format!("{}M", image.mib));
    mke2fs.must(watch)?;
    let mut script = vec![];
    for path in walk(content)?.keys() {
        settle(path, &mut script)?;
    }
    change(&out.join(FILE), &script, TIMES[0], work, watch)
}

/// mke2fs takes owners and times of what it copies, and when a file was made or read is another time on every machine.
fn settle(path: &Path, script: &mut Vec<u8>) -> Result<(), BenchError> {
    let mut name = vec![];
    quote(&Path::new("/").join(path), &mut name)?;
    let time = format!("@{}", TIMES[0]);
    let times = ["atime", "ctime", "mtime"].map(|field| (field, time.as_str()));
    // Setting a time leaves its nanoseconds.
    let others = ["atime_extra", "ctime_extra", "mtime_extra", "uid", "gid"].map(|field| (field, "0"));
    for (field, value) in others.into_iter().chain(times) {
        script.extend_from_slice(b"set_inode_field ");
        script.extend_from_slice(&name);
        script.extend_from_slice(format!(" {field} {value}\n").as_bytes());
    }
    Ok(())
}

/// The second: the first image, brought from the one content to the other.
pub fn second(
    first: &Path,
    contents: [&Path; 2],
    out: &Path,
    work: &Path,
    watch: &Watch<'_>,
) -> Result<(), BenchError> {
    fs::create_dir(out).map_err(BenchError::io("make", out))?;
    let image = out.join(FILE);
    // cp keeps holes.
    Tool::new("cp", "coreutils", "a disk image")?
        .arg("--sparse=always")
        .arg(first.join(FILE))
        .arg(&image)
        .must(watch)?;
    let changes = changes(contents, watch)?;
    watch.say(&format!("{} changes in the disk image", changes.removed.len() + changes.added.len()));
    change(&image, &script(&changes, contents[1])?, TIMES[1], work, watch)
}

/// Has debugfs run these commands.
fn change(image: &Path, script: &[u8], time: &str, work: &Path, watch: &Watch<'_>) -> Result<(), BenchError> {
    let path = work.join("debugfs");
    fs::write(&path, script).map_err(BenchError::io("write", &path))?;
    let mut debugfs = Tool::new("debugfs", "e2fsprogs", "a disk image")?;
    let said = at(&mut debugfs, time).args(["-w", "-f"]).arg(&path).arg(image).must(watch)?;
    // It ends well whatever happened: only its version is no complaint.
    match said.errors.lines().find(|line| !line.trim().is_empty() && !line.starts_with("debugfs ")) {
        None => Ok(()),
        Some(complaint) => Err(BenchError::NotMeasured(format!("debugfs could not change the image: {complaint}"))),
    }
}

fn at<'a>(tool: &'a mut Tool, time: &str) -> &'a mut Tool {
    tool.env("E2FSPROGS_FAKE_TIME", time).env("SOURCE_DATE_EPOCH", time)
}

/// What an entry is, as far as two trees can differ in it.
#[derive(Debug, PartialEq, Eq, Clone)]
enum Kind {
    Folder,
    File(u64),
    Link(PathBuf),
}

#[derive(Debug, Default)]
struct Changes {
    /// Paths with whether they are folders; what is in a folder comes before it.
    removed: Vec<(PathBuf, bool)>,
    /// Folders come before what is in them.
    added: Vec<(PathBuf, Kind)>,
}

fn changes(contents: [&Path; 2], watch: &Watch<'_>) -> Result<Changes, BenchError> {
    let [old, new] = [walk(contents[0])?, walk(contents[1])?];
    let mut changes = Changes::default();
    for (path, kind) in old.iter().rev() {
        watch.poll()?;
        let stays = match new.get(path) {
            Some(Kind::File(len)) if *kind == Kind::File(*len) => {
                equal(&contents[0].join(path), &contents[1].join(path))?
            }
            there => there == Some(kind),
        };
        if !stays {
            changes.removed.push((path.clone(), *kind == Kind::Folder));
        }
    }
    let removed: std::collections::HashSet<&PathBuf> = changes.removed.iter().map(|(path, _)| path).collect();
    let is_new = |path: &PathBuf| !old.contains_key(path) || removed.contains(path);
    changes.added = new.into_iter().filter(|(path, _)| is_new(path)).collect();
    Ok(changes)
}

/// Every entry below `root`; a folder sorts before what is in it.
fn walk(root: &Path) -> Result<BTreeMap<PathBuf, Kind>, BenchError> {
    let (mut found, mut open) = (BTreeMap::new(), vec![PathBuf::new()]);
    while let Some(folder) = open.pop() {
        let path = root.join(&folder);
        for entry in path.read_dir().map_err(BenchError::io("list", &path))? {
            let entry = entry.map_err(BenchError::io("list", &path))?;
            let (path, relative) = (entry.path(), folder.join(entry.file_name()));
            let meta = path.symlink_metadata().map_err(BenchError::io("look at", &path))?;
            let kind = if meta.is_dir() {
                open.push(relative.clone());
                Kind::Folder
            } else if meta.is_file() {
                Kind::File(meta.len())
            } else if meta.is_symlink() {
                Kind::Link(fs::read_link(&path).map_err(BenchError::io("read the link", &path))?)
            } else {
                continue;
            };
            found.insert(relative, kind);
        }
    }
    Ok(found)
}

/// Whether two files of the same length have the same content.
fn equal(a: &Path, b: &Path) -> Result<bool, BenchError> {
    let open = |path: &Path| File::open(path).map_err(BenchError::io("read", path));
    let (mut files, mut buffers) = ([open(a)?, open(b)?], [vec![0; 64 << 10], vec![0; 64 << 10]]);
    loop {
        let n = files[0].read(&mut buffers[0]).map_err(BenchError::io("read", a))?;
        if n == 0 {
            return Ok(true);
        }
        if files[1].read_exact(&mut buffers[1][..n]).is_err() || buffers[0][..n] != buffers[1][..n] {
            return Ok(false);
        }
    }
}

/// The commands for debugfs: it makes entries only in its working folder.
fn script(changes: &Changes, content: &Path) -> Result<Vec<u8>, BenchError> {
    let mut text = vec![];
    for (path, is_folder) in &changes.removed {
        text.extend_from_slice(if *is_folder { b"rmdir " } else { b"rm " });
        quote(&Path::new("/").join(path), &mut text)?;
        text.push(b'\n');
    }
    let mut folder = None;
    for (path, kind) in &changes.added {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        if folder != Some(parent) {
            text.extend_from_slice(b"cd ");
            quote(&Path::new("/").join(parent), &mut text)?;
            text.push(b'\n');
            folder = Some(parent);
        }
        match kind {
            Kind::Folder => text.extend_from_slice(b"mkdir "),
            Kind::File(_) => {
                text.extend_from_slice(b"write ");
                quote(&content.join(path), &mut text)?;
                text.push(b' ');
            }
            Kind::Link(_) => text.extend_from_slice(b"symlink "),
        }
        quote(Path::new(name), &mut text)?;
        if let Kind::Link(target) = kind {
            text.push(b' ');
            quote(target, &mut text)?;
        }
        text.push(b'\n');
    }
    Ok(text)
}

/// A word as debugfs reads it: in quotes, a quote in it doubled.
fn quote(path: &Path, text: &mut Vec<u8>) -> Result<(), BenchError> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.iter().any(|b| matches!(b, b'\n' | b'\r')) {
        let name = crate::base::escape::text(&path.display().to_string());
        return Err(BenchError::NotMeasured(format!("{name}: debugfs cannot be told of a name with a line end")));
    }
    text.push(b'"');
    for &b in bytes {
        text.push(b);
        if b == b'"' {
            text.push(b);
        }
    }
    text.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::data::digest;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_second_image_holds_the_second_content() {
        if !crate::lacks::has_tools(&["mke2fs", "debugfs"]) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, content: &str| {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), content).unwrap();
        };
        for tree in ["a", "b"] {
            write(&format!("{tree}/same/file"), "same");
            write(&format!("{tree}/it's \"quoted\" too"), tree);
            write(&format!("{tree}/longer"), &tree.repeat(if tree == "a" { 10 } else { 100_000 }));
            symlink(format!("to {tree}"), at(&format!("{tree}/link"))).unwrap();
        }
        write("a/gone/deep/er", "x");
        write("a/was a file", "x");
        write("b/was a file/now a folder", "y");
        write("a/was a folder/file", "x");
        write("b/was a folder", "y");
        write("b/new/deep/er/\"", "y");

        let image = Image { from: "x".into(), mib: 16 };
        let watch = Watch::default();
        first(&image, &at("a"), &at("first"), folder.path(), &watch).unwrap();
        second(&at("first"), [&at("a"), &at("b")], &at("second"), folder.path(), &watch).unwrap();
        for (version, content) in [("first", "a"), ("second", "b")] {
            let disk = at(version).join(FILE);
            assert_eq!(disk.metadata().unwrap().len(), 16 << 20);
            let checked =
                Tool::new("e2fsck", "e2fsprogs", "a test").unwrap().arg("-fn").arg(&disk).run(&watch).unwrap();
            assert!(checked.status.success(), "{version}: {checked:?}");
            let out = at(&format!("{version}-out"));
            fs::create_dir(&out).unwrap();
            let dump = format!("rdump / {}", out.display());
            Tool::new("debugfs", "e2fsprogs", "a test").unwrap().args(["-R", &dump]).arg(&disk).must(&watch).unwrap();
            fs::remove_dir(out.join("lost+found")).unwrap();
            assert_eq!(digest::of(&out, &watch).unwrap(), digest::of(&at(content), &watch).unwrap(), "{version}");
        }
    }

    #[test]
    fn what_debugfs_complains_of_is_an_error() {
        if !crate::lacks::has_tools(&["mke2fs", "debugfs"]) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("a")).unwrap();
        fs::create_dir(at("b")).unwrap();
        fs::write(at("b/big"), vec![1; 3 << 20]).unwrap();
        let (image, watch) = (Image { from: "x".into(), mib: 2 }, Watch::default());
        first(&image, &at("a"), &at("first"), folder.path(), &watch).unwrap();
        let told = second(&at("first"), [&at("a"), &at("b")], &at("second"), folder.path(), &watch).unwrap_err();
        assert!(told.to_string().contains("debugfs could not change the image"), "{told}");
    }
    #[test]
    fn the_same_content_makes_the_same_images() {
        if !crate::lacks::has_tools(&["mke2fs", "debugfs"]) {
            return;
        }
        let (image, watch) = (Image { from: "x".into(), mib: 16 }, Watch::default());
        let make = |names: [&str; 3], time: u64| {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(time, 123);
            for tree in ["a", "b"] {
                fs::create_dir_all(at(tree).join("folder \"1\"")).unwrap();
                for name in names {
                    let path = at(tree).join("folder \"1\"").join(name);
                    fs::write(&path, if name == "2" { tree } else { name }).unwrap();
                    let times = fs::FileTimes::new().set_accessed(time).set_modified(time);
                    File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
                }
                symlink("2", at(tree).join("link")).unwrap();
            }
            symlink("3", at("b").join("new link")).unwrap();
            first(&image, &at("a"), &at("first"), folder.path(), &watch).unwrap();
            second(&at("first"), [&at("a"), &at("b")], &at("second"), folder.path(), &watch).unwrap();
            [at("first"), at("second")].map(|version| blake3::hash(&fs::read(version.join(FILE)).unwrap()))
        };
        let made = make(["1", "2", "3"], 1_000_000_000);
        // The images know seconds.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(made, make(["3", "1", "2"], 1_100_000_000));
        assert_ne!(made[0], made[1]);
    }
}
