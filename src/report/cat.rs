//! The content of files.

use super::path::{Path, base64};
use serde::Serialize;

/// A piece of a file's content.
#[derive(Debug, Serialize)]
pub struct ContentObject<'a> {
    #[serde(rename = "type")]
    pub object: &'static str,
    pub snapshot: &'a str,
    #[serde(flatten)]
    pub path: &'a Path,
    pub offset: u64,
    pub data_b64: String,
}

impl<'a> ContentObject<'a> {
    pub fn new(snapshot: &'a str, path: &'a Path, offset: u64, bytes: &[u8]) -> ContentObject<'a> {
        ContentObject { object: "content", snapshot, path, offset, data_b64: base64(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn a_piece_in_json() {
        let expected = r#"{"type":"content","snapshot":"ab","path":"/a","offset":7,"data_b64":"aGk="}"#;
        assert_eq!(json(&ContentObject::new("ab", &Path::new(b"/a"), 7, b"hi")), expected);
    }
}
