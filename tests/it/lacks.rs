//! What the machine lacks that a test needs: root, mounts, a tool. Unit tests in `src` use this file too.
//!
//! A test that cannot do its work calls [`lacks`] and returns. Without `LARDER_TESTS_LACK_NOTHING=1` that is printed only; with it,
//! the test fails, unless `LARDER_TESTS_MAY_LACK` names the need. `docs/ci.md` lists the variables.
#![allow(dead_code, reason = "unit tests and integration tests each use a part")]

use std::fmt::Display;
use std::io::Write;

/// What may be needed, and how to get it. A need that is not here is a tool.
const NEEDS: [(&str, &str); 16] = [
    ("root", "run the tests as root"),
    ("mount", "run the tests as root where mounting is allowed (a container needs --privileged)"),
    ("fuse", "load the kernel module `fuse` and give access to /dev/fuse (a container needs --device /dev/fuse)"),
    ("loop", "load the kernel module `loop` and give access to /dev/loop-control and /dev/loop*"),
    ("overlay", "load the kernel module `overlay`"),
    ("btrfs", "load the kernel module `btrfs`"),
    ("casefold", "use a kernel with CONFIG_UNICODE, and e2fsprogs 1.45 or later"),
    ("devices", "run the tests as root where device nodes can be made (the capability CAP_MKNOD)"),
    ("acls", "install `acl`, and set TMPDIR to a folder on a file system with ACLs; /var/tmp needs them too"),
    (
        "xattrs",
        "install `attr`, and set TMPDIR to a folder on a file system with user.* attributes; /var/tmp needs them too",
    ),
    ("capabilities", "install `libcap2-bin`, and run the tests as root with the capability CAP_SETFCAP"),
    ("flags", "run the tests as root, and set TMPDIR to a folder on a file system with chattr's flags, such as ext4"),
    ("holes", "set TMPDIR to a folder on a file system that keeps holes"),
    ("times", "set TMPDIR to a folder on a file system with times after 2038"),
    ("proc", "mount /proc"),
    ("huge-pages", "use a kernel with transparent huge pages"),
];

/// Says that this test, or a part of it, is not run because the machine lacks `need`; `why` is how that was seen.
///
/// # Panics
///
/// When this run is to lack nothing and `need` is not among what it may lack.
#[track_caller]
pub fn lacks(need: &str, why: impl Display) {
    let test = test();
    let why = why.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let said = format!("{test}: this machine lacks `{need}`: {why}");
    if is_failure(need, |name| std::env::var(name).ok()) {
        let how = NEEDS.iter().find(|(name, _)| *name == need);
        let how = how.map_or(format!("install the program `{need}`"), |(_, how)| how.to_string());
        panic!("{said}. To get it: {how}. To do without: add `{need}` to LARDER_TESTS_MAY_LACK.");
    }
    eprintln!("passed over: {said}");
    // In one write, since tests run side by side.
    if let Some(list) = std::env::var_os("LARDER_TESTS_LACKED")
        && let Ok(mut file) = std::fs::File::options().append(true).open(list)
    {
        _ = file.write_all(format!("{said}\n").as_bytes());
    }
}

/// Says that a test has nothing to show here, which is never a failure: it is about a person who is not root, for example.
pub fn not_applicable(why: &str) {
    eprintln!("passed over: {}: {why}", test());
}

/// Whether this is root; if not, that lacks. `why` says what takes root.
#[track_caller]
pub fn has_root(why: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        lacks("root", why);
    }
    is_root
}

/// Whether device nodes can be made, which takes root, and more in a container; if not, that lacks.
#[track_caller]
pub fn has_devices() -> bool {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    if !has_root("only root makes device nodes") {
        return false;
    }
    let folder = tempfile::tempdir().unwrap();
    let null = folder.path().join("null");
    let made = mknodat(CWD, &null, FileType::CharacterDevice, Mode::from_raw_mode(0o600), makedev(1, 3));
    made.inspect_err(|why| lacks("devices", why)).is_ok()
}

/// Whether the programs are there; the first that is not lacks.
#[track_caller]
pub fn has_tools(names: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let missing = names.iter().find(|name| !is_there(name));
    missing.inspect(|name| lacks(name, "it is not in PATH")).is_none()
}

fn is_failure(need: &str, variable: impl Fn(&str) -> Option<String>) -> bool {
    let may_lack = variable("LARDER_TESTS_MAY_LACK").unwrap_or_default();
    variable("LARDER_TESTS_LACK_NOTHING").is_some_and(|value| value == "1")
        && !may_lack.split(',').any(|name| name.trim() == need)
}

/// The test that runs. A single one runs on the main thread.
fn test() -> String {
    let thread = std::thread::current().name().filter(|name| *name != "main").map(str::to_string);
    thread.or_else(|| std::env::args().skip_while(|word| word != "--exact").nth(1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_fails_only_where_nothing_may_lack_and_it_is_not_excepted() {
        let of = |strict: Option<&str>, may: Option<&str>, need: &str| {
            is_failure(need, |name| {
                let value = if name == "LARDER_TESTS_LACK_NOTHING" { strict } else { may };
                value.map(str::to_string)
            })
        };
        assert!(of(Some("1"), None, "fuse") && of(Some("1"), Some("mount,loop"), "fuse"));
        assert!(!of(Some("1"), Some("mount, fuse"), "fuse"));
        assert!(!of(None, None, "fuse") && !of(Some("0"), None, "fuse") && !of(Some(""), None, "fuse"));
    }
}
