//! The trait that a chunker implements to be measured.

use super::profile::Profile;
use rayon::ThreadPool;

/// A way of cutting, of which chunkers of any size are made. A new one is a file below `chunkers/` and a line in
/// [`super::chunkers::ALL`].
pub trait Algorithm: Sync {
    /// Its name in tables and for `--chunker`.
    fn name(&self) -> &'static str;

    /// What it is, in a few words.
    fn about(&self) -> &'static str;

    /// A chunker of this profile as its authors have it, or, with a dial, tuned. The error says what it cannot do.
    fn make(&self, profile: &Profile, dial: Option<Dial>) -> Result<Box<dyn Chunker>, String>;

    /// How many values of [`Dial::way`] there are.
    fn ways(&self) -> usize {
        1
    }
}

/// What `--match-mean` turns until the measured mean is the wanted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dial {
    /// The mean of the chunks grows with it: an average in bytes, whatever the algorithm makes of it.
    pub aim: usize,
    /// An algorithm whose masks jump cannot reach every mean by the average alone: another of its settings, 0 the usual.
    pub way: usize,
}

/// An algorithm with its parameters.
pub trait Chunker: Send + Sync {
    /// Appends the lengths of all chunks of a whole file; their sum is the file's length.
    fn cuts(&self, file: &[u8], lengths: &mut Vec<u32>);

    /// The same with all threads of the pool on this one file; `false` when it cannot, and nothing was appended.
    fn cuts_across(&self, _pool: &ThreadPool, _file: &[u8], _lengths: &mut Vec<u32>) -> bool {
        false
    }

    /// Whether it looks at the bytes: one that does not has no throughput to speak of.
    fn looks(&self) -> bool {
        true
    }

    /// Its parameters, in a few words.
    fn settings(&self) -> String;
}

/// Cuts with a function that gives the length of the first chunk of what is left.
pub(super) fn one_by_one(file: &[u8], lengths: &mut Vec<u32>, first: impl Fn(&[u8]) -> usize) {
    let mut rest = file;
    while !rest.is_empty() {
        let len = first(rest);
        lengths.push(len as u32);
        rest = &rest[len..];
    }
}
