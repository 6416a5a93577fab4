//! Records of `_schemas`, in the format of Confluent's Schema Registry, so that a registry's topic can be taken over, and
//! given back.
//!
//! The order of members matters in a key: the topic is compacted by the key's bytes, and a registry that wrote
//! `{"keytype":"SCHEMA","subject":…,"version":…,"magic":1}` finds its own record again only under these.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The `magic` of schema keys; all other keys have 0.
const MAGIC_SCHEMA: u8 = 1;

/// A key of `_schemas`, as far as it means something here.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "keytype", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Key {
    /// A version of a subject.
    Schema {
        /// The subject.
        subject: String,
        /// The version, from 1.
        version: u32,
    },
    /// The versions of a subject up to one are (softly) deleted.
    DeleteSubject {
        /// The subject.
        subject: String,
    },
    /// A compatibility level; without a subject the global one.
    Config {
        /// The subject.
        #[serde(default)]
        subject: Option<String>,
    },
    /// What a registry writes to find the topic's end.
    Noop,
    /// Modes, contexts and what later registries add: nothing that Jobico heeds.
    #[serde(other)]
    Other,
}

/// The value of a schema key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// The subject.
    pub subject: String,
    /// The version, from 1.
    pub version: u32,
    /// The schema's id.
    pub id: u32,
    /// `JSON`, `PROTOBUF`; none = `AVRO`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_type: Option<String>,
    /// Other subjects' schemas that this one refers to; Jobico writes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<Value>,
    /// Tags and rules of Confluent's data contracts; Jobico writes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// See [`Version::metadata`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_set: Option<Value>,
    /// The schema's text.
    pub schema: String,
    /// Whether it is (softly) deleted.
    #[serde(default)]
    pub deleted: bool,
}

/// The value of a [`Key::DeleteSubject`].
#[derive(Debug, Deserialize)]
pub struct DeleteSubject {
    /// The last version that is deleted.
    pub version: u32,
}

/// The value of a [`Key::Config`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Level {
    /// Such as `BACKWARD`.
    #[serde(default)]
    pub compatibility_level: Option<String>,
}

/// The bytes of a schema key.
#[must_use]
pub fn schema_key(subject: &str, version: u32) -> Vec<u8> {
    #[derive(Serialize)]
    struct SchemaKey<'a> {
        keytype: &'static str,
        subject: &'a str,
        version: u32,
        magic: u8,
    }
    let key = SchemaKey { keytype: "SCHEMA", subject, version, magic: MAGIC_SCHEMA };
    serde_json::to_vec(&key).expect("a key holds strings and numbers alone, which JSON can write")
}

impl Version {
    /// The record's value.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("what was parsed from JSON, strings and numbers can be written as JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_byte_for_byte_those_of_confluent() {
        assert_eq!(
            String::from_utf8(schema_key("t.customer.json", 2)).unwrap(),
            r#"{"keytype":"SCHEMA","subject":"t.customer.json","version":2,"magic":1}"#
        );
        let text = r#"{"subject":"s","version":1,"id":7,"schemaType":"JSON","schema":"{\"type\":\"object\"}","deleted":false}"#;
        let version: Version = serde_json::from_str(text).unwrap();
        assert_eq!(String::from_utf8(version.to_json()).unwrap(), text);
    }

    #[test]
    fn keys_of_other_kinds_are_understood() {
        let key = |text: &str| serde_json::from_str::<Key>(text).unwrap();
        assert_eq!(key(r#"{"keytype":"NOOP","magic":0}"#), Key::Noop);
        assert_eq!(key(r#"{"keytype":"CONFIG","subject":null,"magic":0}"#), Key::Config { subject: None });
        assert_eq!(
            key(r#"{"keytype":"DELETE_SUBJECT","subject":"s","magic":0}"#),
            Key::DeleteSubject { subject: "s".into() }
        );
        for other in [r#"{"keytype":"MODE","subject":null,"magic":0}"#, r#"{"keytype":"CLEAR_SUBJECT","subject":"s"}"#]
        {
            assert_eq!(key(other), Key::Other);
        }
    }
}
