//! The result of each operation as JSON objects; `docs/json.md` lists them. Fields are only ever added.
//!
//! Whatever shows results to programs serializes these types. The command line prints one object a line.

pub mod path;
pub mod time;
pub mod entry;
pub mod stage;
pub mod problem;
pub mod said;
pub mod backup;
pub mod restore;
pub mod check;
pub mod diff;
pub mod cat;
pub mod snapshots;
pub mod stats;
pub mod keys;
pub mod repair;
pub mod init;
pub mod help;

#[cfg(test)]
fn json(object: &impl serde::Serialize) -> String {
    serde_json::to_string(object).unwrap()
}
