//! Folders that cannot be used, a creation that came to no end, bytes that were changed behind larder's back.

use super::restoring::can_mount;
use crate::lacks;
use crate::sandbox::{Ran, Sandbox, names};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// A store with a snapshot of one file, and the key file's path.
fn store() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    sandbox.ok(["backup", "source"]);
    let config = sandbox.home().join(".config/larder");
    let key = names(&config).into_iter().find(|name| name.starts_with("key-")).unwrap();
    let copy = sandbox.path("key");
    fs::copy(config.join(key), &copy).unwrap();
    (sandbox, copy.to_str().unwrap().into())
}

/// Every command that only reads, with its arguments.
fn readers(sandbox: &Sandbox) -> Vec<Vec<String>> {
    let file = format!("latest:{}", sandbox.path("source/a").display());
    let out = sandbox.path("out").display().to_string();
    let source = sandbox.path("source").display().to_string();
    let words: [&[&str]; 8] = [
        &["snapshots"],
        &["ls", "latest"],
        &["cat", &file],
        &["find", "a"],
        &["diff", "latest", &source],
        &["stats"],
        &["check", "--read-data"],
        &["restore", "latest", "--to", &out, "--overwrite", "always"],
    ];
    words.iter().map(|words| words.iter().map(ToString::to_string).collect()).collect()
}

fn restored(sandbox: &Sandbox) -> String {
    let path = sandbox.path("out").join(sandbox.path("source/a").strip_prefix("/").unwrap());
    fs::read_to_string(path).unwrap()
}

#[test]
fn reading_works_where_neither_cache_nor_configuration_folder_can_be_used() {
    let (sandbox, key) = store();
    sandbox.write("no-config", "a file");
    sandbox.write("no-cache", "a file");
    let folders = ["--key-file", &key, "--config-dir", "no-config", "--cache-dir", "no-cache"];
    for words in readers(&sandbox) {
        let ran = sandbox.ok(words.iter().map(String::as_str).chain(folders));
        assert!(ran.stderr.contains("note: ") && ran.stderr.contains("no-cache"), "{words:?}: {}", ran.stderr);
    }
    assert_eq!(restored(&sandbox), "content");
    // A backup needs what it must keep, and says so before it reads anything.
    let before = names(&sandbox.home().join(".larder/snapshots"));
    let refused = sandbox.run(["backup", "source"].iter().copied().chain(folders));
    assert!(refused.code == 1 && refused.stderr.contains("no-config"), "{refused:?}");
    assert_eq!(names(&sandbox.home().join(".larder/snapshots")), before);
    // It does without a cache.
    sandbox.write("source/b", "more");
    sandbox.ok(["backup", "source", "--cache-dir", "no-cache"]);
    let b = format!("latest:{}", sandbox.path("source/b").display());
    assert_eq!(sandbox.ok(["cat", &b]).stdout, "more");
    assert_eq!(sandbox.ok(["check", "--read-data"]).code, 0);
    // Nothing stays in the place of the cache.
    assert_eq!(fs::read_to_string(sandbox.path("no-cache")).unwrap(), "a file");
}

/// Runs a script in a mount namespace of its own; `None`, which was said, where that is not allowed.
fn with_mounts(sandbox: &Sandbox, script: &str) -> Option<Ran> {
    if !can_mount() {
        return None;
    }
    let binary = sandbox.command(["x"]).get_program().to_owned();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-euc", script]).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", sandbox.home()).env("TZ", "UTC");
    command.env("LARDER", binary).current_dir(sandbox.path(""));
    Some(Ran::new(command.output().unwrap()))
}

#[test]
fn everything_is_read_from_read_only_file_systems() {
    let (sandbox, key) = store();
    let readers = readers(&sandbox);
    let quoted = |words: &Vec<String>| words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let lines: Vec<String> =
        readers.iter().map(|words| format!("\"$LARDER\" --key-file '{key}' {}\n", quoted(words))).collect();
    let script = format!(
        "mount --bind home home\nmount -o remount,bind,ro home\n! touch home/x 2>/dev/null\n{}\
         ! \"$LARDER\" backup source 2>refused\n",
        lines.concat()
    );
    let Some(ran) = with_mounts(&sandbox, &script) else { return };
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(restored(&sandbox), "content");
    assert!(ran.stderr.contains("note: "), "{}", ran.stderr);
}

#[test]
fn a_user_without_a_home_reads_what_he_may() {
    let (sandbox, key) = store();
    let binary = PathBuf::from(sandbox.command(["x"]).get_program());
    let copy = sandbox.path("larder");
    fs::copy(&binary, &copy).unwrap();
    let open = Command::new("chmod").args(["-R", "a+rX"]).arg(sandbox.path("")).status().unwrap();
    assert!(open.success());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let run = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "54321", "--regid", "54321", "--clear-groups"]).arg(&copy);
        command.arg("-s").arg(sandbox.home().join(".larder")).args(["--key-file", &key]).args(words);
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/").output()
    };
    if !lacks::has_root("only root becomes another user") || !lacks::has_tools(&["setpriv"]) {
        return;
    }
    let file = format!("latest:{}", sandbox.path("source/a").display());
    for words in [&["snapshots"][..], &["check"], &["cat", &file]] {
        let ran = Ran::new(run(words).unwrap());
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
        assert!(ran.stderr.contains("no home folder"), "{ran:?}");
    }
    let refused = Ran::new(run(&["backup", sandbox.path("source").to_str().unwrap()]).unwrap());
    assert!(refused.code == 11 && refused.stderr.contains("set HOME"), "{refused:?}");
}

#[test]
fn a_creation_that_came_to_no_end_is_no_store_and_is_completed_by_the_next() {
    let sandbox = Sandbox::new();
    sandbox.write("no-config", "a file");
    // What cannot be kept on this machine stops it before it makes anything.
    let failed = sandbox.run(["-s", "store", "init", "--config-dir", "no-config"]);
    assert!(failed.code == 1 && failed.stderr.contains("no-config"), "{failed:?}");
    assert!(!sandbox.path("store").exists());
    // Killed after its first key slot.
    sandbox.ok(["-s", "store", "init"]);
    fs::remove_file(sandbox.path("store/config/0")).unwrap();
    for words in [&["check"][..], &["check", "--keyless"], &["snapshots"], &["backup", "no-config"]] {
        let ran = sandbox.run(["-s", "store"].iter().chain(words));
        assert!(ran.code == 10 && ran.stderr.contains("was interrupted"), "{words:?}: {ran:?}");
        assert!(ran.stderr.contains("init"), "{ran:?}");
    }
    sandbox.ok(["-s", "store", "init"]);
    let checked = sandbox.ok(["-s", "store", "check"]);
    assert!(checked.stdout.contains("no damage found") && !checked.stdout.contains("notice"), "{checked:?}");
    assert_eq!(names(&sandbox.path("store/keys")).len(), 1, "the slot that opened nothing is gone");
    assert_eq!(sandbox.run(["-s", "store", "init"]).code, 1, "there is a store now");
}

/// The folder itself, or what lies in it.
#[test]
fn a_store_that_lost_its_config_is_damage_and_no_new_one_is_made_there() {
    for folder_too in [false, true] {
        let (sandbox, _) = store();
        let (there, aside) = (sandbox.home().join(".larder"), sandbox.path("aside"));
        fs::rename(there.join("config"), &aside).unwrap();
        if !folder_too {
            fs::create_dir(there.join("config")).unwrap();
        }
        for words in [
            &["check"][..],
            &["check", "--keyless"],
            &["snapshots"],
            &["backup", "source"],
            &["init"],
            &["repair", "index"],
        ] {
            let ran = sandbox.run(words);
            assert!(ran.code == 20 && !ran.stderr.contains("larder init` makes one"), "{words:?}: {ran:?}");
            let said = ran.stdout.clone() + &ran.stderr;
            assert!(said.contains("config"), "{words:?}: {ran:?}");
        }
        let refused = sandbox.run(["init"]);
        assert!(refused.stderr.contains("1 pack, 1 index segment, 1 snapshot, 2 records"), "{refused:?}");
        assert!(names(&there.join("config")).is_empty(), "nothing was made");
        _ = fs::remove_dir(there.join("config"));
        fs::rename(&aside, there.join("config")).unwrap();
        sandbox.ok(["check"]);
    }
    // Nor does a store without its key slots refuse a secret.
    let (sandbox, key) = store();
    for slot in fs::read_dir(sandbox.home().join(".larder/keys")).unwrap() {
        fs::remove_file(slot.unwrap().path()).unwrap();
    }
    for words in [&["check"][..], &["snapshots"], &["--key-file", &key, "backup", "source"]] {
        let ran = sandbox.run(words);
        assert!(ran.code == 20 && (ran.stdout.clone() + &ran.stderr).contains("key slot"), "{words:?}: {ran:?}");
    }
    // Somebody's folders of the same names are no store.
    let sandbox = Sandbox::new();
    sandbox.write("work/packs/ab/file", "x");
    sandbox.write("work/index/0/file", "x");
    assert_eq!(sandbox.run(["-s", "work", "snapshots"]).code, 10);
    assert_eq!(sandbox.run(["-s", "work", "init"]).code, 1);
}

#[test]
fn a_full_disk_leaves_no_store_and_init_completes_it_when_there_is_room() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("disk")).unwrap();
    // Each attempt gets one more file or folder than the one before, until it comes through.
    let script = "\
        mount -t tmpfs -o nr_inodes=2 none disk\n\
        n=2\n\
        while ! \"$LARDER\" -s disk/store init 2>said; do\n\
            code=0; \"$LARDER\" -s disk/store check >>checks 2>&1 || code=$?\n\
            [ $code = 10 ]\n\
            n=$((n + 1)); [ $n -lt 40 ]; mount -o remount,nr_inodes=$n disk\n\
        done\n\
        \"$LARDER\" -s disk/store check\n\
        echo attempts $n\n";
    let Some(ran) = with_mounts(&sandbox, script) else { return };
    assert!(ran.code == 0 && ran.stdout.contains("no damage found"), "{ran:?}");
    let attempts: u32 = ran.stdout.lines().last().unwrap().strip_prefix("attempts ").unwrap().parse().unwrap();
    assert!(attempts > 8, "{ran:?}");
}

#[test]
fn any_flipped_bit_of_a_config_is_damage_and_never_a_newer_larder() {
    let (sandbox, key) = store();
    let config = sandbox.home().join(".larder/config/0");
    let bytes = fs::read(&config).unwrap();
    // Magic, version, number, either set of feature bits, store, chunker, the end.
    for at in [0, 8, 10, 14, 21, 22, 29, 30, 45, 50, bytes.len() - 100, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        fs::write(&config, changed).unwrap();
        for words in [&["snapshots"][..], &["check"], &["check", "--keyless"], &["snapshots", "--key-file", &key]] {
            let ran = sandbox.run(words);
            assert!(ran.code == 20 && !ran.stderr.contains("newer"), "byte {at}: {words:?}: {ran:?}");
        }
    }
    fs::write(&config, bytes).unwrap();
    sandbox.ok(["check"]);
}

#[test]
fn a_damaged_trust_file_stops_writing_and_not_reading() {
    let (sandbox, _) = store();
    let folder = sandbox.home().join(".config/larder/trust");
    let trust = folder.join(names(&folder).into_iter().find(|name| !name.contains('.')).unwrap());
    let good = fs::read(&trust).unwrap();
    let mut bad = good.clone();
    bad[20] ^= 1;
    let other = [b"no trust file".to_vec(), good[..good.len() / 2].to_vec(), bad];
    for bytes in other {
        fs::write(&trust, &bytes).unwrap();
        for words in readers(&sandbox) {
            let ran = sandbox.ok(words.iter().map(String::as_str).chain(["-q"]));
            assert!(ran.stderr.contains("warning: ") && ran.stderr.contains("trust"), "{words:?}: {}", ran.stderr);
        }
        assert_eq!(restored(&sandbox), "content");
        let before = names(&sandbox.home().join(".larder/snapshots"));
        for words in [&["backup", "source"][..], &["key", "add", "--new-key-file", "key"], &["repair", "index"]] {
            let ran = sandbox.run(words);
            assert!(ran.code == 1 && ran.stderr.contains("remove it"), "{words:?}: {ran:?}");
        }
        assert_eq!(names(&sandbox.home().join(".larder/snapshots")), before);
        assert_eq!(names(&sandbox.home().join(".larder/keys")).len(), 1);
        assert_eq!(fs::read(&trust).unwrap(), bytes, "nobody writes over it");
    }
    fs::remove_file(&trust).unwrap();
    sandbox.ok(["backup", "source"]);
}
