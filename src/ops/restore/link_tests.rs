//! Links in the target, met by hostile snapshots.

use super::tests::options;
use super::*;
use crate::monitor::Silent;
use crate::ops::testing::{Bench, Entries};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn a_followed_link_never_leads_through_a_link_of_the_snapshot() {
    // `z` is a link of the target to `y`, in which the snapshot has a link out of `y` and, by way of `z`, a directory of
    // the same place.
    for alias in ["x", "z"] {
        let bench = Bench::new();
        let mut entries = Entries::default();
        entries.directory("/y");
        entries.symlink("/y/l", "../secret");
        entries.directory(&format!("/{alias}"));
        entries.directory(&format!("/{alias}/l"));
        entries.file(&format!("/{alias}/l/canary"), b"dead".to_vec());
        bench.backup(&entries);
        for overwrite in [Overwrite::Refuse, Overwrite::IfChanged, Overwrite::Always, Overwrite::Never] {
            // The snapshot's link is there from the start, or comes with the restore.
            for there in [false, true] {
                if there && alias < "y" {
                    continue;
                }
                let folder = tempfile::tempdir().unwrap();
                let at = |name: &str| folder.path().join(name);
                fs::create_dir(at("y")).unwrap();
                fs::create_dir(at("secret")).unwrap();
                fs::write(at("secret/canary"), "alive").unwrap();
                symlink("y", at(alias)).unwrap();
                if there {
                    symlink("../secret", at("y/l")).unwrap();
                    let time = rustix::fs::Timespec { tv_sec: 1_500_000_000, tv_nsec: 250_000_000 };
                    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
                    let link = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
                    rustix::fs::utimensat(rustix::fs::CWD, at("y/l"), &times, link).unwrap();
                }
                for _ in 0..2 {
                    run(&bench.store, &RestoreOptions { overwrite, ..options(folder.path()) }, &Silent).unwrap();
                    let alive = fs::read_to_string(at("secret/canary")).unwrap();
                    assert_eq!(alive, "alive", "{alias} {overwrite:?} {there}");
                    assert_eq!(fs::read_dir(at("secret")).unwrap().count(), 1);
                }
            }
        }
    }
}

#[test]
fn what_lies_below_an_entry_that_is_no_directory_follows_no_link() {
    let bench = Bench::new();
    let mut entries = Entries::default();
    entries.symlink("/a", "secret");
    entries.file("/a/canary", b"dead".to_vec());
    bench.backup(&entries);
    for overwrite in [Overwrite::Refuse, Overwrite::IfChanged, Overwrite::Always, Overwrite::Never] {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("secret")).unwrap();
        fs::write(folder.path().join("secret/canary"), "alive").unwrap();
        symlink("secret", folder.path().join("a")).unwrap();
        run(&bench.store, &RestoreOptions { overwrite, ..options(folder.path()) }, &Silent).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("secret/canary")).unwrap(), "alive", "{overwrite:?}");
    }
}
