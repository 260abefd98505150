//! A new store.

use crate::store::Store;
use serde::Serialize;
use std::path::Path;

#[derive(Debug, Serialize)]
pub struct StoreObject {
    /// A key file that was made.
    pub key_file: Option<String>,
    pub location: String,
    pub store: String,
    #[serde(rename = "type")]
    pub object: &'static str,
}

impl StoreObject {
    pub fn new(store: &Store, key_file: Option<&Path>) -> StoreObject {
        StoreObject::of(store.id().to_string(), store.storage.location(), key_file)
    }

    fn of(store: String, location: String, key_file: Option<&Path>) -> StoreObject {
        let key_file = key_file.map(|path| path.to_string_lossy().into_owned());
        StoreObject { key_file, location, store, object: "store" }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn a_store_in_json() {
        let made = StoreObject::of("ab".into(), "/s".into(), None);
        assert_eq!(json(&made), r#"{"key_file":null,"location":"/s","store":"ab","type":"store"}"#);
        let made = StoreObject::of("ab".into(), "/s".into(), Some(Path::new("/k")));
        assert_eq!(json(&made), r#"{"key_file":"/k","location":"/s","store":"ab","type":"store"}"#);
    }
}
