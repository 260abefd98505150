//! Key slots.

use super::time::rfc3339;
use crate::base::id::ObjectId;
use crate::base::time::Time;
use crate::format::keyslot::SlotKind;
use crate::ops::keys::KeyInfo;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct KeyObject<'a> {
    pub created: String,
    pub current: bool,
    pub id: String,
    /// Of a passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kdf: Option<KdfObject>,
    /// `key_file` or `passphrase`.
    pub kind: &'static str,
    pub label: &'a str,
    #[serde(rename = "type")]
    pub object: &'static str,
}

/// What deriving a key costs.
#[derive(Debug, Serialize)]
pub struct KdfObject {
    pub lanes: u32,
    pub memory_kib: u32,
    pub passes: u32,
}

impl<'a> From<&'a KeyInfo> for KeyObject<'a> {
    fn from(key: &'a KeyInfo) -> KeyObject<'a> {
        let (kind, kdf) = match key.kind {
            SlotKind::KeyFile => ("key_file", None),
            SlotKind::Passphrase { memory_kib, passes, lanes } => {
                ("passphrase", Some(KdfObject { lanes, memory_kib, passes }))
            }
        };
        KeyObject {
            created: rfc3339(Time { s: key.created_s, ns: 0 }),
            current: key.current,
            id: key.id.to_string(),
            kdf,
            kind,
            label: &key.label,
            object: "key",
        }
    }
}

/// A slot that was added, removed or put in another's place.
#[derive(Debug, Serialize)]
pub struct KeyChanged {
    pub id: String,
    /// The slot that the new one replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<String>,
    #[serde(rename = "type")]
    pub object: &'static str,
}

impl KeyChanged {
    pub fn added(id: &ObjectId) -> KeyChanged {
        KeyChanged { id: id.to_string(), removed: None, object: "key_added" }
    }

    pub fn removed(id: &ObjectId) -> KeyChanged {
        KeyChanged { id: id.to_string(), removed: None, object: "key_removed" }
    }

    pub fn replaced(id: &ObjectId, removed: &ObjectId) -> KeyChanged {
        KeyChanged { id: id.to_string(), removed: Some(removed.to_string()), object: "key_replaced" }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn keys_in_json() {
        let (id, hex) = (ObjectId([0xab; 32]), "ab".repeat(32));
        let kind = SlotKind::Passphrase { memory_kib: 65536, passes: 3, lanes: 4 };
        let key = KeyInfo { id, kind, label: "me".into(), created_s: 0, current: true };
        let expected = format!(
            r#"{{"created":"1970-01-01T00:00:00Z","current":true,"id":"{hex}","kdf":{{"lanes":4,"memory_kib":65536,"passes":3}},"kind":"passphrase","label":"me","type":"key"}}"#
        );
        assert_eq!(json(&KeyObject::from(&key)), expected);
        let key = KeyInfo { kind: SlotKind::KeyFile, ..key };
        assert!(json(&KeyObject::from(&key)).ends_with(r#","kind":"key_file","label":"me","type":"key"}"#));
        assert!(!json(&KeyObject::from(&key)).contains("kdf"));
        assert_eq!(json(&KeyChanged::added(&id)), format!(r#"{{"id":"{hex}","type":"key_added"}}"#));
        assert_eq!(json(&KeyChanged::removed(&id)), format!(r#"{{"id":"{hex}","type":"key_removed"}}"#));
        let expected = format!(r#"{{"id":"{hex}","removed":"{hex}","type":"key_replaced"}}"#);
        assert_eq!(json(&KeyChanged::replaced(&id, &id)), expected);
    }
}
