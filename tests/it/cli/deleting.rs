//! `restore --delete`, and what selects what is restored.

use super::restoring::{Homes, Tree, in_namespace, text, tool, tool_for};
use crate::sandbox::{Ran, Sandbox, names};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

fn deleted(ran: &Ran) -> Vec<String> {
    let prefix =
        |line: &str| line.strip_prefix("deleted   ").or(line.strip_prefix("would delete ")).map(str::to_string);
    ran.stdout.lines().filter_map(prefix).map(|path| path.rsplit("source/").next().unwrap().to_string()).collect()
}

#[test]
fn delete_removes_what_the_snapshot_lacks_and_nothing_else() {
    let tree = Tree::new(|source| {
        fs::create_dir_all(source.join("a/b")).unwrap();
        fs::write(source.join("a/b/one"), "1").unwrap();
        fs::write(source.join("two"), "2").unwrap();
    });
    tree.restored(&[]);
    let at = |name: &str| tree.target.join(name);
    let outside = tree.sandbox.write("outside/canary", "alive");
    fs::create_dir_all(at("a/extra/deep/er")).unwrap();
    fs::write(at("a/extra/deep/er/x"), "x").unwrap();
    fs::write(at("a/b/more"), "x").unwrap();
    fs::write(at("keep.me"), "x").unwrap();
    symlink(outside.parent().unwrap(), at("a/link")).unwrap();
    let all = ["a/b/more", "a/extra", "a/extra/deep", "a/extra/deep/er", "a/extra/deep/er/x", "a/link"];
    let words = ["--overwrite", "if-changed", "--delete", "--exclude", "*.me"];
    // Without the option nothing goes; in a dry run it is named and stays.
    assert_eq!(deleted(&tree.restored(&["--overwrite", "if-changed", "-v"])), [""; 0]);
    let mut would = deleted(&tree.restored(&[&words[..], &["--dry-run"]].concat()));
    would.sort();
    assert_eq!(would, all);
    assert!(at("a/extra/deep/er/x").exists());
    let ran = tree.restored(&[&words[..], &["--json"]].concat());
    let objects = ran.objects();
    let mut gone: Vec<_> =
        objects.iter().filter(|o| o["type"] == "deleted").map(|o| o["path"].as_str().unwrap()).collect();
    gone.sort();
    let expected: Vec<_> = all.iter().map(|name| text(&tree.source.join(name))).collect();
    assert_eq!(gone, expected);
    assert_eq!(objects.last().unwrap()["deleted"], 6);
    assert_eq!(names(&tree.target), ["a", "keep.me", "two"]);
    assert_eq!(names(&at("a")), ["b"]);
    assert_eq!(names(&at("a/b")), ["one"]);
    assert_eq!(fs::read_to_string(&outside).unwrap(), "alive");
    // Directories from which something went have the snapshot's time all the same.
    assert_eq!(fs::metadata(at("a")).unwrap().mtime(), fs::metadata(tree.source.join("a")).unwrap().mtime());
    tree.restored(&["--delete"]);
    assert_eq!(names(&tree.target), ["a", "two"]);
    tree.is_equal();
}

#[test]
fn delete_stays_within_the_selection_and_the_sources() {
    let sandbox = Sandbox::new();
    sandbox.write("me/docs/letter", "dear");
    sandbox.write("me/src/x.c", "int x;");
    sandbox.ok(["backup", "me", "--as", "/home/me"]);
    let extra = |name: &str| sandbox.write(&format!("root/{name}"), "x");
    let extras = ["top", "home/other/diary", "home/me/more", "home/me/docs/more", "home/me/src/y.c", "home/me/src/z.o"];
    let make = || extras.iter().for_each(|name| _ = extra(name));
    let left =
        || extras.iter().filter(|name| sandbox.path(&format!("root/{name}")).exists()).copied().collect::<Vec<_>>();
    let restore = |more: &[&str]| sandbox.ok(["restore", "latest", "--to", "root", "--delete"].iter().chain(more));
    make();
    restore(&["--include", "/home/me/docs"]);
    assert_eq!(left(), ["top", "home/other/diary", "home/me/more", "home/me/src/y.c", "home/me/src/z.o"]);
    make();
    restore(&["--include", "*.c"]);
    assert_eq!(left(), ["top", "home/other/diary", "home/me/more", "home/me/docs/more", "home/me/src/z.o"]);
    // Also in directories from which nothing is restored.
    make();
    restore(&["--include", "*.o", "--include", "more"]);
    assert_eq!(left(), ["top", "home/other/diary", "home/me/src/y.c"]);
    let made = sandbox.path("new");
    sandbox.ok(["restore", "latest", "--to", &text(&made), "--include", "*.o", "--delete"]);
    assert_eq!(fs::read_dir(&made).map_or(0, Iterator::count), 0);
    make();
    sandbox.write("list", "/home/me/src\n");
    restore(&["--files-from", "list"]);
    assert_eq!(left(), ["top", "home/other/diary", "home/me/more", "home/me/docs/more"]);
    make();
    restore(&[]);
    assert_eq!(left(), ["top", "home/other/diary"]);
    // Nonsense is refused before anything is done.
    let never = sandbox.run(["restore", "latest", "--to", "root", "--delete", "--overwrite", "never"]);
    assert_eq!(never.code, 11, "{never:?}");
    let file = sandbox.run(["restore", "latest:/home/me/docs/letter", "--to", "root", "--delete"]);
    assert!(file.code == 11 && file.stderr.contains("not a directory"), "{file:?}");
}

#[test]
fn delete_does_not_reach_what_comes_through_a_followed_link() {
    let homes = Homes::new(|_| "data/home".into());
    fs::create_dir_all(homes.root.join("data/home/me")).unwrap();
    fs::write(homes.root.join("data/home/me/extra"), "x").unwrap();
    let ran = homes.restore(&["--delete", "--overwrite", "if-changed"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(names(&homes.root.join("data/home")), ["me", "other"]);
    assert_eq!(names(&homes.root.join("data/home/me")), ["docs"]);
    // A link to where the restore itself goes: following it, one part would delete what the other brings.
    let sandbox = Sandbox::new();
    sandbox.write("all/x/from-x", "x");
    sandbox.write("all/y/from-y", "y");
    sandbox.ok(["backup", "all", "--as", "/all"]);
    sandbox.write("root/all/y/from-y", "y");
    symlink("y", sandbox.path("root/all/x")).unwrap();
    let ran = sandbox.run(["restore", "latest", "--to", "root", "--delete", "--overwrite", "if-changed"]);
    assert!(ran.code == 1 && ran.stderr.contains("/all/x"), "{ran:?}");
    assert_eq!(names(&sandbox.path("root/all/y")), ["from-y"]);
}

#[test]
fn delete_leaves_what_is_mounted() {
    if !in_namespace("deleting::delete_leaves_what_is_mounted") {
        return;
    }
    let tree = Tree::new(|source| {
        fs::create_dir_all(source.join("mounted")).unwrap();
        fs::write(source.join("one"), "1").unwrap();
    });
    tree.restored(&[]);
    let at = |name: &str| tree.target.join(name);
    fs::create_dir_all(at("extra/mount")).unwrap();
    fs::write(at("extra/gone"), "x").unwrap();
    for folder in ["mounted", "extra/mount"] {
        assert!(tool(&["mount", "-t", "tmpfs", "none", &text(&at(folder))]));
        fs::write(at(folder).join("inside"), "x").unwrap();
    }
    let ran = tree.restored(&["--delete", "--overwrite", "if-changed"]);
    assert!(ran.stderr.contains("another file system is mounted there"), "{ran:?}");
    assert_eq!(names(&at("mounted")), ["inside"]);
    assert_eq!(names(&at("extra")), ["mount"]);
    assert_eq!(names(&at("extra/mount")), ["inside"]);
    // A disk that was not there when the backup was made is left, though the snapshot has something in its place.
    fs::create_dir_all(tree.source.join("mounted/deep")).unwrap();
    fs::write(tree.source.join("mounted/known"), "k").unwrap();
    fs::create_dir_all(at("mounted/deep")).unwrap();
    fs::write(at("mounted/deep/inside"), "x").unwrap();
    tree.backup();
    let ran = tree.restored(&["--delete", "--overwrite", "if-changed"]);
    assert!(ran.stderr.contains("which was not so in the snapshot"), "{ran:?}");
    assert_eq!(names(&at("mounted")), ["deep", "inside", "known"]);
    assert_eq!(names(&at("mounted/deep")), ["inside"]);
    // What was on another file system is swept like any directory.
    let source = tree.source.join("mounted");
    assert!(tool(&["mount", "-t", "tmpfs", "none", &text(&source)]));
    fs::write(source.join("known"), "k").unwrap();
    tree.backup();
    // A file on which another is mounted is left, and costs nothing.
    fs::write(at("extra/file"), "x").unwrap();
    assert!(tool(&["mount", "--bind", &text(&at("one")), &text(&at("extra/file"))]));
    let ran = tree.restored(&["--delete", "--overwrite", "if-changed"]);
    assert!(ran.stderr.contains("another file is mounted there"), "{ran:?}");
    assert_eq!(names(&at("mounted")), ["known"]);
    assert_eq!(names(&at("extra")), ["file", "mount"]);
}

#[test]
fn delete_leaves_a_file_system_of_which_only_a_part_was_named() {
    if !in_namespace("deleting::delete_leaves_a_file_system_of_which_only_a_part_was_named") {
        return;
    }
    let sandbox = Sandbox::new();
    let at = |name: &str| sandbox.path("x").join(name);
    fs::create_dir_all(at("disk")).unwrap();
    assert!(tool(&["mount", "-t", "tmpfs", "none", &text(&at("disk"))]));
    for name in ["x/disk/in/a/file", "x/disk/in/b/precious", "x/disk/c/precious", "x/one"] {
        sandbox.write(name, "1");
    }
    let (x, disk) = (text(&at("")), text(&at("disk")));
    let (x, a) = (x.trim_end_matches('/'), text(&at("disk/in/a")));
    sandbox.ok(["backup", "--one-file-system", x, &a]);
    for (path, to) in [(x, x), (&disk, &disk)] {
        sandbox.write("x/disk/in/a/extra", "x");
        let words = ["--overwrite", "if-changed", "--delete"];
        let ran = sandbox.run(["restore", &format!("latest:{path}"), "--to", to].iter().chain(&words));
        assert!(ran.stderr.contains("only a part of the file system"), "{ran:?}");
        assert_eq!(names(&at("disk")), ["c", "in"]);
        assert_eq!(names(&at("disk/in")), ["a", "b"]);
        assert_eq!(names(&at("disk/in/a")), ["file"]);
    }
}

#[test]
fn delete_over_everything_leaves_the_store() {
    let sandbox = Sandbox::new();
    sandbox.write("source/one", "1");
    sandbox.ok(["backup", "source", "--as", "/"]);
    let home = text(&sandbox.home());
    sandbox.write("home/extra", "x");
    let ran = sandbox.ok(["restore", "latest", "--to", &home, "--delete", "-v"]);
    assert!(ran.stderr.contains("it belongs to the store"), "{ran:?}");
    assert!(!sandbox.home().join("extra").exists());
    sandbox.ok(["check", "--read-data"]);
    assert_eq!(fs::read_to_string(sandbox.home().join("one")).unwrap(), "1");
}

#[test]
fn lists_and_pattern_files_select() {
    let tree = Tree::new(|source| {
        for name in ["a.conf", "b.txt", "d/c.conf", "d/e/f", "odd\nname"] {
            fs::create_dir_all(source.join(name).parent().unwrap()).unwrap();
            fs::write(source.join(name), name).unwrap();
        }
    });
    let files = |ran: &Ran| ran.objects().last().unwrap()["files"].as_u64().unwrap();
    let fresh = |more: &[&str]| {
        _ = fs::remove_dir_all(&tree.target);
        tree.restore(&[more, &["--json"]].concat())
    };
    tree.sandbox.write("patterns", "# configuration\n\n*.conf\n");
    assert_eq!(files(&fresh(&["--include-file", "patterns"])), 2);
    assert_eq!(files(&fresh(&["--exclude-file", "patterns"])), 3);
    tree.sandbox.write("patterns", "# nothing\n");
    assert_eq!(fresh(&["--include-file", "patterns"]).code, 2);
    tree.sandbox.write("list", format!("./d/e\n{}/b.txt\n", text(&tree.source)));
    assert_eq!(files(&fresh(&["--files-from", "list"])), 2);
    assert_eq!(names(&tree.target), ["b.txt", "d"]);
    assert_eq!(names(&tree.target.join("d")), ["e"]);
    tree.sandbox.write("list", "odd\nname\0d/gone\0");
    let ran = fresh(&["--files-from0", "list"]);
    assert_eq!((ran.code, files(&ran)), (1, 1), "{ran:?}");
    assert!(ran.stdout.contains("d/gone") && ran.stdout.contains("the snapshot does not have it"), "{ran:?}");
    tree.sandbox.write("list", "/somewhere/else\n");
    let ran = fresh(&["--files-from", "list"]);
    assert!(ran.code == 11 && ran.stderr.contains("somewhere/else"), "{ran:?}");
}

#[test]
fn delete_keeps_what_the_target_spells_otherwise() {
    if !in_namespace("deleting::delete_keeps_what_the_target_spells_otherwise") {
        return;
    }
    let tree = Tree::new(|source| {
        fs::create_dir(source.join("Folder")).unwrap();
        fs::write(source.join("Folder/one"), "1").unwrap();
        fs::write(source.join("README"), "read").unwrap();
        fs::hard_link(source.join("README"), source.join("TWIN")).unwrap();
    });
    let disk = tree.sandbox.path("disk");
    fs::File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    fs::create_dir(tree.sandbox.path("fs")).unwrap();
    let at = |name: &str| tree.sandbox.path("fs/target").join(name);
    let (disk, mounted) = (text(&disk), text(&tree.sandbox.path("fs")));
    if !tool_for("casefold", &["mkfs.ext4", "-q", "-O", "casefold", &disk])
        || !tool_for("casefold", &["mount", "-o", "loop", &disk, &mounted])
    {
        return;
    }
    fs::create_dir_all(at("")).unwrap();
    if tool_for("casefold", &["chattr", "+F", &text(&at(""))]) {
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("folder/extra"), "x").unwrap();
        fs::write(at("readme"), "other").unwrap();
        fs::write(at("twin"), "other").unwrap();
        fs::write(at("more"), "x").unwrap();
        let place = format!("latest:{}", text(&tree.source));
        let to = text(&at(""));
        tree.sandbox.ok(["restore", &place, "--to", &to, "--delete", "--overwrite", "if-changed"]);
        assert_eq!(fs::read_to_string(at("README")).unwrap(), "read");
        assert_eq!(fs::read_to_string(at("TWIN")).unwrap(), "read");
        assert_eq!(names(&at("")).len(), 3, "{:?}", names(&at("")));
        assert_eq!(names(&at("folder")), ["one"]);
    }
    assert!(tool(&["umount", &mounted]));
}

#[test]
fn delete_leaves_the_files_that_the_command_reads() {
    let sandbox = Sandbox::new();
    sandbox.write("source/one", "1");
    sandbox.write("source/two", "2");
    let at = |name: &str| sandbox.path("target").join(name);
    sandbox.write("key", (7..39).collect::<Vec<u8>>());
    assert!(tool(&["chmod", "600", &text(&sandbox.path("key"))]));
    sandbox.ok(["-s", "store", "init", "--key-file", "key"]);
    sandbox.ok(["-s", "store", "--key-file", "key", "backup", "source", "--as", "/s"]);
    for folder in ["target/keys", "target/gone"] {
        fs::create_dir_all(sandbox.path(folder)).unwrap();
    }
    fs::copy(sandbox.path("key"), at("keys/key")).unwrap();
    symlink("through/key", at("link")).unwrap();
    symlink("keys", at("through")).unwrap();
    sandbox.write("target/list", "/s\n");
    sandbox.write("target/patterns", "two\n");
    let restore = ["-s", "store", "restore", "latest:/s", "--to", "target", "--delete", "-v"];
    let more = ["--exclude-file", "target/patterns", "--files-from", "target/list"];
    let with_key = [&["--key-file", "target/link"][..], &restore, &more].concat();
    let ran = sandbox.ok(with_key);
    assert!(ran.stderr.contains("this command reads it"), "{ran:?}");
    assert_eq!(names(&sandbox.path("target")), ["keys", "link", "list", "one", "patterns", "through"]);
    assert_eq!(names(&at("keys")), ["key"]);
    // The same of the environment.
    sandbox.write("target/extra", "x");
    let output = sandbox.command(restore).env("LARDER_KEY_FILE", at("link")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(names(&sandbox.path("target")), ["keys", "link", "one", "through", "two"]);
    // And of a passphrase.
    sandbox.write("target/secret", "a passphrase");
    sandbox.ok(["-s", "other", "init", "--passphrase-file", "target/secret", "--kdf-memory", "8"]);
    let other = ["-s", "other", "--passphrase-file", "target/secret"];
    sandbox.ok(other.iter().chain(&["backup", "source", "--as", "/s"]));
    sandbox.ok(other.iter().chain(&restore[2..]));
    assert_eq!(names(&sandbox.path("target")), ["one", "secret", "two"]);
}

#[test]
fn delete_leaves_what_prints_the_passphrase() {
    let sandbox = Sandbox::new();
    sandbox.write("target/a", "a");
    let store = ["-s", "store", "--passphrase-command"];
    let script = "target/bin/pass word";
    let command = format!("sh '{script}' --from=target/secret");
    sandbox.ok([&store[..], &["echo one two", "init", "--kdf-memory", "8"]].concat());
    sandbox.ok([&store[..], &["echo one two", "backup", "target"]].concat());
    sandbox.write(script, "cat target/secret");
    sandbox.write("target/secret", "one two\n");
    sandbox.write("target/junk", "x");
    let place = format!("latest:{}", sandbox.path("target").display());
    let target = sandbox.path("target");
    let words =
        [&store[..], &[&command, "restore", &place, "--to", target.to_str().unwrap(), "--overwrite", "if-changed"]];
    let ran = sandbox.ok([&words.concat()[..], &["--delete"]].concat());
    assert!(!sandbox.path("target/junk").exists(), "{ran:?}");
    assert!(sandbox.path(script).exists() && sandbox.path("target/secret").exists(), "{ran:?}");
    assert!(ran.stderr.contains("not deleted"), "{}", ran.stderr);
    sandbox.ok([&words.concat()[..], &["--delete"]].concat());
}

#[test]
fn delete_leaves_every_store() {
    let sandbox = Sandbox::new();
    let home = text(&sandbox.home());
    sandbox.write("home/one", "1");
    sandbox.ok(["backup", &home, "--as", "/h"]);
    assert!(tool(&["cp", "-a", &format!("{home}/.larder"), &text(&sandbox.path("clone"))]));
    sandbox.write("home/extra/file", "x");
    assert!(tool(&["cp", "-a", &format!("{home}/.larder"), &format!("{home}/extra/inner")]));
    // What only looks a little like one.
    sandbox.write("home/app/config/0", "none");
    let ran = sandbox.ok(["-s", "clone", "restore", "latest:/h", "--to", &home, "--delete", "-v"]);
    assert!(ran.stderr.contains("it is a store of backups"), "{ran:?}");
    assert_eq!(names(&sandbox.home().join("extra")), ["inner"]);
    assert!(!sandbox.home().join("app").exists());
    sandbox.ok(["check", "--read-data"]);
    sandbox.ok(["-s", &format!("{home}/extra/inner"), "check", "--read-data"]);
}
