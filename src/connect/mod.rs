//! From an address and credentials to an open store, without asking anybody.
//!
//! The command line, jobs and other programs open stores in the same way: an [`address::Address`] gives the storage, a
//! [`secret::Secret`] or a key file of this machine gives what may open it, and [`open::open`] tries them. Whoever can
//! ask a person for a passphrase does that before, and hands it over like any other credential.

pub mod address;
pub mod key_file;
pub mod open;
pub mod secret;
