//! Remarks that a person should see after a walk, besides what could not be read and what was skipped.

use crate::base::escape;
use crate::base::pattern::Rule;

/// What kind of remark it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RemarkKind {
    /// Nothing of a source came into the snapshot, or nothing but directories since the rest was left out.
    SourceEmpty,
    /// A source stands in the snapshot under another path than the one given.
    SourceMoved,
    /// A marker or a rule file in a source itself was passed over.
    MarkerPassedOver,
    /// A rule matched nothing.
    RuleWithoutMatch,
    /// A rule would have decided otherwise when rules with a slash were held against paths in two ways.
    RuleChanged,
    /// Files were left out for their size.
    FilesTooLarge,
    /// Files whose content the system makes up were left unread.
    FilesLeftUnread,
}

impl RemarkKind {
    /// As it stands in JSON.
    pub fn word(self) -> &'static str {
        match self {
            RemarkKind::SourceEmpty => "source_empty",
            RemarkKind::SourceMoved => "source_moved",
            RemarkKind::MarkerPassedOver => "marker_passed_over",
            RemarkKind::RuleWithoutMatch => "rule_without_match",
            RemarkKind::RuleChanged => "rule_changed",
            RemarkKind::FilesTooLarge => "files_too_large",
            RemarkKind::FilesLeftUnread => "files_left_unread",
        }
    }
}

/// Something that a person should know of a source, and that is no error.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remark {
    /// What kind it is.
    pub kind: RemarkKind,
    /// What it is about: a path, or the text of a rule; empty for a count.
    pub subject: Vec<u8>,
    /// The whole of it, for people: names in it are safe for a terminal.
    pub message: String,
}

impl Remark {
    /// Whether it is about an exclude rule.
    pub fn is_of_a_rule(&self) -> bool {
        matches!(self.kind, RemarkKind::RuleWithoutMatch | RemarkKind::RuleChanged)
    }

    /// Nothing of a source came into the snapshot.
    pub fn empty(path: &[u8], left_out: bool) -> Remark {
        let why = if left_out { "everything in it was left out" } else { "the directory is empty" };
        let message = format!("nothing of {} is in the snapshot: {why}", escape::name(path));
        Remark { kind: RemarkKind::SourceEmpty, subject: path.to_vec(), message }
    }

    /// Everything but directories was left out of a source.
    pub fn only_directories(path: &[u8], markers: bool, names: u64, why: &str) -> Remark {
        let were = if names == 1 { "1 name was".to_string() } else { format!("{names} names were") };
        let what = if markers { "directories and markers" } else { "directories" };
        let message = format!("of {} only {what} are in the snapshot: {were} left out by {why}", escape::name(path));
        Remark { kind: RemarkKind::SourceEmpty, subject: path.to_vec(), message }
    }

    /// A folder of a list was left out.
    pub fn left_out(path: &[u8], why: &str) -> Remark {
        let message = format!("{} of the list is not in the snapshot: it was left out by {why}", escape::name(path));
        Remark { kind: RemarkKind::SourceEmpty, subject: path.to_vec(), message }
    }

    /// Paths of a list lie in a folder that was left out.
    pub fn left_out_with(path: &[u8], count: u64, why: &str) -> Remark {
        let paths = if count == 1 { "1 path of the list is".into() } else { format!("{count} paths of the list are") };
        let folder = escape::name(path);
        let message = format!("{paths} not in the snapshot: the folder {folder} above was left out by {why}");
        Remark { kind: RemarkKind::SourceEmpty, subject: path.to_vec(), message }
    }

    /// A source was given through a link that lies in another source.
    pub fn moved(given: &[u8], real: &[u8]) -> Remark {
        let (shown, stored) = (escape::name(given), escape::name(real));
        let message = format!("{shown} is stored as {stored}: a link leads there, and it stays a link");
        Remark { kind: RemarkKind::SourceMoved, subject: given.to_vec(), message }
    }

    /// A source holds a marker.
    pub fn marker_passed_over(path: &[u8], marker: &[u8]) -> Remark {
        let (path, marker) = (path, escape::name(marker));
        let message =
            format!("{} holds {marker} and is backed up all the same, since it was named", escape::name(path));
        Remark { kind: RemarkKind::MarkerPassedOver, subject: path.to_vec(), message }
    }

    /// A source's own rule file would leave out all of it.
    pub fn rules_pass_over(path: &[u8]) -> Remark {
        let shown = escape::name(path);
        let message = format!(
            "the rule file in {shown} leaves out everything there; it is backed up all the same, since it was named"
        );
        Remark { kind: RemarkKind::MarkerPassedOver, subject: path.to_vec(), message }
    }

    /// Files were left out for their size.
    pub fn too_large(files: u64, bytes: u64) -> Remark {
        let what = if files == 1 { "1 file was left out: it is" } else { "files were left out: they are" };
        let count = if files == 1 { String::new() } else { format!("{files} ") };
        let message = format!("{count}{what} larger than {bytes} bytes");
        Remark { kind: RemarkKind::FilesTooLarge, subject: Vec::new(), message }
    }

    /// Files whose content the system makes up were left unread.
    pub fn left_unread(files: u64) -> Remark {
        let what = if files == 1 { "1 file is".into() } else { format!("{files} files are") };
        let message = format!(
            "{what} stored without content, which the system makes up as it is read (in /proc, /sys and the like); \
             files and folders there that are named themselves are read"
        );
        Remark { kind: RemarkKind::FilesLeftUnread, subject: Vec::new(), message }
    }

    /// A rule and where it was given.
    pub fn rule(rule: &Rule) -> String {
        format!("'{}' ({})", escape::name(&rule.text), escape::text(&rule.origin))
    }

    /// What there is to say of rules. `place` is what a rule without a slash before it begins at.
    pub fn of_rules(rules: &[Rule], place: &str) -> Vec<Remark> {
        let mut remarks = Vec::new();
        for rule in rules {
            let shown = Remark::rule(rule);
            if let Some(path) = rule.once_decided() {
                let path = escape::name(path);
                let verb = if rule.takes_back { "took back" } else { "matched" };
                let plain = escape::name(rule.text.strip_prefix(b"!").unwrap_or(&rule.text));
                let message = if rule.is_absolute {
                    format!(
                        "rule {shown} begins only at /. In earlier versions it also {verb} {path}; for that, write \
                         '.{plain}'"
                    )
                } else {
                    format!(
                        "rule {shown} begins at {place}. In earlier versions it also {verb} {path}; for that, write \
                         '/{plain}'"
                    )
                };
                remarks.push(Remark { kind: RemarkKind::RuleChanged, subject: rule.text.clone(), message });
            } else if !rule.matched() {
                let hint = if rule.takes_back {
                    "; nothing inside a directory that is left out can be kept: leave out 'directory/*' instead of \
                     'directory'"
                } else {
                    ""
                };
                let message = format!("rule {shown} matched nothing{hint}");
                remarks.push(Remark { kind: RemarkKind::RuleWithoutMatch, subject: rule.text.clone(), message });
            }
        }
        remarks
    }
}
