//! What rules leave out.

use super::{Seen, source};
use crate::source::filter::{Excludes, Given, GivenIn};
use crate::source::fs::{FsOptions, FsSource};
use crate::source::{RemarkKind, Source};
use std::fs;
use std::path::{Path, PathBuf};

fn tree(paths: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for path in paths {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }
    (folder, root)
}

fn patterns(patterns: &[&str]) -> Excludes {
    Excludes { rules: patterns.iter().map(|p| Given::from(*p)).collect(), ..Excludes::default() }
}

fn walked(root: &Path, excludes: Excludes) -> Vec<String> {
    Seen::well(&source(FsOptions { roots: vec![root.into()], excludes, ..FsOptions::default() })).below(root)
}

#[test]
fn patterns_have_the_meaning_they_have_for_git() {
    let (_folder, root) =
        tree(&["a.o", "src/a.o", "src/keep.o", "build/x", "src/build/y", "target", "log/1/x", "log/y"]);
    let all = walked(&root, Excludes::default());
    assert_eq!(all.len(), 13);
    assert_eq!(
        walked(&root, patterns(&["*.o", "!keep.o", "./build", "target/", "log/*", "!log/1"])),
        ["log", "src", "target", "log/1", "log/1/x", "src/build", "src/keep.o", "src/build/y"]
    );
    let absolute = format!("{}/src/build", root.display());
    assert_eq!(walked(&root, patterns(&[&absolute])).len(), 11, "an absolute path means what it says");
}

#[test]
fn what_is_left_out_is_not_looked_at() {
    let (_folder, root) = tree(&["a/x", "b/y"]);
    let fifo = root.join("a/deep");
    fs::create_dir(&fifo).unwrap();
    // Nobody can enter it without being root; nobody tries.
    fs::set_permissions(root.join("a"), std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
    let left = walked(&root, patterns(&["a"]));
    fs::set_permissions(root.join("a"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(left, ["b", "b/y"]);
}

#[test]
fn pattern_files_and_wrong_patterns_name_their_place() {
    let (_folder, root) = tree(&["a.o", "b.o", "c"]);
    let rules = tempfile::NamedTempFile::new().unwrap();
    fs::write(rules.path(), "# objects\n*.o\r\n\n").unwrap();
    let file = |path: &Path| Given { place: GivenIn::File(path.into()), ignore_case: false };
    let of_files = |path: &Path| Excludes { rules: vec![file(path)], ..Excludes::default() };
    let with_typed = |rules: Vec<Given>| walked(&root, Excludes { rules, ..Excludes::default() });
    assert_eq!(with_typed(vec![file(rules.path()), "!b.o".into()]), ["b.o", "c"], "the last word decides");
    assert_eq!(with_typed(vec!["!b.o".into(), file(rules.path())]), ["c"]);
    let error = |excludes| FsSource::new(FsOptions { roots: vec![root.clone()], excludes, ..FsOptions::default() });
    fs::write(rules.path(), "fine\n[wrong\n").unwrap();
    let message = error(of_files(rules.path())).unwrap_err().to_string();
    assert!(message.contains(":2: "), "{message}");
    assert!(error(patterns(&["{a"])).unwrap_err().to_string().contains("{a"));
    assert!(error(of_files(&root.join("no"))).unwrap_err().to_string().contains("/no"));
    let name = Excludes { per_directory: vec!["a/b".into()], ..Excludes::default() };
    assert!(error(name).is_err());
}

#[test]
fn rule_files_of_directories_hold_below_them_and_the_nearest_decides() {
    let (_folder, root) =
        tree(&["x.log", "a/x.log", "a/y.tmp", "a/b/x.log", "a/b/c/x.log", "a/top", "a/b/top", "z/x.log"]);
    fs::write(root.join("a/.ignore"), "*.log\n/top\n").unwrap();
    fs::write(root.join("a/b/.ignore"), "!x.log\n").unwrap();
    let excludes = || Excludes { per_directory: vec![".ignore".into()], ..Excludes::default() };
    let expected = [
        "a",
        "x.log",
        "z",
        "a/.ignore",
        "a/b",
        "a/y.tmp",
        "a/b/.ignore",
        "a/b/c",
        "a/b/top",
        "a/b/x.log",
        "a/b/c/x.log",
        "z/x.log",
    ];
    assert_eq!(walked(&root, excludes()), expected);
    // What a person types goes before what lies in directories.
    let typed = Excludes { rules: vec!["c".into(), "!./a/x.log".into()], ..excludes() };
    let left = walked(&root, typed);
    assert!(left.contains(&"a/x.log".into()) && !left.contains(&"a/b/c".into()));
}

#[test]
fn a_rule_file_that_is_a_link_or_a_directory_is_none() {
    let (_folder, root) = tree(&["d/.ignore/x", "l/file", "rules"]);
    fs::write(root.join("rules"), "*\n").unwrap();
    std::os::unix::fs::symlink("../rules", root.join("l/.ignore")).unwrap();
    let excludes = Excludes { per_directory: vec![".ignore".into()], ..Excludes::default() };
    assert_eq!(walked(&root, excludes).len(), 7);
}

#[test]
fn tagged_cache_directories_stay_empty_but_for_their_tag() {
    let (_folder, root) = tree(&["cache/x", "cache/deep/y", "fake/x", "fake/CACHEDIR.TAG"]);
    fs::write(root.join("cache/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n# made by a test\n")
        .unwrap();
    let excludes = Excludes { cache_dirs: true, ..Excludes::default() };
    assert_eq!(walked(&root, excludes), ["cache", "fake", "cache/CACHEDIR.TAG", "fake/CACHEDIR.TAG", "fake/x"]);
}

#[test]
fn no_rule_leaves_out_a_root_that_a_person_named() {
    let (_folder, root) = tree(&["a/b/c/file", "a/b/other", "a/x", "listed/y.o", "listed/z"]);
    let roots = vec![root.clone(), root.join("a/b/c")];
    let options = FsOptions { roots, excludes: patterns(&["a", "c"]), ..FsOptions::default() };
    let seen = Seen::well(&source(options));
    assert_eq!(seen.below(&root), ["a", "listed", "a/b", "a/b/c", "a/b/c/file", "listed/y.o", "listed/z"]);
    let listed = ["listed/y.o", "listed/z", "a/x"].map(|p| root.join(p)).to_vec();
    let options = FsOptions { listed, excludes: patterns(&["*.o", "/a/"]), ..FsOptions::default() };
    let seen = Seen::well(&source(options));
    assert_eq!(seen.below(&root), ["a", "listed", "a/x", "listed/z"], "rules hold for paths from lists");
}

/// Paths below a root and the remarks of a walk.
fn told(roots: &[PathBuf], excludes: Excludes) -> (Vec<String>, Vec<(RemarkKind, String)>) {
    let source = source(FsOptions { roots: roots.to_vec(), excludes, ..FsOptions::default() });
    let left = Seen::well(&source).below(&roots[0]);
    (left, source.remarks().into_iter().map(|remark| (remark.kind, remark.message)).collect())
}

#[test]
fn the_last_rule_decides_and_an_absolute_one_begins_at_the_root_of_all() {
    let (_folder, root) = tree(&["x.log", "keep.log", "dev/a", "tmp/h/deep", "tmp/other"]);
    let at = |path: &str| format!("{}/{path}", root.display());
    let left = |rules: &[&str]| walked(&root, patterns(rules));
    assert!(left(&["*.log", &format!("!{}", at("keep.log"))]).contains(&"keep.log".into()));
    assert!(left(&["*.log", "!./keep.log"]).contains(&"keep.log".into()));
    assert!(!left(&[&format!("!{}", at("keep.log")), "*.log"]).contains(&"keep.log".into()));
    let (_, remarks) = told(std::slice::from_ref(&root), patterns(&["/dev"]));
    assert!(left(&["/dev"]).contains(&"dev/a".into()));
    assert!(remarks[0].0 == RemarkKind::RuleChanged && remarks[0].1.contains("write './dev'"), "{remarks:?}");
    assert!(!left(&["./dev"]).contains(&"dev".into()));
    let list = [at("*"), format!("!{}", at("tmp")), at("tmp/*"), format!("!{}", at("tmp/h"))];
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    assert_eq!(left(&list), ["tmp", "tmp/h", "tmp/h/deep"]);
    for named in ["tmp", "tmp/h"] {
        let (left, _) = told(&[root.join(named)], patterns(&list));
        assert!(left.contains(&"deep".into()) || left.contains(&"h/deep".into()), "{named}: {left:?}");
    }
}

#[test]
fn rules_without_a_match_and_sources_that_end_empty_are_said() {
    let (_folder, root) = tree(&["a/x.o", "b/y", "full/z"]);
    fs::create_dir(root.join("void")).unwrap();
    let roots = ["full", "a", "void"].map(|name| root.join(name));
    let (_, remarks) = told(&roots, patterns(&["*.o", "*.gone", "!w"]));
    let of = |kind| remarks.iter().filter(|r| r.0 == kind).map(|r| r.1.as_str()).collect::<Vec<_>>().join("\n");
    let empty = of(RemarkKind::SourceEmpty);
    assert!(empty.contains("/a is in the snapshot: everything in it was left out"), "{remarks:?}");
    assert!(empty.contains("/void is in the snapshot: the directory is empty"), "{remarks:?}");
    assert!(!empty.contains("/full"), "{remarks:?}");
    let unmatched = of(RemarkKind::RuleWithoutMatch);
    assert!(unmatched.contains("'*.gone'") && unmatched.contains("'!w'") && !unmatched.contains("*.o"), "{remarks:?}");
}

#[test]
fn what_leaves_only_directories_of_a_source_is_said() {
    let (_folder, root) =
        tree(&["a/.rules", "a/x", "a/in/deep/y", "b/S/o/z", "b/c.log", "c/in/CACHEDIR.TAG", "c/in/x", "beside"]);
    fs::write(root.join("a/.rules"), "*\n!*/\n").unwrap();
    fs::write(root.join("c/in/CACHEDIR.TAG"), crate::source::filter::CACHEDIR_TAG).unwrap();
    let excludes = || Excludes { cache_dirs: true, per_directory: vec![".rules".into()], ..patterns(&["*.log", "z"]) };
    let said = |roots: &[PathBuf], listed: &[PathBuf]| {
        let options = FsOptions { roots: roots.to_vec(), listed: listed.to_vec(), ..FsOptions::default() };
        let source = source(FsOptions { excludes: excludes(), ..options });
        Seen::well(&source);
        let remarks = source.remarks().into_iter().filter(|remark| remark.kind == RemarkKind::SourceEmpty);
        remarks.map(|remark| remark.message.replace(root.to_str().unwrap(), "")).collect::<Vec<_>>()
    };
    let of = |name: &str, rest: &str| format!("of /{name} only directories{rest}");
    let a = of("a", " are in the snapshot: 3 names were left out by rule files of its folders");
    let b = of("b", " are in the snapshot: 2 names were left out by rule '*.log' (--exclude) and rule 'z' (--exclude)");
    let c = of("c", " and markers are in the snapshot: 1 name was left out by markers in its folders");
    let all = ["a", "b", "c"].map(|name| root.join(name));
    assert_eq!(said(&all, &[]), [a.clone(), b.clone(), c.clone()]);
    assert_eq!(said(&[], &all), [a, b.clone(), c]);
    // What holds something else is not said, nor is what lies beside.
    assert_eq!(said(std::slice::from_ref(&root), &[]), [""; 0]);
    fs::write(root.join("a/in/deep/.rules"), "!*").unwrap();
    fs::write(root.join("c/file"), "x").unwrap();
    assert_eq!(said(&all, &[]), [b]);
    // A folder of a list can be left out itself.
    let z = "/b/S/o/z of the list is not in the snapshot: it was left out by rule 'z' (--exclude)";
    // So can a folder in which listed paths lie.
    fs::create_dir_all(root.join("d/z/below")).unwrap();
    fs::write(root.join("d/x"), "x").unwrap();
    let with = "1 path of the list is not in the snapshot: the folder /d/z above was left out by rule 'z' (--exclude)";
    assert!(said(&[root.join("d")], &[root.join("d/z/below")]).contains(&with.to_string()));
    fs::remove_file(root.join("b/S/o/z")).unwrap();
    fs::create_dir(root.join("b/S/o/z")).unwrap();
    assert!(said(&[root.join("a")], &[root.join("b/S/o/z")]).contains(&z.to_string()));
}

#[test]
fn a_rule_begins_at_each_source_that_holds_the_path() {
    let (_folder, root) = tree(&["S/in/x", "S/in/deep/y", "S/in/deep/a/b", "S/in/deep/z", "S/x"]);
    let left = |roots: &[&str], rules: &[&str]| {
        let roots = roots.iter().map(|name| root.join(name)).collect();
        let source = source(FsOptions { roots, excludes: patterns(rules), ..FsOptions::default() });
        Seen::well(&source).below(&root.join("S"))
    };
    let all = ["in", "x", "in/deep", "in/x", "in/deep/a", "in/deep/y", "in/deep/z", "in/deep/a/b"];
    let without = |gone: &[&str]| all.into_iter().filter(|path| !gone.contains(path)).collect::<Vec<_>>();
    for roots in [&["S", "S/in"][..], &["S", "S/in", "S/in/deep"], &["S", "S/in/deep", "S/in"]] {
        assert_eq!(left(roots, &["./in/x", "in/deep/y"]), without(&["in/x", "in/deep/y"]), "{roots:?}");
        assert_eq!(left(roots, &["./x"]), without(&["x", "in/x"]), "{roots:?}");
        assert_eq!(left(roots, &["in/deep/*", "!deep/z", "!in/deep/a/"]), without(&["in/deep/y"]), "{roots:?}");
    }
    assert_eq!(left(&["S"], &["deep/z", "./in/deep/y"]), without(&["in/deep/y"]));
    assert_eq!(left(&["S", "S/in"], &["deep/z"]), without(&["in/deep/z"]));
}

#[test]
fn markers_leave_out_what_lies_beside_them_but_not_a_folder_that_was_named() {
    let (_folder, root) =
        tree(&["a/.nobackup", "a/x", "a/named/y", "b/CACHEDIR.TAG", "b/x", "c/.ignore", "c/x", "c/d/y"]);
    fs::write(root.join("b/CACHEDIR.TAG"), crate::source::filter::CACHEDIR_TAG).unwrap();
    fs::write(root.join("c/.ignore"), "*\n!.ignore\n").unwrap();
    let excludes = || Excludes {
        cache_dirs: true,
        if_present: vec![".nobackup".into()],
        per_directory: vec![".ignore".into()],
        ..Excludes::default()
    };
    assert_eq!(walked(&root, excludes()), ["a", "b", "c", "a/.nobackup", "b/CACHEDIR.TAG", "c/.ignore"]);
    for (name, all) in [("a", 4), ("b", 2), ("c", 4)] {
        let (left, remarks) = told(&[root.join(name)], excludes());
        assert_eq!(left.len(), all, "{name}: {left:?}");
        assert_eq!(remarks.iter().map(|r| r.0).collect::<Vec<_>>(), [RemarkKind::MarkerPassedOver], "{remarks:?}");
    }
    // What was named below a marker stays, and nothing else there.
    let (left, _) = told(&[root.clone(), root.join("a/named"), root.join("c/d")], excludes());
    let expected =
        ["a", "b", "c", "a/.nobackup", "a/named", "a/named/y", "b/CACHEDIR.TAG", "c/.ignore", "c/d", "c/d/y"];
    assert_eq!(left, expected);
    let bad = Excludes { if_present: vec!["a/b".into()], ..Excludes::default() };
    assert!(FsSource::new(FsOptions { roots: vec![root], excludes: bad, ..FsOptions::default() }).is_err());
}

#[test]
fn files_above_a_size_are_left_out_and_counted_but_not_one_that_was_named() {
    let (_folder, root) = tree(&["small", "large", "d/named"]);
    for name in ["large", "d/named"] {
        fs::write(root.join(name), [0; 101]).unwrap();
    }
    fs::write(root.join("small"), [0; 100]).unwrap();
    let excludes = Excludes { larger_than: Some(100), ..Excludes::default() };
    let (left, remarks) = told(&[root.clone(), root.join("d/named")], excludes);
    assert_eq!(left, ["d", "small", "d/named"]);
    assert!(remarks[0].1.starts_with("1 file was left out"), "{remarks:?}");
}

#[test]
fn what_has_the_no_dump_flag_is_left_out_when_asked_for() {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let (_folder, root) = tree(&["file", "dir/x", "dir/named/y", "other", "flagged/z"]);
    for name in ["file", "dir", "flagged"] {
        let file = fs::File::open(root.join(name)).unwrap();
        let set = ioctl_getflags(&file).and_then(|flags| ioctl_setflags(&file, flags | IFlags::NODUMP));
        if set.is_err() {
            return crate::lacks::lacks("flags", "the file system of temporary files has none");
        }
    }
    assert_eq!(walked(&root, Excludes::default()).len(), 8);
    let excludes = || Excludes { no_dump: true, ..Excludes::default() };
    assert_eq!(walked(&root, excludes()), ["other"]);
    let (left, _) = told(&[root.clone(), root.join("dir/named"), root.join("flagged")], excludes());
    assert_eq!(left, ["dir", "flagged", "other", "dir/named", "dir/named/y", "flagged/z"]);
}

#[test]
fn rules_of_any_bytes_match_names_of_any_bytes() {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let (_folder, root) = tree(&["café", "KEEP"]);
    for name in [b"caf\xe9", b"old\xff"] {
        fs::write(root.join(OsStr::from_bytes(name)), b"").unwrap();
    }
    fs::write(root.join(".ignore"), b"old\xff\n").unwrap();
    let rules = vec![
        Given::pattern(OsString::from_vec(b"caf\xe9".to_vec())),
        Given { place: GivenIn::Pattern("keep".into()), ignore_case: true },
    ];
    let excludes = Excludes { rules, per_directory: vec![".ignore".into()], ..Excludes::default() };
    assert_eq!(walked(&root, excludes), [".ignore", "café"]);
}

#[test]
fn sources_inside_another_are_never_lost() {
    let (_folder, root) = tree(&["x/a", "elsewhere/deep/b"]);
    std::os::unix::fs::symlink("../elsewhere", root.join("x/link")).unwrap();
    let (x, source_of) = (root.join("x"), |named: &[PathBuf], listed: &[PathBuf]| {
        source(FsOptions { roots: named.to_vec(), listed: listed.to_vec(), ..FsOptions::default() })
    });
    for inner in ["x/link", "x/link/deep", "x/link/deep/b"] {
        let source = source_of(&[x.clone(), root.join(inner)], &[]);
        let below = Seen::well(&source).below(&root);
        assert!(below.contains(&"elsewhere/deep/b".into()) && below.contains(&"x/link".into()), "{inner}: {below:?}");
        assert_eq!(source.remarks()[0].kind, RemarkKind::SourceMoved);
    }
    // A list can be long: there it is an error, and so is what is not there.
    for (inner, said) in [("x/link/deep", "link"), ("x/gone", "No such file")] {
        let errors = Seen::of(&source_of(std::slice::from_ref(&x), &[root.join(inner)])).errors;
        assert!(errors.len() == 1 && errors[0].1.contains(said), "{inner}: {errors:?}");
    }
}
