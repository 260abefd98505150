//! Restoring over what is there: what is compared, links on the way, deleting, selections, owners, file flags.

use crate::lacks;
use crate::sandbox::{Ran, Sandbox, names};
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a tool; the reason when it is not there or cannot do this here.
fn tried(words: &[&str]) -> Result<(), String> {
    match Command::new(words[0]).args(&words[1..]).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{words:?}: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("{}: {error}", words[0])),
    }
}

/// Runs a tool; false when it is not there or cannot do this here, which was said as a lack of `need`.
pub fn tool_for(need: &str, words: &[&str]) -> bool {
    tried(words).inspect_err(|why| lacks::lacks(need, why)).is_ok()
}

/// The same for tools that tell by themselves what they need.
pub fn tool(words: &[&str]) -> bool {
    let need = match words[0] {
        "setfacl" => "acls",
        "setfattr" => "xattrs",
        "setcap" => "capabilities",
        "chattr" => "flags",
        "mount" if words.contains(&"loop") => "loop",
        "mount" | "unshare" => "mount",
        other => other,
    };
    tool_for(need, words)
}

/// Whether file systems can be mounted where nobody else sees them.
pub fn can_mount() -> bool {
    lacks::has_root("only root mounts") && tool(&["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
}

/// Whether this process may mount what it likes, where nobody else sees it. If not, the test is run once more in a process
/// that may, and what comes of that is this one's result.
pub fn in_namespace(test: &str) -> bool {
    const INSIDE: &str = "LARDER_TEST_IN_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !can_mount() {
        return false;
    }
    let output = Command::new("unshare")
        .arg("-m")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("cli::{test}"), "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = output.status.success() && text.contains("1 passed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(passed, "{text}{said}");
    // What it lacked.
    eprint!("{said}");
    false
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().into()
}

fn set_mtime(path: &Path, seconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// Names of its extended attributes.
fn xattrs(path: &Path) -> Vec<String> {
    let path = CString::new(path.to_str().unwrap()).unwrap();
    let mut list = vec![0; 4096];
    let len = rustix::fs::llistxattr(&path, &mut list).unwrap();
    list[..len].split(|&b| b == 0).filter(|n| !n.is_empty()).map(|n| String::from_utf8(n.to_vec()).unwrap()).collect()
}

fn has_xattr(path: &Path, name: &str) -> bool {
    xattrs(path).iter().any(|n| n == name)
}

/// A sandbox with a store that opens by itself, a source folder, and the same restored.
pub struct Tree {
    pub sandbox: Sandbox,
    pub source: PathBuf,
    pub target: PathBuf,
}

impl Tree {
    pub fn new(make: impl FnOnce(&Path)) -> Tree {
        let sandbox = Sandbox::new();
        let (source, target) = (sandbox.path("source"), sandbox.path("target"));
        fs::create_dir(&source).unwrap();
        make(&source);
        let tree = Tree { sandbox, source, target };
        tree.backup();
        tree
    }

    pub fn backup(&self) {
        self.sandbox.ok(["backup", "source"]);
    }

    /// What lies in the source into the target.
    pub fn restore(&self, more: &[&str]) -> Ran {
        let place = format!("latest:{}", text(&self.source));
        self.sandbox.run(["restore", &place, "--to", "target"].iter().chain(more))
    }

    pub fn restored(&self, more: &[&str]) -> Ran {
        let ran = self.restore(more);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    }

    fn diff(&self) -> Ran {
        self.sandbox.ok(["diff", &format!("latest:{}", text(&self.source)), "target"])
    }

    pub fn is_equal(&self) {
        let ran = self.diff();
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
}

#[test]
fn links_and_devices_of_equal_time_are_right_only_with_their_target_and_number() {
    let has_devices = lacks::has_devices();
    let tree = Tree::new(|source| {
        symlink("there", source.join("link")).unwrap();
        set_mtime(&source.join("link"), 1_000_000_000);
        if has_devices {
            let device = rustix::fs::makedev(1, 3);
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            let kind = rustix::fs::FileType::CharacterDevice;
            rustix::fs::mknodat(rustix::fs::CWD, source.join("null"), kind, mode, device).unwrap();
            set_mtime(&source.join("null"), 1_000_000_000);
        }
    });
    tree.restored(&[]);
    tree.is_equal();
    fs::remove_file(tree.target.join("link")).unwrap();
    // Of the same length, so that only reading it tells.
    symlink("THERE", tree.target.join("link")).unwrap();
    set_mtime(&tree.target.join("link"), 1_000_000_000);
    if has_devices {
        fs::remove_file(tree.target.join("null")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let kind = rustix::fs::FileType::CharacterDevice;
        let device = rustix::fs::makedev(1, 5);
        rustix::fs::mknodat(rustix::fs::CWD, tree.target.join("null"), kind, mode, device).unwrap();
        set_mtime(&tree.target.join("null"), 1_000_000_000);
    }
    set_mtime(&tree.target, fs::metadata(&tree.source).unwrap().mtime());
    let named = tree.restore(&[]);
    assert_eq!(named.code, 1, "{named:?}");
    assert!(named.stderr.contains("/link"), "{named:?}");
    assert_eq!(named.stderr.contains("/null"), has_devices, "{named:?}");
    assert_eq!(fs::read_link(tree.target.join("link")).unwrap(), Path::new("THERE"));
    tree.restored(&["--overwrite", "if-changed"]);
    assert_eq!(fs::read_link(tree.target.join("link")).unwrap(), Path::new("there"));
    if has_devices {
        assert_eq!(fs::metadata(tree.target.join("null")).unwrap().rdev(), rustix::fs::makedev(1, 3));
    }
}

#[test]
fn attributes_that_the_snapshot_lacks_are_named_and_taken_away() {
    let tree = Tree::new(|source| {
        fs::create_dir(source.join("d")).unwrap();
        for name in ["acl", "cap", "user", "d/kept"] {
            fs::write(source.join(name), name).unwrap();
        }
        _ = tool(&["setfattr", "-n", "user.kept", "-v", "1", &text(&source.join("d/kept"))]);
    });
    tree.restored(&[]);
    tree.is_equal();
    let at = |name: &str| tree.target.join(name);
    let mut changed = vec![];
    let mut change = |words: &[&str], name: &'static str, xattr: &'static str| {
        if tool(words) {
            changed.push((name, xattr));
        }
    };
    change(&["setfacl", "-m", "u:1002:rw", &text(&at("acl"))], "acl", "system.posix_acl_access");
    change(&["setfacl", "-m", "u:1002:rwx", &text(&at("d"))], "d", "system.posix_acl_access");
    change(&["setfacl", "-d", "-m", "u:1002:rwx", &text(&at("d"))], "d", "system.posix_acl_default");
    change(&["setfattr", "-n", "user.more", "-v", "2", &text(&at("user"))], "user", "user.more");
    if lacks::has_root("only root gives capabilities") {
        change(&["setcap", "cap_setuid+ep", &text(&at("cap"))], "cap", "security.capability");
    }
    let named = tree.restore(&[]);
    assert_eq!(named.code, i32::from(!changed.is_empty()), "{named:?}");
    let differences = tree.diff().stdout;
    for (name, xattr) in &changed {
        assert!(named.stderr.contains(&text(&tree.source.join(name))), "{name}: {named:?}");
        assert!(differences.contains(&format!("/{name}  (")) && differences.contains("xattrs"), "{differences}");
        assert!(has_xattr(&at(name), xattr), "{name} lost {xattr} though nothing was to be replaced");
    }
    tree.restored(&["--overwrite", "if-changed", "--no-xattrs"]);
    assert!(changed.iter().all(|(name, xattr)| has_xattr(&at(name), xattr)));
    tree.restored(&["--overwrite", "if-changed"]);
    for (name, xattr) in &changed {
        assert!(!has_xattr(&at(name), xattr), "{name} still has {xattr}");
    }
    assert_eq!(xattrs(&at("d/kept")), xattrs(&tree.source.join("d/kept")));
    tree.is_equal();
    tree.restored(&[]);
}

/// A source that stands for /home/me, and a target in which /home is a link.
pub struct Homes {
    pub sandbox: Sandbox,
    pub root: PathBuf,
}

impl Homes {
    pub fn new(link: impl FnOnce(&Path) -> PathBuf) -> Homes {
        let sandbox = Sandbox::new();
        sandbox.write("me/docs/letter", "dear");
        sandbox.ok(["backup", "me", "--as", "/home/me"]);
        let root = sandbox.path("root");
        sandbox.write("root/data/home/other/diary", "private");
        symlink(link(&root), root.join("home")).unwrap();
        fs::set_permissions(root.join("data/home"), Permissions::from_mode(0o751)).unwrap();
        set_mtime(&root.join("data/home"), 1_234_567_890);
        Homes { sandbox, root }
    }

    pub fn restore(&self, more: &[&str]) -> Ran {
        self.sandbox.run(["restore", "latest", "--to", "root"].iter().chain(more))
    }
}

#[test]
fn a_link_on_the_way_is_followed_and_only_always_replaces_it() {
    for absolute in [false, true] {
        let homes = Homes::new(|root| if absolute { root.join("data/home") } else { "data/home".into() });
        for (at, mode_given) in ["refuse", "if-changed", "never", "if-changed"].into_iter().enumerate() {
            let ran = homes.restore(&["--overwrite", mode_given]);
            assert_eq!(ran.code, 0, "{ran:?}");
            assert!(ran.stderr.contains("a link is followed"), "{ran:?}");
            assert!(fs::symlink_metadata(homes.root.join("home")).unwrap().is_symlink());
            assert_eq!(fs::read_to_string(homes.root.join("data/home/me/docs/letter")).unwrap(), "dear");
            assert_eq!(names(&homes.root.join("data/home")), ["me", "other"]);
            // What only leads to the source keeps its mode, and its time where nothing new came into it.
            assert_eq!(mode(&homes.root.join("data/home")), 0o751);
            if at > 0 {
                assert_eq!(fs::metadata(homes.root.join("data/home")).unwrap().mtime(), 1_234_567_890);
            }
            set_mtime(&homes.root.join("data/home"), 1_234_567_890);
        }
        let dry = homes.restore(&["--dry-run", "--overwrite", "if-changed"]);
        assert_eq!(dry.code, 0, "{dry:?}");
        let always = homes.restore(&["--overwrite", "always"]);
        assert_eq!(always.code, 0, "{always:?}");
        assert!(always.stderr.contains("is replaced by a directory"), "{always:?}");
        assert!(fs::symlink_metadata(homes.root.join("home")).unwrap().is_dir());
        assert_eq!(fs::read_to_string(homes.root.join("data/home/other/diary")).unwrap(), "private");
    }
}

#[test]
fn a_link_that_leads_outside_the_target_is_left_and_named() {
    for climb in [false, true] {
        let homes = Homes::new(|root| {
            let outside = root.parent().unwrap().join("outside");
            fs::create_dir(&outside).unwrap();
            if climb { "../outside".into() } else { outside }
        });
        for overwrite in ["refuse", "if-changed"] {
            let ran = homes.restore(&["--overwrite", overwrite]);
            assert_eq!(ran.code, 1, "{ran:?}");
            assert!(ran.stderr.contains("/home") && ran.stderr.contains("outside the target"), "{ran:?}");
            assert_eq!(names(&homes.sandbox.path("outside")), [""; 0]);
            assert!(fs::symlink_metadata(homes.root.join("home")).unwrap().is_symlink());
        }
    }
}

#[test]
fn a_link_of_another_user_to_what_is_not_his_is_not_followed() {
    if !lacks::has_root("only root gives a link to another user") {
        return;
    }
    let homes = Homes::new(|_| "data/home".into());
    lchown(homes.root.join("home"), Some(1002), Some(1002)).unwrap();
    let ran = homes.restore(&["--overwrite", "if-changed"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("belongs to another user"), "{ran:?}");
    assert_eq!(names(&homes.root.join("data/home")), ["other"]);
    // Into what is his own he may lead.
    chown(homes.root.join("data/home"), Some(1002), Some(1002)).unwrap();
    let ran = homes.restore(&["--overwrite", "if-changed"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(names(&homes.root.join("data/home")), ["me", "other"]);
}

#[test]
fn restoring_one_file_in_place_leaves_the_directories_above_it_alone() {
    let tree = Tree::new(|source| {
        fs::create_dir_all(source.join("a/b")).unwrap();
        fs::write(source.join("a/b/one"), "1").unwrap();
        fs::write(source.join("a/b/two"), "2").unwrap();
        set_mtime(&source.join("a/b"), 1_000_000_000);
        set_mtime(&source.join("a"), 1_000_000_000);
    });
    tree.restored(&[]);
    let at = |name: &str| tree.target.join(name);
    fs::remove_file(at("a/b/one")).unwrap();
    fs::write(at("a/b/two"), "changed").unwrap();
    for name in ["a", "a/b"] {
        fs::set_permissions(at(name), Permissions::from_mode(0o711)).unwrap();
        _ = tool(&["setfacl", "-m", "u:1002:rx", &text(&at(name))]);
    }
    let before = [mode(&at("a")), mode(&at("a/b"))];
    set_mtime(&at("a"), 1_234_567_890);
    for selection in [["--include", "/a/b/one"], ["--files-from", "list"]] {
        _ = fs::remove_file(at("a/b/one"));
        fs::write(tree.sandbox.path("list"), "a/b/one\n").unwrap();
        tree.restored(&[&["--overwrite", "if-changed"][..], &selection].concat());
        assert_eq!(fs::read_to_string(at("a/b/one")).unwrap(), "1");
        assert_eq!(fs::read_to_string(at("a/b/two")).unwrap(), "changed");
        assert_eq!([mode(&at("a")), mode(&at("a/b"))], before);
        assert_eq!(fs::metadata(at("a")).unwrap().mtime(), 1_234_567_890);
        assert_ne!(fs::metadata(at("a/b")).unwrap().mtime(), 1_000_000_000);
    }
}

#[test]
fn owners_by_name_take_the_numbers_of_this_machine() {
    if !in_namespace("restoring::owners_by_name_take_the_numbers_of_this_machine") {
        return;
    }
    // Another machine is this one with other lists of users and groups.
    let lists = tempfile::tempdir().unwrap();
    let machine = |users: &str, groups: &str| {
        for (name, more) in [("passwd", users), ("group", groups)] {
            let own = if name == "passwd" { "root:x:0:0::/root:/bin/sh\n" } else { "root:x:0:\n" };
            let list = lists.path().join(name);
            fs::write(&list, format!("{own}{more}")).unwrap();
            _ = Command::new("umount").arg(format!("/etc/{name}")).output();
            assert!(tool(&["mount", "--bind", &text(&list), &format!("/etc/{name}")]));
        }
    };
    machine("ann:x:3001:3001::/:/bin/sh\nbob:x:3002:3002::/:/bin/sh\n", "team:x:3100:\n");
    let tree = Tree::new(|source| {
        for (name, uid, gid) in [("ann", 3001, 3100), ("bob", 3002, 0), ("root", 0, 0)] {
            fs::write(source.join(name), name).unwrap();
            chown(source.join(name), Some(uid), Some(gid)).unwrap();
        }
    });
    machine("ann:x:4001:4001::/:/bin/sh\n", "team:x:4100:\n");
    let owner = |name: &str| {
        let meta = fs::metadata(tree.target.join(name)).unwrap();
        (meta.uid(), meta.gid())
    };
    tree.restored(&["--owners", "by-name"]);
    assert_eq!([owner("ann"), owner("bob"), owner("root")], [(4001, 4100), (3002, 0), (0, 0)]);
    tree.restored(&["--owners", "by-name"]);
    tree.restored(&["--overwrite", "if-changed"]);
    assert_eq!(owner("ann"), (3001, 3100));
    tree.restored(&["--owners", "by-name", "--overwrite", "if-changed"]);
    assert_eq!(owner("ann"), (4001, 4100));
}

fn flags(path: &Path) -> String {
    let output = Command::new("lsattr").arg("-d").arg(path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split(' ').next().unwrap_or_default().chars().filter(|c| "iadC".contains(*c)).collect()
}

#[test]
fn file_flags_are_stored_and_restored_last() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("source");
    sandbox.write("source/d/inside", "x");
    for name in ["append", "fixed", "dump", "plain"] {
        sandbox.write(&format!("source/{name}"), name);
    }
    fs::hard_link(source.join("fixed"), source.join("fixed-too")).unwrap();
    let given = [("append", "a"), ("fixed", "i"), ("dump", "d"), ("d", "i")];
    let clear = |folder: &Path| {
        for (name, _) in given {
            _ = Command::new("chattr").arg("-iad").arg(folder.join(name)).output();
        }
    };
    let set = |folder: &Path| {
        given.iter().try_for_each(|(name, flag)| tried(&["chattr", &format!("+{flag}"), &text(&folder.join(name))]))
    };
    if !lacks::has_root("only root sets the flag of immutable files") {
        return;
    }
    if let Err(why) = set(&source) {
        clear(&source);
        return lacks::lacks("flags", why);
    }
    let target = sandbox.path("target");
    let result = std::panic::catch_unwind(|| {
        sandbox.ok(["backup", "source"]);
        // Once more: taken over from the parent.
        sandbox.ok(["backup", "source"]);
        let place = format!("latest:{}", text(&source));
        let restore = |more: &[&str]| sandbox.run(["restore", &place, "--to", "target"].iter().chain(more));
        let at = |name: &str| target.join(name);
        let all = || ["append", "fixed", "fixed-too", "dump", "d", "plain", "d/inside"].map(|name| flags(&at(name)));
        let first = restore(&["--verify"]);
        assert_eq!(first.code, 0, "{first:?}");
        assert_eq!(all(), ["a", "i", "i", "d", "i", "", ""]);
        assert_eq!(fs::metadata(at("fixed")).unwrap().nlink(), 2);
        let mtime = |path: &Path| fs::metadata(path).unwrap().mtime_nsec();
        assert_eq!(mtime(&at("d")), mtime(&source.join("d")));
        let again = restore(&["--overwrite", "if-changed"]);
        assert_eq!(again.code, 0, "{again:?}");
        // What the snapshot lacks is taken away, what is missing is set.
        assert!(tool(&["chattr", "+i", &text(&at("plain"))]) && tool(&["chattr", "-d", &text(&at("dump"))]));
        let differences = sandbox.ok(["diff", &place, "target"]).stdout;
        assert!(differences.contains("/plain  (flags)") && differences.contains("/dump  (flags)"), "{differences}");
        let named = restore(&[]);
        assert!(named.code == 1 && named.stderr.contains("/plain") && named.stderr.contains("/dump"), "{named:?}");
        let corrected = restore(&["--overwrite", "if-changed"]);
        assert_eq!(corrected.code, 0, "{corrected:?}");
        assert_eq!(all(), ["a", "i", "i", "d", "i", "", ""]);
        // An immutable file of other content: it says what to do.
        assert!(tool(&["chattr", "-i", &text(&at("fixed"))]));
        fs::write(at("fixed"), "other content").unwrap();
        assert!(tool(&["chattr", "+i", &text(&at("fixed"))]));
        let refused = restore(&["--overwrite", "if-changed"]);
        assert!(refused.code == 1 && refused.stderr.contains("chattr -i"), "{refused:?}");
    });
    clear(&source);
    clear(&target);
    _ = Command::new("chattr").arg("-i").args([target.join("plain"), target.join("fixed-too")]).output();
    result.unwrap();
}

#[test]
fn no_copy_on_write_comes_back_on_btrfs() {
    if !in_namespace("restoring::no_copy_on_write_comes_back_on_btrfs") {
        return;
    }
    let sandbox = Sandbox::new();
    let disk = sandbox.path("disk");
    fs::File::create(&disk).unwrap().set_len(300 << 20).unwrap();
    fs::create_dir(sandbox.path("fs")).unwrap();
    let mounted = tool(&["mkfs.btrfs", "-q", &text(&disk)])
        && tool_for("btrfs", &["mount", "-o", "loop", &text(&disk), &text(&sandbox.path("fs"))]);
    if !mounted {
        return;
    }
    let at = |name: &str| sandbox.path("fs").join(name);
    fs::create_dir_all(at("source/images")).unwrap();
    for name in ["source/small", "source/big", "source/images", "source/none"] {
        let path = at(name);
        if !path.is_dir() {
            fs::write(&path, "").unwrap();
        }
        assert!(tool(&["chattr", "+C", &text(&path)]));
    }
    fs::write(at("source/small"), "small").unwrap();
    fs::write(at("source/big"), vec![7; 9 << 20]).unwrap();
    fs::write(at("source/usual"), "usual").unwrap();
    let source = text(&at("source"));
    sandbox.ok(["backup", &source]);
    sandbox.ok(["backup", &source]);
    let place = format!("latest:{source}");
    sandbox.ok(["restore", &place, "--to", &text(&at("target"))]);
    let restored = ["small", "big", "images", "none", "usual"].map(|name| flags(&at("target").join(name)));
    assert_eq!(restored, ["C", "C", "C", "C", ""]);
    let differences = sandbox.ok(["diff", &place, &text(&at("target"))]).stdout;
    assert_eq!(differences, "");
    // Elsewhere it is a note, and the content is there.
    let elsewhere = sandbox.ok(["restore", &place, "--to", "elsewhere"]);
    assert!(elsewhere.stderr.contains("file flags"), "{elsewhere:?}");
    assert_eq!(fs::read(sandbox.path("elsewhere/big")).unwrap(), vec![7; 9 << 20]);
    _ = Command::new("umount").arg(sandbox.path("fs")).output();
}

/// Made by root: what a user's backup and his tree hold of others', and of what he made read-only.
const TREES: &str = r#"
set -e
tree() {
    mkdir -p $1/ro $1/shut $1/sub
    for name in own other readonly ro/f shut/z sub/x sub/of-root; do echo $name > $1/$name; done
    ln -s own $1/link
}
tree source
echo new > source/ro/new
mkfifo source/fifo
mknod source/null c 1 3
cp source/own source/setuid && chmod 4755 source/setuid
chown -hR 65534:65534 source
chown 1002:1002 source/other
chown 0:0 source/sub/of-root source/null
chmod 4755 source/setuid
chmod 444 source/ro/f source/readonly
chmod 555 source/ro
find source -exec touch -h -d 2020-01-02T03:04:05 {} +
for target in by-larder by-rsync; do
    tree $target
    echo changed > $target/ro/f
    echo changed > $target/sub/of-root
    touch -d 2020-01-02T03:04:05 $target/own $target/readonly
    chown -hR 65534:65534 $target
    chown 0:0 $target/sub/of-root
    chmod 444 $target/ro/f $target/readonly
    chmod 555 $target/ro
    chmod 000 $target/shut
done
"#;

/// What `find` says of a tree, and what its files hold. The outermost directory is not restored when it is there.
const DESCRIBE: &str =
    r"find . -mindepth 1 -printf '%P %M %U:%G %T@ %l\n' | sort; find . -type f | sort | xargs md5sum";

#[test]
fn a_user_over_his_own_tree_gets_what_rsync_gives() {
    if !lacks::has_root("only root becomes another user")
        || !lacks::has_tools(&["rsync", "setpriv"])
        || !lacks::has_devices()
    {
        return;
    }
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    let sh = |script: &str, at: &Path| {
        let output = Command::new("bash").args(["-c", script]).current_dir(at).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    sh(TREES, &folder);
    sandbox.ok(["backup", "source"]);
    fs::copy(env!("CARGO_BIN_EXE_larder"), sandbox.path("larder")).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    sh("chown -R 65534:65534 home", &folder);
    let user = |words: &[&str]| {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args(words)
            .env("HOME", sandbox.home())
            .current_dir(&folder)
            .output();
        Ran::new(output.unwrap())
    };
    let rsync = user(&["rsync", "-a", "source/", "by-rsync/"]);
    assert_eq!(rsync.code, 0, "{rsync:?}");
    let wanted = sh(DESCRIBE, &sandbox.path("by-rsync"));
    assert!(wanted.contains("ro/new") && wanted.contains("shut drwxr-xr-x"), "{wanted}");
    let place = format!("latest:{}", text(&sandbox.path("source")));
    // The second time all of it is right.
    for _ in 0..2 {
        let larder = user(&["./larder", "restore", &place, "--to", "by-larder", "--overwrite", "if-changed"]);
        assert_eq!(larder.code, 0, "{larder:?}");
        assert!(larder.stderr.contains("null: a device node"), "{larder:?}");
        assert_eq!(sh(DESCRIBE, &sandbox.path("by-larder")), wanted);
    }
    // A read-only directory that is only gone through has its mode back.
    fs::remove_file(sandbox.path("by-larder/ro/new")).unwrap();
    fs::set_permissions(sandbox.path("by-larder/ro"), Permissions::from_mode(0o511)).unwrap();
    let one = user(&["./larder", "restore", &place, "--to", "by-larder", "--include", "/ro/new"]);
    assert_eq!(one.code, 0, "{one:?}");
    assert!(sandbox.path("by-larder/ro/new").exists());
    assert_eq!(mode(&sandbox.path("by-larder/ro")), 0o511);
    // What he may not change is named, and the rest is done.
    sh("echo root > by-larder/own && chown 0:0 by-larder/own by-larder/sub && chmod 600 by-larder/own", &folder);
    sh("rm by-larder/sub/x; echo changed > by-larder/other", &folder);
    let some = user(&["./larder", "restore", &place, "--to", "by-larder", "--overwrite", "if-changed"]);
    assert_eq!(some.code, 1, "{some:?}");
    assert!(some.stderr.contains("sub/x"), "{some:?}");
    assert_eq!(fs::read_to_string(sandbox.path("by-larder/other")).unwrap(), "other\n");
    assert_eq!(fs::read_to_string(sandbox.path("by-larder/own")).unwrap(), "own\n");
}

#[test]
fn a_restore_of_the_live_system_follows_absolute_links_beneath_its_root() {
    if !in_namespace("restoring::a_restore_of_the_live_system_follows_absolute_links_beneath_its_root") {
        return;
    }
    // A root directory of its own: this machine's, with whatever is written lying in memory.
    let sandbox = Sandbox::new();
    let memory = sandbox.path("memory");
    fs::create_dir(&memory).unwrap();
    assert!(tool(&["mount", "-t", "tmpfs", "none", &text(&memory)]));
    for name in ["upper", "work", "root"] {
        fs::create_dir(memory.join(name)).unwrap();
    }
    let at = |name: &str| text(&memory.join(name));
    let layers = format!("lowerdir=/,upperdir={},workdir={}", at("upper"), at("work"));
    if !tool_for("overlay", &["mount", "-t", "overlay", "overlay", "-o", &layers, &at("root")]) {
        return;
    }
    let root = memory.join("root");
    fs::copy(env!("CARGO_BIN_EXE_larder"), root.join("larder")).unwrap();
    let script = r#"
        set -e
        mount -t proc none /proc
        mkdir -p /larder-test/data/homes/other /larder-test/me/docs /home-of-larder
        export HOME=/home-of-larder
        echo dear > /larder-test/me/docs/letter
        echo private > /larder-test/data/homes/other/diary
        ln -s /larder-test/data/homes /larder-test/homes
        ./larder backup /larder-test/me --as /larder-test/homes/me
        ./larder restore latest --to / --overwrite if-changed
        test -L /larder-test/homes
        cat /larder-test/data/homes/me/docs/letter /larder-test/homes/other/diary
    "#;
    let output = Command::new("chroot").arg(&root).args(["/bin/sh", "-c", script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.ends_with("dear\nprivate\n"), "{said}");
}
