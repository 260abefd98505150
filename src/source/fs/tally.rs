//! Counts what a walk finds in each root, so that a root that the rules empty is reported.

use super::directory::Directory;
use super::list::{Lister, Listing, Looked};
use super::roots::Kind;
use crate::format::tree::EntryKind;
use crate::source::Remark;
use crate::source::filter::{Cause, Filter};
use std::sync::Arc;

/// So many rules are named.
const RULES_MAX: usize = 3;

/// How many names were left out, and by what.
#[derive(Debug, Default, Clone)]
pub(super) struct LeftOut {
    names: u64,
    rules: [Option<usize>; RULES_MAX],
    /// Others than rules that were given, and whether there were more rules.
    rule_file: bool,
    marker: bool,
    size: bool,
    no_dump: bool,
    store: bool,
    more: bool,
}

impl LeftOut {
    /// Counts a name.
    pub fn add(&mut self, cause: Cause) {
        self.names += 1;
        match cause {
            Cause::Rule(rule) => self.add_rule(rule),
            Cause::RuleFile => self.rule_file = true,
            Cause::Marker => self.marker = true,
            Cause::Size => self.size = true,
            Cause::NoDump => self.no_dump = true,
            Cause::Store => self.store = true,
            Cause::Stopped => {}
        }
    }

    fn add_rule(&mut self, rule: usize) {
        match self.rules.iter_mut().find(|known| known.is_none_or(|known| known == rule)) {
            Some(place) => *place = Some(rule),
            None => self.more = true,
        }
    }

    fn append(&mut self, other: &LeftOut) {
        other.rules.iter().flatten().for_each(|&rule| self.add_rule(rule));
        self.names += other.names;
        self.rule_file |= other.rule_file;
        self.marker |= other.marker;
        self.size |= other.size;
        self.no_dump |= other.no_dump;
        self.store |= other.store;
        self.more |= other.more;
    }

    /// By what, for people.
    pub fn words(&self, filter: &Filter) -> String {
        let rules = self.rules.iter().flatten().filter_map(|&rule| filter.rules().get(rule));
        let mut words: Vec<String> = rules.map(|rule| format!("rule {}", Remark::rule(rule))).collect();
        let others = [
            (self.more, "other rules"),
            (self.rule_file, "rule files of its folders"),
            (self.marker, "markers in its folders"),
            (self.size, "their size"),
            (self.no_dump, "their no-dump flag"),
            (self.store, "belonging to the store"),
        ];
        words.extend(others.into_iter().filter(|(is, _)| *is).map(|(_, what)| what.to_string()));
        words.join(" and ")
    }
}

/// A root of which something may still come.
struct OpenRoot {
    directory: Arc<Directory>,
    kind: Kind,
    left_out: LeftOut,
    directories: u64,
    /// Something else came, or it is not known whether it does.
    others: bool,
    /// Markers came, beside which all was left out.
    markers: bool,
}

/// The roots in which the emitter is, the innermost last. All that lies in a root comes in one run.
pub(super) struct OpenRoots<'a> {
    lister: &'a Lister<'a>,
    open: Vec<OpenRoot>,
}

impl<'a> OpenRoots<'a> {
    pub fn new(lister: &'a Lister<'a>) -> OpenRoots<'a> {
        OpenRoots { lister, open: Vec::new() }
    }

    /// What is known of one more block of a directory.
    pub fn add(&mut self, listing: &Listing, first: bool, found: &[Looked]) {
        let directory = &listing.directory;
        self.close_before(Some(directory.prefix()));
        if first && directory.is_root() {
            let kind = directory.node.and_then(|node| self.lister.roots.node(node).root);
            let new = |kind| OpenRoot {
                directory: directory.clone(),
                kind,
                left_out: LeftOut::default(),
                directories: 0,
                others: false,
                markers: false,
            };
            self.open.extend(kind.map(new));
        }
        let Some(root) = self.open.last_mut() else { return };
        if first {
            root.left_out.append(&listing.left_out);
            root.others |= !listing.errors.lock().is_empty() || listing.broken.lock().is_some();
        }
        for looked in found {
            match looked {
                Looked::Nothing(cause) => root.left_out.add(*cause),
                Looked::Skipped(_) => root.left_out.add(Cause::Store),
                Looked::Entry { meta, .. } | Looked::Elsewhere { meta, .. } if meta.kind == EntryKind::Directory => {
                    root.directories += 1;
                }
                Looked::Mount(..) | Looked::Covered(..) => root.directories += 1,
                _ if listing.left_out.marker => root.markers = true,
                _ => root.others = true,
            }
        }
    }

    /// Something is said of it anyway.
    pub fn holds_something(&mut self) {
        if let Some(root) = self.open.last_mut() {
            root.others = true;
        }
    }

    /// Ends the roots in which nothing that comes lies: what comes begins with `prefix`; without one nothing comes.
    pub fn close_before(&mut self, prefix: Option<&[u8]>) {
        let ended = |root: &OpenRoot| prefix.is_none_or(|prefix| !prefix.starts_with(root.directory.prefix()));
        while let Some(root) = self.open.pop_if(|root| ended(root)) {
            let OpenRoot { directory, kind, left_out, directories, others, markers } = root;
            if others {
                self.holds_something();
                continue;
            }
            if directories == 0 && !markers && (kind == Kind::Named || left_out.names > 0) {
                self.lister.remark(Remark::empty(&directory.path(), left_out.names > 0));
            } else if left_out.names > 0 {
                let why = left_out.words(self.lister.filter);
                self.lister.remark(Remark::only_directories(&directory.path(), markers, left_out.names, &why));
            }
        }
    }
}
