//! Tests of patterns: where they begin, which decides, bytes and letters.

use super::*;
use proptest::prelude::*;

fn rules(lines: &[&[u8]], reading: Reading) -> Rules {
    let mut builder = RulesBuilder::default();
    lines.iter().for_each(|line| builder.add(line, reading, String::new).unwrap());
    builder.build().unwrap()
}

/// Held against `path`, of a source that is the first `source` bytes of it.
fn decides(lines: &[&[u8]], path: &[u8], source: &str) -> Option<bool> {
    let base = if source == "/" { 1 } else { source.len() + 1 };
    rules(lines, Reading::default()).decide(path, base, false, &mut Hits::default())
}

#[test]
fn a_rule_begins_where_its_form_says() {
    let cases: [(&[u8], &[u8], &str, bool); 19] = [
        (b"dev", b"/home/me/dev", "/home/me", true),
        (b"*.o", b"/home/me/a/x.o", "/home", true),
        (b"/dev", b"/dev", "/", true),
        (b"/dev", b"/home/me/dev", "/home/me", false),
        (b"/home/me/dev", b"/home/me/dev", "/home/me", true),
        (b"./dev", b"/home/me/dev", "/home/me", true),
        (b"./dev", b"/home/me/dev", "/home", false),
        (b"./dev", b"/dev", "/", true),
        (b"me/dev", b"/home/me/dev", "/home", true),
        (b"me/dev", b"/home/me/dev", "/home/me", false),
        (b"**/me/dev", b"/home/me/dev", "/home/me", true),
        (b"/home/**", b"/home/me/dev", "/home/me", true),
        (b"/home//me/./dev", b"/home/me/dev", "/", true),
        (b"/*", b"/home/me", "/home", false),
        (b"#dev", b"/#dev", "/", true),
        (b"dev  ", b"/dev", "/", true),
        (b"dev\\ ", b"/dev ", "/", true),
        (b"\\!dev", b"/!dev", "/", true),
        (b"./", b"/dev", "/", false),
    ];
    for (rule, path, source, expected) in cases {
        let said = format!("{} of {}", rule.escape_ascii(), path.escape_ascii());
        assert_eq!(decides(&[rule], path, source), expected.then_some(true), "{said}");
    }
}

#[test]
fn the_last_rule_that_matches_decides_whatever_its_form() {
    assert_eq!(decides(&[b"*.log", b"!/abs/keep.log"], b"/abs/keep.log", "/abs"), Some(false));
    assert_eq!(decides(&[b"!/abs/keep.log", b"*.log"], b"/abs/keep.log", "/abs"), Some(true));
    assert_eq!(decides(&[b"/abs/a", b"!./a", b"/abs/a"], b"/abs/a", "/abs"), Some(true));
    assert_eq!(decides(&[b"/abs/a", b"!./a"], b"/abs/a", "/abs"), Some(false));
    let list: [&[u8]; 4] = [b"/*", b"!/tmp", b"/tmp/*", b"!/tmp/h"];
    for source in ["/", "/tmp", "/tmp/h"] {
        assert_ne!(decides(&list, b"/tmp/h", source), Some(true), "{source}");
        assert_ne!(decides(&list, b"/tmp/h/deep", source), Some(true), "{source}");
    }
    assert_eq!(decides(&list, b"/tmp/other", "/"), Some(true));
    assert_eq!(decides(&list, b"/home", "/"), Some(true));
}

#[test]
fn rules_for_directories_match_nothing_else() {
    let rules = rules(&[b"a/"], Reading::default());
    assert_eq!(rules.decide(b"/a", 1, false, &mut Hits::default()), None);
    assert!(!rules.rules()[0].matched());
    assert_eq!(rules.decide(b"/a", 1, true, &mut Hits::default()), Some(true));
    assert!(rules.rules()[0].matched());
}

#[test]
fn bytes_that_are_no_text_match_themselves_alone() {
    for (rule, path, expected) in [
        (&b"caf\xe9*"[..], &b"/x/caf\xe9.txt"[..], true),
        (b"caf\xe9*", "/x/caf\u{10ffe9}.txt".as_bytes(), false),
        (b"caf\xe9*", "/x/café.txt".as_bytes(), false),
        (b"\xff", b"/\xff", true),
        (b"[\xe0-\xef]", b"/x/\xe9", true),
        (b"[\xe0-\xef]", b"/x/\xd9", false),
        (b"/a?b\xff/*.o", b"/a\xfeb\xff/x.o", true),
        (b"/a?b\xff/*.o", b"/a\xfeb\xff/x/y.o", false),
        ("\u{10ffe9}\\x".as_bytes(), "/\u{10ffe9}x".as_bytes(), true),
        (b"\xf4\x8f\xbf\xa9\xff", b"/\xf4\x8f\xbf\xa9\xff", true),
        (b"\xff\\\\xf4\\\\x8f\\\\xbf", b"/\xff\\xf4\\x8f\\xbf", true),
    ] {
        let said = format!("{} of {}", rule.escape_ascii(), path.escape_ascii());
        assert_eq!(decides(&[rule], path, "/"), expected.then_some(true), "{said}");
    }
    assert!(AnyGlob::new(b"*\xe9*", false, false).unwrap().is_match(b"caf\xe9s"));
    assert!(!AnyGlob::new(b"*\xe9*", false, false).unwrap().is_match("café".as_bytes()));
}

#[test]
fn letters_match_in_either_case_beyond_ascii_too() {
    let reading = Reading { ignore_case: true, ..Reading::default() };
    for (rule, name) in [("*.TMP", "a.tmp"), ("größe*", "GRÖßE.txt"), ("\\Ä[ab]", "äB"), ("ΣΑΣ", "σασ")] {
        let rules = rules(&[rule.as_bytes()], reading);
        let path = format!("/x/{name}");
        assert_eq!(rules.decide(path.as_bytes(), 1, false, &mut Hits::default()), Some(true), "{rule} of {name}");
    }
}

#[test]
fn what_a_rule_would_have_decided_once_is_known() {
    let rules = rules(&[b"/dev", b"src/out", b"*.log", b"!/a/keep.log"], Reading::default());
    let mut hits = Hits::default();
    for path in [&b"/a/dev"[..], b"/a/b/dev", b"/a/x.log", b"/a/keep.log", b"/src/out"] {
        rules.decide(path, 3, false, &mut hits);
    }
    let once: Vec<_> = rules.rules().iter().map(Rule::once_decided).collect();
    assert_eq!(once, [Some(&b"/a/dev"[..]), Some(b"/src/out"), None, None]);
    let matched: Vec<_> = rules.rules().iter().map(Rule::matched).collect();
    assert_eq!(matched, [false, false, true, true]);
}

#[test]
fn a_directorys_own_rules_are_those_of_git() {
    let reading = Reading { in_file: true, own_directory: true, ..Reading::default() };
    let rules = rules(&[b"# none", b"", b"/a", b"b/c", b"*.o", b"!k.o", b"[x"], reading);
    let mut hits = Hits::default();
    let mut decides = |path: &[u8]| rules.decide(path, 3, false, &mut hits);
    assert_eq!(decides(b"/d/a"), Some(true));
    assert_eq!(decides(b"/d/e/a"), None);
    assert_eq!(decides(b"/d/b/c"), Some(true));
    assert_eq!(decides(b"/d/e/x.o"), Some(true));
    assert_eq!(decides(b"/d/e/k.o"), Some(false));
    assert_eq!(decides(b"/d/[x"), Some(true));
    assert_eq!(rules.rules().len(), 5);
}

proptest! {
    /// Patterns of any bytes are refused or compiled, and one without special characters matches itself alone.
    #[test]
    fn any_bytes_are_a_pattern_or_refused(
        line in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"*?[]{}\\!#/ .-,"[..])], 0..12),
        ignore_case in any::<bool>(),
    ) {
        let mut builder = RulesBuilder::default();
        let reading = Reading { ignore_case, ..Reading::default() };
        if builder.add(&line, reading, String::new).is_ok() {
            let rules = builder.build().unwrap();
            let path = [b"/x/", &line[..]].concat();
            let decided = rules.decide(&path, 3, true, &mut Hits::default());
            let plain = line.iter().all(|b| *b > b' ' && !b"*?[]{}\\!/.,".contains(b));
            if plain && !line.is_empty() {
                prop_assert_eq!(decided, Some(true));
            }
        }
    }
}
