//! Paths in JSON: lossy UTF-8 for people, and the exact bytes in base64 when that loses something.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// Standard base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Path {
    /// For people.
    pub path: String,
    /// Exact, when `path` is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_b64: Option<String>,
}

impl Path {
    pub fn new(bytes: &[u8]) -> Path {
        match std::str::from_utf8(bytes) {
            Ok(path) => Path { path: path.into(), path_b64: None },
            Err(_) => Path { path: String::from_utf8_lossy(bytes).into(), path_b64: Some(base64(bytes)) },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paths {
    /// For people.
    pub paths: Vec<String>,
    /// All of them, exact, when one in `paths` is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths_b64: Option<Vec<String>>,
}

impl Paths {
    pub fn new(paths: &[Vec<u8>]) -> Paths {
        let exact = paths.iter().all(|p| std::str::from_utf8(p).is_ok());
        Paths {
            paths: paths.iter().map(|p| String::from_utf8_lossy(p).into()).collect(),
            paths_b64: (!exact).then(|| paths.iter().map(|p| base64(p)).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn a_path_that_is_no_utf8_comes_exact_too() {
        assert_eq!(json(&Path::new(b"/a")), r#"{"path":"/a"}"#);
        assert_eq!(json(&Path::new(b"/a\xff")), "{\"path\":\"/a\u{fffd}\",\"path_b64\":\"L2H/\"}");
        let two = serde_json::to_value(Paths::new(&[b"/a".to_vec(), b"/\xff".to_vec()])).unwrap();
        assert_eq!(two["paths_b64"], serde_json::json!(["L2E=", "L/8="]));
    }
}
