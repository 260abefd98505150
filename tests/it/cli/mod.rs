//! The command line's contract.

mod words;
