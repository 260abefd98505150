//! What each operation gives back, as the objects of JSON; `docs/json.md` lists them. Fields are only ever added.
//! Whoever shows results to programs (the command line, one object a line) serializes these.

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
