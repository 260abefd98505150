//! What rules leave out.

use super::{Seen, source};
use crate::source::filter::Excludes;
use crate::source::fs::{FsOptions, FsSource};
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
    Excludes { patterns: patterns.iter().map(|p| p.to_string()).collect(), ..Excludes::default() }
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
        walked(&root, patterns(&["*.o", "!keep.o", "/build", "target/", "log/*", "!log/1"])),
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
    let excludes = Excludes { files: vec![rules.path().into()], ..patterns(&["!b.o"]) };
    assert_eq!(walked(&root, excludes), ["b.o", "c"], "what is typed has the last word");
    let error = |excludes| FsSource::new(FsOptions { roots: vec![root.clone()], excludes, ..FsOptions::default() });
    fs::write(rules.path(), "fine\n[wrong\n").unwrap();
    let files = Excludes { files: vec![rules.path().into()], ..Excludes::default() };
    let message = error(files).unwrap_err().to_string();
    assert!(message.contains(":2: "), "{message}");
    assert!(error(patterns(&["{a"])).unwrap_err().to_string().contains("{a"));
    let missing = Excludes { files: vec![root.join("no")], ..Excludes::default() };
    assert!(error(missing).unwrap_err().to_string().contains("/no"));
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
    let typed = Excludes { patterns: vec!["c".into(), "!/a/x.log".into()], ..excludes() };
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
