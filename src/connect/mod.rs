//! From an address and credentials to an open store, without asking anybody.
//!
//! The command line, jobs and other programs open stores in the same way. An [`address::Address`] gives the storage; a
//! [`secret::Secret`] or a key file of this machine gives a credential; [`open::open`] tries the credentials. A caller
//! that can ask a person for a passphrase asks first, and passes it on like any other credential.

pub mod address;
pub mod key_file;
pub mod open;
pub mod secret;
