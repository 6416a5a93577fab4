//! The verdict on an event: one piece of code for ingest and processor.

mod document;
mod effort;
mod fuel;
mod matching;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::document::Document;
use self::fuel::Prices;
use self::matching::Compiled;

/// How many violations of one event are reported; the rest adds nothing for the reader.
pub const VIOLATIONS_MAX: usize = 20;
/// The longest message of a violation, in bytes: the validator's own words may quote the whole value, and an event of
/// 1 MiB that breaks 20 rules would be answered with 20 MiB, and put into a header of its dead letter.
pub const MESSAGE_BYTES_MAX: usize = 512;
/// How deep JSON may nest: serde_json's own limit, named here because producers meet it.
pub const JSON_DEPTH_MAX: usize = 128;

/// A compiled JSON Schema, or none: then any JSON is valid.
///
/// Drafts 4, 6, 7, 2019-09 and 2020-12, as the schema's `$schema` says; 2020-12 where it says nothing. References to
/// other documents are not followed: what an event is checked against must not depend on the network.
#[derive(Clone)]
pub struct Schema(Option<Arc<Compiled>>);

/// Why a text is no usable JSON Schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Not JSON.
    #[error("the schema is not JSON: {0}")]
    Json(String),
    /// JSON, but not a schema, or one with references that cannot be resolved.
    #[error("the schema is not valid at '{pointer}': {message}")]
    Schema {
        /// JSON pointer into the schema.
        pointer: String,
        /// What is wrong there.
        message: String,
    },
}

/// One broken rule of a schema (the form of RFC 9457's `errors` members).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// JSON pointer (RFC 6901) to the value that breaks the rule; empty is the whole event.
    pub pointer: String,
    /// The schema's keyword that is broken, such as `required`; `json` where the value is no JSON at all, `work` where there is too
    /// much of it for its schema.
    pub keyword: String,
    /// What is wrong, for people.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the event" } else { &self.pointer };
        write!(f, "{place}: {} ({})", self.message, self.keyword)
    }
}

/// The bytes of an event that passed its schema. [`Schema::check`] alone makes one, and the writers of queues take
/// nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidEvent<'a>(&'a [u8]);

impl<'a> ValidEvent<'a> {
    /// The event's JSON, byte for byte as it came.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl Schema {
    /// The schema that accepts any JSON.
    #[must_use]
    pub fn any() -> Self {
        Self(None)
    }

    /// Compiles a JSON Schema.
    ///
    /// # Errors
    /// [`SchemaError`] where `text` is not JSON, not a schema, refers to another document, or makes too much work of an event.
    pub fn compile(text: &str) -> Result<Self, SchemaError> {
        let value: Value = serde_json::from_str(text).map_err(|error| SchemaError::Json(error.to_string()))?;
        let refused = |pointer: String, message: String| SchemaError::Schema { pointer, message };
        // First: what is too deep for the validator is too deep for its compiler.
        let effort = effort::check(&value).map_err(|error| refused(String::new(), error.to_string()))?;
        // The library panics on some that it should refuse, such as two resources of one id, one of which has an anchor.
        let compiled = catch_unwind(AssertUnwindSafe(|| matching::compile(&value, text.len(), &effort)))
            .map_err(|_| {
                refused(String::new(), "the validator has no way to compile it: let each $id be another one".into())
            })?
            .map_err(|error| refused(error.instance_path().to_string(), error.to_string()))?;
        Ok(Self(Some(Arc::new(compiled))))
    }

    /// Compiles a JSON Schema, and says of one that does not compile all that its draft's meta-schema finds.
    ///
    /// # Errors
    /// Every [`SchemaError`], up to [`VIOLATIONS_MAX`]; at least one.
    pub fn inspect(text: &str) -> Result<Self, Vec<SchemaError>> {
        let first = match Self::compile(text) {
            Ok(schema) => return Ok(schema),
            Err(error) => error,
        };
        let Ok(value) = serde_json::from_str::<Value>(text) else { return Err(vec![first]) };
        if effort::is_too_large(&value) {
            return Err(vec![first]);
        }
        // A meta-schema of the author's own is not fetched; then what stopped the compilation is all there is to say.
        let Ok(meta) = jsonschema::meta::validator_for(&value) else { return Err(vec![first]) };
        let mut all = Vec::new();
        for error in meta.iter_errors(&value) {
            let error = SchemaError::Schema {
                pointer: error.instance_path().to_string(),
                message: shortened(error.to_string()),
            };
            // Each vocabulary of a draft says it once more of what is no schema at all.
            if !all.contains(&error) {
                all.push(error);
            }
            if all.len() == VIOLATIONS_MAX {
                break;
            }
        }
        // A schema may keep to its meta-schema and not compile: a reference that leads nowhere, a pattern that is none.
        if all.is_empty() { Err(vec![first]) } else { Err(all) }
    }

    /// The verdict on `bytes`.
    ///
    /// # Errors
    /// All violations, up to [`VIOLATIONS_MAX`]; one with the keyword `json` where `bytes` are no JSON text, or `work` where checking
    /// them could take too long.
    pub fn check<'a>(&self, bytes: &'a [u8]) -> Result<ValidEvent<'a>, Vec<Violation>> {
        let document = Document::parse(bytes).map_err(|error| {
            vec![Violation {
                pointer: String::new(),
                keyword: "json".to_owned(),
                message: format!("not JSON: {error}"),
            }]
        })?;
        let Some(schema) = &self.0 else { return Ok(ValidEvent(bytes)) };
        match document.look(fuel::VERDICT, schema.verdict, |event| schema.validator.is_valid(event)) {
            Some(true) => Ok(ValidEvent(bytes)),
            Some(false) => Err(violations(schema, &document)),
            None => Err(vec![too_much_work(
                "it has so many values, or its schema asks so much of them, that it is not checked to the end",
            )]),
        }
    }
}

fn violations(schema: &Compiled, document: &Document<'_>) -> Vec<Violation> {
    let all = |event| {
        let errors = schema.validator.iter_errors(event).take(VIOLATIONS_MAX);
        let violation = |error: jsonschema::ValidationError<'_>| Violation {
            pointer: error.instance_path().to_string(),
            keyword: error.kind().keyword().to_owned(),
            message: shortened(error.to_string()),
        };
        errors.map(violation).collect()
    };
    // All reasons are made before the first is told, and each has its path.
    let path = document.longest_path().div_ceil(fuel::COPIED_BYTES) as u64;
    let prices = Prices { copy: schema.reasons.copy + path, ..schema.reasons };
    document
        .look(fuel::REASONS, prices, all)
        .unwrap_or_else(|| vec![too_much_work("it is not valid, and there are too many reasons to name them")])
}

fn too_much_work(message: &str) -> Violation {
    Violation { pointer: String::new(), keyword: "work".to_owned(), message: message.to_owned() }
}

/// A message of at most [`MESSAGE_BYTES_MAX`]: its middle is left out, since the value comes first and the rule last.
fn shortened(message: String) -> String {
    const GAP: &str = " … ";
    if message.len() <= MESSAGE_BYTES_MAX {
        return message;
    }
    let half = (MESSAGE_BYTES_MAX - GAP.len()) / 2;
    let head = message.floor_char_boundary(half);
    let tail = message.ceil_char_boundary(message.len() - half);
    format!("{}{GAP}{}", &message[..head], &message[tail..])
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Schema" } else { "Schema(any)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUSTOMER: &str = r#"{"type":"object","required":["name"],"properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":18}}}"#;

    #[test]
    fn a_valid_event_keeps_its_bytes() {
        let bytes = br#"{ "name" : "Ada" }"#;
        assert_eq!(Schema::compile(CUSTOMER).unwrap().check(bytes).unwrap().bytes(), bytes);
    }

    #[test]
    fn every_violation_names_pointer_and_keyword() {
        let found = Schema::compile(CUSTOMER).unwrap().check(br#"{"age":3}"#).unwrap_err();
        let mut places: Vec<_> = found.iter().map(|v| (v.pointer.as_str(), v.keyword.as_str())).collect();
        places.sort_unstable();
        assert_eq!(places, [("", "required"), ("/age", "minimum")]);
    }

    #[test]
    fn a_message_that_quotes_a_large_value_is_shortened_in_the_middle() {
        let event = format!(r#"{{"name":["{}"]}}"#, "ä".repeat(100_000));
        let found = Schema::compile(CUSTOMER).unwrap().check(event.as_bytes()).unwrap_err();
        let message = &found[0].message;
        assert!(message.len() <= MESSAGE_BYTES_MAX, "{} bytes", message.len());
        assert!(message.starts_with(r#"["ää"#) && message.ends_with(r#"is not of type "string""#), "{message}");
    }

    #[test]
    fn without_a_schema_any_json_passes_and_nothing_else() {
        assert!(Schema::any().check(b"3").is_ok());
        for bytes in [&b"{"[..], b"", b"\xff\xfe", b"{\"a\":\"\xc3\"}", b"1 2"] {
            assert_eq!(Schema::any().check(bytes).unwrap_err()[0].keyword, "json");
        }
        let deep = format!("{}{}", "[".repeat(JSON_DEPTH_MAX + 1), "]".repeat(JSON_DEPTH_MAX + 1));
        assert!(Schema::any().check(deep.as_bytes()).is_err());
    }

    #[test]
    fn all_faults_of_a_schema_are_found_at_once() {
        let text = r#"{"type":"strin","properties":{"a":{"minimum":"x"},"b":3},"required":"a"}"#;
        let found = Schema::inspect(text).err().unwrap();
        let mut places: Vec<_> = found
            .iter()
            .map(|error| match error {
                SchemaError::Schema { pointer, .. } => pointer.as_str(),
                SchemaError::Json(_) => "json",
            })
            .collect();
        places.sort_unstable();
        assert_eq!(places, ["/properties/a/minimum", "/properties/b", "/required", "/type"]);
        for one in ["{", r##"{"$ref":"#/nowhere"}"##, r#"{"pattern":"("}"#, r#"{"$schema":"http://example.com/own"}"#] {
            assert_eq!(Schema::inspect(one).err().unwrap().len(), 1, "{one}");
        }
        assert!(Schema::inspect(CUSTOMER).is_ok());
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        assert!(matches!(Schema::compile("{"), Err(SchemaError::Json(_))));
        assert!(matches!(Schema::compile(r#"{"type":"strin"}"#), Err(SchemaError::Schema { .. })));
        assert!(matches!(Schema::compile(r#"{"$ref":"http://example.com/x.json"}"#), Err(SchemaError::Schema { .. })));
    }
}
