//! Notes, warnings, and the error that ends a run.

use serde::Serialize;

/// `{"note":…}` or `{"warning":…}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Said<'a> {
    Note(&'a str),
    Warning(&'a str),
}

#[derive(Debug, Serialize)]
pub struct ErrorObject<'a> {
    /// The exit code.
    pub code: u8,
    pub error: &'a str,
    /// What one can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn what_is_said_in_json() {
        assert_eq!(json(&Said::Note("a \"b\"")), r#"{"note":"a \"b\""}"#);
        assert_eq!(json(&Said::Warning("a")), r#"{"warning":"a"}"#);
        let error = ErrorObject { code: 10, error: "no store", hint: None };
        assert_eq!(json(&error), r#"{"code":10,"error":"no store"}"#);
        let error = ErrorObject { hint: Some("make one"), ..error };
        assert_eq!(json(&error), r#"{"code":10,"error":"no store","hint":"make one"}"#);
    }
}
