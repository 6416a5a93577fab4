//! The records of both topics, read and taken in.

use serde::Deserialize;

use super::Catalog;
use crate::catalog::Document;
use crate::name;
use crate::schema::Schema;

/// A record that is not what its topic holds. It is passed over: one bad record must not stop a service.
#[derive(Debug, thiserror::Error)]
#[error("the record '{key}' of {topic} is passed over: {reason}")]
pub struct Unreadable {
    /// The topic.
    pub topic: &'static str,
    /// The record's key.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

#[derive(Deserialize)]
struct SchemaKey {
    keytype: String,
    #[serde(default)]
    subject: Option<String>,
}

#[derive(Deserialize)]
struct SchemaValue {
    id: u32,
    schema: String,
    #[serde(default, rename = "schemaType")]
    schema_type: Option<String>,
}

impl Catalog {
    /// Takes in a record of [`name::SCHEMAS`].
    ///
    /// # Errors
    /// [`Unreadable`] where the record is not of the Schema Registry's format, or its schema does not compile.
    pub fn apply_schema(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Unreadable> {
        let unreadable = |reason: String| Unreadable {
            topic: name::SCHEMAS,
            key: String::from_utf8_lossy(key).into_owned(),
            reason,
        };
        let parsed: SchemaKey = serde_json::from_slice(key).map_err(|error| unreadable(error.to_string()))?;
        let (Some(value), "SCHEMA") = (value, parsed.keytype.as_str()) else { return Ok(()) };
        if parsed.subject.is_some_and(|subject| subject.starts_with(name::SUBJECT_CONTEXT)) {
            return Ok(());
        }
        let schema: SchemaValue = serde_json::from_slice(value).map_err(|error| unreadable(error.to_string()))?;
        if schema.schema_type.as_deref() != Some("JSON") || self.schemas.contains_key(&schema.id) {
            return Ok(());
        }
        let compiled = Schema::compile(&schema.schema).map_err(|error| unreadable(error.to_string()))?;
        self.schemas.insert(schema.id, compiled);
        Ok(())
    }

    /// Takes in a record of [`name::CATALOG`].
    ///
    /// # Errors
    /// [`Unreadable`] where the value is no document of the catalog.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Unreadable> {
        let unreadable = |reason: String| Unreadable {
            topic: name::CATALOG,
            key: String::from_utf8_lossy(key).into_owned(),
            reason,
        };
        let key_text = std::str::from_utf8(key).map_err(|error| unreadable(error.to_string()))?;
        let Some(value) = value else {
            self.remove(key_text);
            return Ok(());
        };
        let document: Document = serde_json::from_slice(value).map_err(|error| unreadable(error.to_string()))?;
        self.insert(document);
        Ok(())
    }
}
