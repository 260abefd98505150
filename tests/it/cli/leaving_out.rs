//! What a backup leaves out: rules, markers, sizes, flags, other file systems; and what it says of that.

use super::restoring::{can_mount, text, tool};
use crate::sandbox::{Ran, Sandbox};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Command;

/// Paths of the newest snapshot below a folder of the sandbox, and that folder itself as nothing.
fn below(sandbox: &Sandbox, folder: &str) -> Vec<String> {
    let objects = sandbox.ok(["ls", "-r", "--json", "latest"]).objects();
    paths(&objects, sandbox.path(folder).display().to_string().trim_end_matches('/'))
}

fn paths(objects: &[Value], folder: &str) -> Vec<String> {
    let entries = objects.iter().filter(|o| o["type"] == "entry");
    let relative = |o: &Value| Some(o["path"].as_str()?.strip_prefix(folder)?.strip_prefix('/')?.to_string());
    entries.filter_map(relative).collect()
}

fn remarks(ran: &Ran) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let remarks = ran.objects().into_iter().filter(|o| o["type"] == "remark");
    remarks.map(|o| (text(&o["remark"]), format!("{}{}", text(&o["path"]), text(&o["rule"])))).collect()
}

#[test]
fn the_last_rule_typed_decides_whatever_its_form_and_option() {
    let sandbox = Sandbox::new();
    for name in ["a.log", "keep.log", "KEEP.Log", "b.tmp", "B.TMP", "dev/x", "src/out"] {
        sandbox.write(&format!("source/{name}"), "x");
    }
    let logs = sandbox.write("logs", "*.log\n");
    let tmps = sandbox.write("tmps", "*.tmp\n");
    let absolute = format!("!{}", sandbox.path("source/keep.log").display());
    let backup = |words: &[&str]| {
        let ran = sandbox.ok(["backup", "--json", "source"].iter().chain(words));
        (below(&sandbox, "source"), remarks(&ran))
    };
    let (left, said) = backup(&["-e", "*.log", "-e", &absolute]);
    assert!(left.contains(&"keep.log".into()) && !left.contains(&"a.log".into()), "{left:?}");
    assert_eq!(said, []);
    let logs = logs.to_str().unwrap();
    let (left, _) = backup(&["--exclude-file", logs, "-e", "!./keep.log"]);
    assert!(left.contains(&"keep.log".into()), "{left:?}");
    let (left, _) = backup(&["-e", "!./keep.log", "--exclude-file", logs]);
    assert!(!left.contains(&"keep.log".into()) && left.contains(&"KEEP.Log".into()), "{left:?}");
    let (left, _) = backup(&["--iexclude", "k*.LOG", "--iexclude-file", tmps.to_str().unwrap()]);
    assert_eq!(left, ["a.log", "dev", "src", "dev/x", "src/out"]);
    let manifest = sandbox.ok(["snapshots", "--json"]).objects().pop().unwrap();
    let tmps = format!("--iexclude-file={}", tmps.display());
    assert_eq!(manifest["options"], serde_json::json!(["--iexclude=k*.LOG", tmps]));
    // A rule with a slash begins in one place, and what that changes is said.
    let (left, said) = backup(&["-e", "/dev", "-e", "*.none", "-e", "./src"]);
    assert!(left.contains(&"dev/x".into()) && !left.contains(&"src".into()), "{left:?}");
    assert_eq!(said, [("rule_changed".into(), "/dev".into()), ("rule_without_match".into(), "*.none".to_string())]);
    let text = sandbox.ok(["backup", "source", "-e", "/dev", "-e", "*.none"]).stderr;
    assert!(
        text.contains("for that, write './dev'") && text.contains("'*.none' (--exclude) matched nothing"),
        "{text}"
    );
    // Under another path it is that which counts.
    sandbox.ok(["backup", "source", "--as", "/srv/data", "-e", "/srv/data/dev"]);
    let objects = sandbox.ok(["ls", "-r", "--json", "latest"]).objects();
    let left = paths(&objects, "/srv/data");
    assert!(left.contains(&"src".into()) && !left.contains(&"dev".into()), "{left:?}");
    let (_, said) = backup(&["-e", "*"]);
    assert_eq!(said, [("source_empty".into(), sandbox.path("source").display().to_string())]);
}

#[test]
fn a_list_that_takes_back_step_by_step_keeps_what_it_names() {
    let sandbox = Sandbox::new();
    sandbox.write("tmp/h/deep/file", "x");
    sandbox.write("tmp/other", "x");
    sandbox.write("home/x", "x");
    let at = |path: &str| sandbox.path(path).display().to_string();
    let list = format!("{}\n!{}\n{}\n!{}\n", at("*"), at("tmp"), at("tmp/*"), at("tmp/h"));
    let list = sandbox.write("list", list);
    for source in [".", "tmp", "tmp/h"] {
        sandbox.ok([OsStr::new("backup"), source.as_ref(), "--exclude-file".as_ref(), list.as_os_str()]);
        let left = below(&sandbox, "");
        let left: Vec<_> = left.iter().map(String::as_str).collect();
        assert_eq!(left, ["tmp", "tmp/h", "tmp/h/deep", "tmp/h/deep/file"], "of {source}");
    }
}

#[test]
fn markers_sizes_and_flags_leave_out_but_never_what_was_named() {
    let sandbox = Sandbox::new();
    for name in ["a/.nobackup", "a/x", "b/large", "b/small", "c/CACHEDIR.TAG", "c/x", "venv/.gitignore", "venv/lib"] {
        sandbox.write(&format!("source/{name}"), "x");
    }
    sandbox.write("source/b/large", vec![0; 2049]);
    sandbox.write("source/c/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    sandbox.write("source/venv/.gitignore", "*\n");
    let words = ["--exclude-if-present", ".nobackup", "--exclude-larger-than", "2K", "--exclude-caches"];
    let words = [&words[..], &["--ignore-file", ".gitignore", "--json"]].concat();
    let backup = |sources: &[&str]| sandbox.ok(["backup"].iter().chain(sources).chain(&words));
    let ran = backup(&["source"]);
    let expected = ["a", "b", "c", "venv", "a/.nobackup", "b/small", "c/CACHEDIR.TAG"];
    assert_eq!(below(&sandbox, "source"), expected);
    assert_eq!(remarks(&ran), [("files_too_large".into(), String::new())]);
    let ran = backup(&["source/a", "source/b/large", "source/c", "source/venv"]);
    let left = below(&sandbox, "source");
    for name in ["a/x", "b/large", "c/x", "venv/lib"] {
        assert!(left.contains(&name.into()), "{name}: {left:?}");
    }
    let passed_over = remarks(&ran).into_iter().filter(|(kind, _)| kind == "marker_passed_over").count();
    assert_eq!(passed_over, 3, "{}", ran.stdout);
    assert_eq!(sandbox.run(["backup", "source", "--exclude-if-present", "a/b"]).code, 2);
    assert_eq!(sandbox.run(["backup", "source", "--exclude-larger-than", "much"]).code, 2);
}

#[test]
fn patterns_of_any_bytes_are_taken_by_every_command() {
    let sandbox = Sandbox::new();
    sandbox.write("source/café", "x");
    let odd = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    for name in [&b"caf\xe9"[..], b"old\xff", b"kept\xfe"] {
        fs::write(sandbox.path("source").join(OsStr::from_bytes(name)), "x").unwrap();
    }
    let rules = sandbox.write("rules", b"old\xff\n");
    let words = [odd(b"backup"), odd(b"source"), odd(b"-e"), odd(b"caf\xe9"), odd(b"--exclude-file"), rules.into()];
    sandbox.ok(words);
    assert_eq!(below(&sandbox, "source").len(), 2);
    let manifest = sandbox.ok(["snapshots", "--json"]).objects().pop().unwrap();
    assert_eq!(manifest["options"][0], "--exclude=caf\\xe9");
    let found = sandbox.ok([odd(b"find"), odd(b"*\xfe"), odd(b"*\xfd")]);
    assert!(found.stdout.contains("kept\\xfe"), "{}", found.stdout);
    assert!(found.stderr.contains("nothing found for '*\\xfd'"), "{}", found.stderr);
    let to = sandbox.path("to");
    let words = [odd(b"restore"), odd(b"latest"), odd(b"--to"), to.clone().into(), odd(b"-i"), odd(b"kept\xfe")];
    let ran = sandbox.ok([&words[..], &[odd(b"-e"), odd(b"/nowhere")]].concat());
    let source = to.join(sandbox.path("source").strip_prefix("/").unwrap());
    let names: Vec<_> = fs::read_dir(source).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [odd(b"kept\xfe")]);
    assert!(ran.stderr.contains("rule '/nowhere' (--exclude) matched nothing"), "{}", ran.stderr);
}

#[test]
fn the_no_dump_flag_leaves_out_when_asked_for() {
    let sandbox = Sandbox::new();
    for name in ["file", "folder/x", "other"] {
        sandbox.write(&format!("source/{name}"), "x");
    }
    let [file, folder] = ["file", "folder"].map(|name| text(&sandbox.path("source").join(name)));
    if !tool(&["chattr", "+d", &file, &folder]) {
        return;
    }
    sandbox.ok(["backup", "source"]);
    assert_eq!(below(&sandbox, "source").len(), 4);
    sandbox.ok(["backup", "source", "--exclude-nodump"]);
    assert_eq!(below(&sandbox, "source"), ["other"]);
    sandbox.ok(["backup", "source", "source/folder", "--exclude-nodump"]);
    assert_eq!(below(&sandbox, "source"), ["folder", "other", "folder/x"]);
}

/// Runs a shell's words where it may mount things that nobody else sees. `$L` is the program.
fn with_mounts(sandbox: &Sandbox, script: &str) -> Option<Ran> {
    let larder = sandbox.command(["version"]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec", script]).current_dir(sandbox.path(""));
    command.env_clear().envs(larder.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("L", larder.get_program()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    if !can_mount() {
        return None;
    }
    Some(Ran::new(command.output().unwrap()))
}

#[test]
fn another_file_system_is_entered_as_far_as_it_leads_to_a_source() {
    let sandbox = Sandbox::new();
    sandbox.write("X/own", "x");
    let script = "
        mkdir X/fs1
        mount -t tmpfs none X/fs1
        mkdir -p X/fs1/A/deeper X/fs1/B X/fs1/C
        echo a > X/fs1/A/a; echo b > X/fs1/B/b; echo c > X/fs1/C/c; echo list > X/fs1/list
        mount -t tmpfs none X/fs1/A/deeper
        echo d > X/fs1/A/deeper/d
        echo X/fs1/list > from
        $L backup -x -q X X/fs1/A --files-from from -e fs1
        $L backup -x --json X X/fs1/A --files-from from
        $L ls -r --json latest
        $L snapshots --json
        mkdir X/fs1/B/new; mount --rbind X Y; $L diff --json latest X; $L diff --json latest:\"$PWD/X\" Y
        echo more > X/fs1/A/more; $L diff --json latest X";
    sandbox.write("Y/covered", "x");
    let Some(ran) = with_mounts(&sandbox, script) else { return };
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let objects = ran.objects();
    let folder = sandbox.path("X").display().to_string();
    let expected = ["fs1", "own", "fs1/A", "fs1/list", "fs1/A/a", "fs1/A/deeper"];
    assert_eq!(paths(&objects, &folder), expected);
    let skipped = objects.iter().filter(|o| o["type"] == "skipped").map(|o| o["path"].as_str().unwrap());
    assert_eq!(skipped.collect::<Vec<_>>(), [format!("{folder}/fs1"), format!("{folder}/fs1/A/deeper")]);
    let snapshot = objects.iter().rfind(|o| o["type"] == "snapshot").unwrap();
    assert_eq!(
        snapshot["paths"],
        serde_json::json!([&folder, format!("{folder}/fs1/A"), format!("{folder}/fs1/list")])
    );
    let is_other = |o: &&Value| o["type"] == "change" && o["change"] != "U";
    let changes: Vec<_> = objects.iter().filter(is_other).collect();
    let more = format!("{folder}/fs1/A/more");
    assert!(changes.len() == 1 && changes[0]["change"] == "+" && changes[0]["path"] == more, "{changes:?}");
    // A rule that leaves out the mount leaves the source that was named below it.
    let first = sandbox.ok(["snapshots", "--json"]).objects().remove(0);
    let first = sandbox.ok(["ls", "-r", "--json", first["id"].as_str().unwrap()]).objects();
    assert_eq!(paths(&first, &folder), ["fs1", "own", "fs1/A", "fs1/A/a", "fs1/A/deeper"]);
}

#[test]
fn a_mount_that_does_not_answer_is_not_touched_when_it_is_not_entered() {
    let sandbox = Sandbox::new();
    sandbox.write("X/own", "x");
    // The one never answers, since nobody reads what is asked of it; the other's program has ended.
    let script = r#"
        mkdir "X/ha ng" X/dead X/real; chmod 0711 X/dead; ln -s X through
        mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 none "X/ha ng" 3<>/dev/fuse || exit 77
        exec 4<>/dev/fuse
        mount -i -t fuse -o fd=4,rootmode=40000,user_id=0,group_id=0 none X/real || exit 77
        rmdir X/dead; mkdir -m 0711 X/dead
        mount -i -t fuse -o fd=5,rootmode=40000,user_id=0,group_id=0 none X/dead 5<>/dev/fuse || exit 77
        for source in X through; do
            timeout -s KILL 60 $L backup -x --json $source
            timeout -s KILL 60 $L ls -r --json latest
            timeout -s KILL 60 $L diff --json latest $source
        done"#;
    let Some(ran) = with_mounts(&sandbox, script) else { return };
    if ran.code == 77 {
        return crate::lacks::lacks("fuse", ran.stderr);
    }
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let objects = ran.objects();
    let changes: Vec<_> = objects.iter().filter(|o| o["type"] == "change").collect();
    assert!(changes.is_empty(), "{changes:?}");
    for source in ["X", "through"] {
        let folder = sandbox.path(source).display().to_string();
        assert_eq!(paths(&objects, &folder), ["dead", "ha ng", "own", "real"], "{}", ran.stdout);
        let skipped = |o: &&Value| o["type"] == "skipped" && o["path"].as_str().unwrap().starts_with(&folder);
        let skipped: Vec<_> = objects.iter().filter(skipped).collect();
        assert_eq!(skipped.len(), 3, "{}", ran.stdout);
        assert!(skipped.iter().all(|o| o["message"].as_str().unwrap().contains("not touched")), "{skipped:?}");
        let dead = objects.iter().find(|o| o["path"] == format!("{folder}/dead") && o["type"] == "entry").unwrap();
        assert_eq!((&dead["mode"], &dead["uid"]), (&Value::from("0711"), &Value::from(0)), "what it covers: {dead}");
    }
}

#[test]
fn made_up_content_is_read_where_it_was_named_and_said_where_not() {
    let sandbox = Sandbox::new();
    let named = ["/proc/version", "/proc/sys/kernel/ostype", "/proc/filesystems"];
    let list = sandbox.write("list", named[2]);
    let words = ["backup", "--json", named[0], "/proc/sys/kernel", "--files-from", list.to_str().unwrap()];
    // The second time too: equal times tell nothing of what is made up.
    for _ in 0..2 {
        let ran = sandbox.run(words);
        assert!(matches!(ran.code, 0 | 3), "{}", ran.stderr);
        assert!(!remarks(&ran).iter().any(|(kind, _)| kind == "files_left_unread"), "{}", ran.stdout);
        for path in named {
            let stored = sandbox.ok(["cat", &format!("latest:{path}")]).stdout;
            assert_eq!(stored, fs::read_to_string(path).unwrap(), "{path}");
        }
    }
    // Below a source of another kind nobody asked for it.
    sandbox.write("X/own", "x");
    let script = "
        mkdir X/p X/s
        mount --bind /proc/sys/kernel/random X/p
        mount --bind /sys/kernel/mm/transparent_hugepage X/s
        $L backup --json X; $L backup --json X; $L backup --json X X/p/poolsize
        $L cat latest:\"$PWD/X/p/poolsize\"; $L cat latest:\"$PWD/X/s/enabled\"";
    let Some(ran) = with_mounts(&sandbox, script) else { return };
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let unread: Vec<_> = ran.stdout.lines().filter(|line| line.contains("files_left_unread")).collect();
    assert_eq!(unread.len(), 3, "{}", ran.stdout);
    for path in ["/proc/sys/kernel/random/poolsize", "/sys/kernel/mm/transparent_hugepage/enabled"] {
        let content = fs::read_to_string(path).unwrap();
        assert!(ran.stdout.contains(&content), "{path}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("\"changed\",") && ran.stdout.contains("\"changed_while_read\":0"), "{}", ran.stdout);
}

#[test]
fn a_file_mounted_where_content_is_made_up_says_nothing_of_its_own_disk() {
    let sandbox = Sandbox::new();
    let script = "
        mkdir -p s/a/p s/z; mount -t tmpfs none s/z
        head -c 3000000 /dev/zero | tr '\\0' x > s/z/big; : > s/z/empty
        mount -t proc proc s/a/p; mount --bind s/z/empty s/a/p/version
        $L backup -q s -e './a/p/*' -e '!./a/p/version'
        $L cat latest:\"$PWD/s/z/big\" | cmp - s/z/big && echo whole";
    let Some(ran) = with_mounts(&sandbox, script) else { return };
    assert!(ran.code == 0 && ran.stdout.contains("whole"), "{}{}", ran.stdout, ran.stderr);
}
