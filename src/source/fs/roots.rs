//! The roots of a walk, as a small tree of names with their ancestors, sorted and without duplicates.

use crate::base::limits::{MANIFEST_BYTES_MAX, MANIFEST_LIST_MAX};
use crate::base::path::{components, key_of};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Why a node is more than a directory on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Named by a person: never left out, and a link to a directory stands for that directory.
    Named,
    /// From a list: rules apply to it, and a link is a link.
    Listed,
}

/// A root, or a directory on the way to one.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub name: Box<[u8]>,
    pub root: Option<Kind>,
    /// It is, or somewhere below it is, a root that a person named.
    pub leads_to_named: bool,
    /// Sorted by name.
    pub children: Vec<u32>,
}

/// All roots of a walk.
#[derive(Debug)]
pub(super) struct Roots {
    nodes: Vec<Node>,
    /// Roots inside others that are no part of them, since those end at their file system: sorted.
    apart: Vec<Vec<u8>>,
    /// Where the single root lies when it appears in the snapshot under another path.
    pub real: Option<PathBuf>,
}

impl Roots {
    /// The tree of absolute, clean paths. More than 2^32 - 1 nodes are refused.
    pub fn new(paths: &mut Vec<(Vec<u8>, Kind)>, real: Option<PathBuf>) -> io::Result<Roots> {
        // As components, each with a zero behind: a directory is followed by what lies in it.
        paths.iter_mut().for_each(|(path, _)| path.iter_mut().for_each(|b| *b = if *b == b'/' { 0 } else { *b }));
        paths.sort_by(|a, b| a.0.cmp(&b.0).then((a.1 as u8).cmp(&(b.1 as u8))));
        paths.dedup_by(|later, first| later.0 == first.0);
        let mut nodes = vec![Node::default()];
        let mut on_the_way: Vec<u32> = vec![0];
        for (path, kind) in paths.iter_mut() {
            on_the_way.truncate(1);
            for name in path.split(|&b| b == 0).filter(|c| !c.is_empty()) {
                let above = on_the_way[on_the_way.len() - 1] as usize;
                // Sorted: what is there already is the last child.
                let last = nodes[above].children.last().copied().filter(|&c| *nodes[c as usize].name == *name);
                let node = match last {
                    Some(node) => node,
                    None => {
                        let new = u32::try_from(nodes.len()).map_err(|_| invalid("too many paths".into()))?;
                        nodes.push(Node { name: name.into(), ..Node::default() });
                        nodes[above].children.push(new);
                        new
                    }
                };
                on_the_way.push(node);
            }
            let node = &mut nodes[on_the_way[on_the_way.len() - 1] as usize];
            node.root = node.root.or(Some(*kind));
            if *kind == Kind::Named {
                on_the_way.iter().for_each(|&n| nodes[n as usize].leads_to_named = true);
            }
            path.iter_mut().for_each(|b| *b = if *b == 0 { b'/' } else { *b });
        }
        Ok(Roots { nodes, apart: Vec::new(), real })
    }

    /// A node by its number; 0 is `/`.
    pub fn node(&self, number: u32) -> &Node {
        &self.nodes[number as usize]
    }

    /// The number of a node's child of that name.
    pub fn child(&self, number: u32, name: &[u8]) -> Option<u32> {
        let children = &self.node(number).children;
        children.binary_search_by(|&c| (*self.node(c).name).cmp(name)).ok().map(|at| children[at])
    }

    /// How many roots lie below a node.
    pub fn roots_below(&self, number: u32) -> u64 {
        let (mut count, mut stack) = (0, self.node(number).children.clone());
        while let Some(number) = stack.pop() {
            let node = self.node(number);
            count += u64::from(node.root.is_some());
            stack.extend(&node.children);
        }
        count
    }

    /// The outermost roots' paths, sorted as bytes. So many that a manifest would not hold them become the deepest
    /// directory that holds them all.
    pub fn paths(&self) -> Vec<Vec<u8>> {
        let (mut found, mut bytes) = (self.apart.clone(), self.apart.iter().map(|path| path.len() + 4).sum::<usize>());
        let mut stack = vec![(0, Vec::new())];
        while let Some((number, path)) = stack.pop() {
            let node = self.node(number);
            if node.root.is_some() {
                let path = if path.is_empty() { b"/".to_vec() } else { path };
                bytes += path.len() + 4;
                found.push(path);
                if found.len() > MANIFEST_LIST_MAX || bytes > MANIFEST_BYTES_MAX / 4 {
                    return vec![self.common()];
                }
                continue;
            }
            for &child in &node.children {
                stack.push((child, [&path, &b"/"[..], &self.node(child).name].concat()));
            }
        }
        found.sort();
        found
    }

    /// Where a root lies, if it is the one that appears under another path.
    pub fn real_of(&self, number: u32) -> Option<&PathBuf> {
        // Others can only lie in it.
        let mut outermost = 0;
        while let (None, Some(&child)) = (self.node(outermost).root, self.node(outermost).children.first()) {
            outermost = child;
        }
        self.real.as_ref().filter(|_| number == outermost)
    }

    /// Finds the roots inside others but on another file system, for walks that keep to one.
    pub fn find_apart(&mut self) {
        let device = |path: &[u8]| std::fs::symlink_metadata(OsStr::from_bytes(path)).ok().map(|meta| meta.dev());
        let mut apart = Vec::new();
        // Nodes with the file system of the root that they lie in, and whether that root reaches them.
        let mut stack = vec![(0, b"/".to_vec(), None, false)];
        while let Some((number, path, within, mut reached)) = stack.pop() {
            let node = self.node(number);
            // In most roots there are no others: they need not be asked.
            if within.is_none() && node.children.is_empty() {
                continue;
            }
            let mut within = within;
            if node.root.is_some() || within.is_some() {
                let here = device(&path);
                reached &= here == within;
                if node.root.is_some() {
                    if within.is_some() && here.is_some() && !reached {
                        apart.push(path.clone());
                    }
                    (within, reached) = (here, true);
                }
            }
            for &child in &node.children {
                let name = &self.node(child).name[..];
                let below = if path == b"/" { [b"/", name].concat() } else { [&path[..], b"/", name].concat() };
                stack.push((child, below, within, reached));
            }
        }
        apart.sort();
        self.apart = apart;
    }

    /// The deepest directory that holds every root.
    fn common(&self) -> Vec<u8> {
        let (mut number, mut path) = (0, Vec::new());
        while let ([child], None) = (&self.node(number).children[..], self.node(number).root) {
            number = *child;
            path.push(b'/');
            path.extend_from_slice(&self.node(number).name);
        }
        if path.is_empty() { b"/".to_vec() } else { path }
    }
}

/// Paths that a person named inside other roots, through a link in those: they become the paths without links, since
/// the links stay links. Gives what was changed: as given, and as it is now.
pub(super) fn without_inner_links(paths: &mut [(Vec<u8>, Kind)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let roots: HashSet<Vec<u8>> = paths.iter().map(|(path, _)| path.clone()).collect();
    let mut changed = Vec::new();
    for (path, _) in paths.iter_mut().filter(|(_, kind)| *kind == Kind::Named) {
        let above: Vec<&Path> = Path::new(OsStr::from_bytes(path)).ancestors().skip(1).collect();
        let Some(outer) = above.iter().rposition(|a| roots.contains(a.as_os_str().as_bytes())) else { continue };
        let whole = Path::new(OsStr::from_bytes(path));
        let link_on_the_way = above[..outer].iter().any(|between| between.is_symlink());
        // A link to what is no directory stands for itself.
        let is_place = whole.is_dir() || !whole.is_symlink();
        let real = match (link_on_the_way || whole.is_symlink(), is_place, whole.parent(), whole.file_name()) {
            (false, ..) => continue,
            (true, true, ..) => std::fs::canonicalize(whole),
            (true, false, Some(parent), Some(name)) if link_on_the_way => {
                std::fs::canonicalize(parent).map(|parent| parent.join(name))
            }
            _ => continue,
        };
        if let Ok(real) = real {
            let real = real.into_os_string().into_vec();
            changed.push((std::mem::replace(path, real.clone()), real));
        }
    }
    changed
}

/// Absolute and clean, as it will stand in the snapshot. Links stay in it as names, but for those before a `..`,
/// which only the file system can resolve.
pub(super) fn absolute(given: &Path) -> io::Result<Vec<u8>> {
    let path = std::path::absolute(given)?;
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean = std::fs::canonicalize(&clean).map_err(|e| with_path(&clean, e))?;
                clean.pop();
            }
            _ => {}
        }
    }
    let bytes = clean.into_os_string().into_vec();
    key_of(&bytes).and_then(|_| components(&bytes)).map_err(|e| with_path(given, invalid(e.to_string())))?;
    Ok(bytes)
}

pub(super) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// An error that names its path.
pub(super) fn with_path(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The paths of a list, one a line or, with `zero`, one between zero bytes. Empty ones are passed over.
pub fn parse_list(text: &[u8], zero: bool) -> Vec<PathBuf> {
    let end = if zero { 0 } else { b'\n' };
    let path = |p: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(p));
    text.split(|&b| b == end).filter(|p| !p.is_empty()).map(path).collect()
}
