//! Problems with single paths, during an operation or at its end.

use super::path::Path;
use crate::monitor::Problem;
use serde::Serialize;

/// A path, and what happened to it.
#[derive(Debug, Serialize)]
pub struct ProblemObject<'a> {
    /// `problem` or `skipped`.
    #[serde(rename = "type")]
    pub object: &'static str,
    #[serde(flatten)]
    pub path: Path,
    pub message: &'a str,
}

impl<'a> ProblemObject<'a> {
    pub fn problem(problem: &'a Problem) -> ProblemObject<'a> {
        ProblemObject { object: "problem", path: Path::new(&problem.path), message: &problem.message }
    }

    /// Left out, and why.
    pub fn skipped(skipped: &'a Problem) -> ProblemObject<'a> {
        ProblemObject { object: "skipped", ..ProblemObject::problem(skipped) }
    }
}

/// A path of which the type says all.
#[derive(Debug, Serialize)]
pub struct PathObject {
    /// `changed` or `deleted`.
    #[serde(rename = "type")]
    pub object: &'static str,
    #[serde(flatten)]
    pub path: Path,
}

impl PathObject {
    /// A file that changed while it was read.
    pub fn changed(path: &[u8]) -> PathObject {
        PathObject { object: "changed", path: Path::new(path) }
    }

    /// An entry of the target that a restore removes.
    pub fn deleted(path: &[u8]) -> PathObject {
        PathObject { object: "deleted", path: Path::new(path) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn paths_in_json() {
        let problem = Problem { path: b"/a".to_vec(), message: "gone".into() };
        assert_eq!(json(&ProblemObject::problem(&problem)), r#"{"type":"problem","path":"/a","message":"gone"}"#);
        assert_eq!(json(&ProblemObject::skipped(&problem)), r#"{"type":"skipped","path":"/a","message":"gone"}"#);
        assert_eq!(json(&PathObject::changed(b"/a")), r#"{"type":"changed","path":"/a"}"#);
        assert_eq!(json(&PathObject::deleted(b"/a")), r#"{"type":"deleted","path":"/a"}"#);
    }
}
