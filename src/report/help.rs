//! The results of commands that describe the command line itself.

use super::path::Path;
use serde::Serialize;

/// A page of the manual that was written.
#[derive(Debug, Serialize)]
pub struct PageObject {
    #[serde(rename = "type")]
    pub object: &'static str,
    #[serde(flatten)]
    pub path: Path,
}

impl PageObject {
    pub fn new(path: &[u8]) -> PageObject {
        PageObject { object: "page", path: Path::new(path) }
    }
}

/// A script that completes command lines in a shell.
#[derive(Debug, Serialize)]
pub struct CompletionsObject<'a> {
    pub script: &'a str,
    pub shell: &'a str,
    #[serde(rename = "type")]
    pub object: &'static str,
}
