//! The verdict on a request's body: every element an event that its schema accepts, or all that is wrong. Pure.

use std::borrow::Cow;
use std::fmt;

use jobico_event::{Schema, ValidEvent, Violation};
use serde::Serialize;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Violations in one answer. Beyond it each invalid element is still named, but with its first violation alone.
pub const ERRORS_MAX: usize = 1_000;
/// Members beside `data` that an answer names.
pub const UNKNOWN_MAX: usize = 10;

/// The keyword of an element that is too large; no keyword of JSON Schema.
pub const KEYWORD_SIZE: &str = "bytes";

/// What a request may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Elements of `data`.
    pub events_max: usize,
    /// Bytes of one element.
    pub event_bytes_max: usize,
}

/// Why a body is refused, whole. `Display` says what is wrong and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No JSON text.
    #[error("the body is not JSON: {message} at line {line}, column {column}")]
    NotJson {
        /// What was found or missing.
        message: String,
        /// The line, from 1.
        line: usize,
        /// The column, in bytes, from 1.
        column: usize,
    },
    /// JSON, but no object.
    #[error("the body must be a JSON object, {FORM}")]
    NotObject,
    /// Members that mean nothing here.
    #[error("the body has members that are not known: {}; send {FORM}", .0.join(", "))]
    Unknown(Vec<String>),
    /// No member `data`.
    #[error("the body has no member 'data'; send {FORM}")]
    NoData,
    /// `data` more than once: readers of JSON do not agree which one counts.
    #[error("the body has the member 'data' more than once")]
    Repeated,
    /// `data` is something else.
    #[error("'data' is {0}, and must be an array of events; send {FORM}")]
    NotArray(&'static str),
    /// `data` holds nothing.
    #[error("'data' is empty; send at least one event")]
    Empty,
    /// `data` holds too much.
    #[error("'data' has {found} events, {limit} are allowed in one request; send them in several")]
    TooMany {
        /// Elements in `data`.
        found: usize,
        /// Elements allowed.
        limit: usize,
    },
    /// Elements that are too large.
    #[error("{} of the events {} larger than {limit} bytes; 'errors' names each, and none was stored", .errors.len(), are(.errors.len()))]
    TooLarge {
        /// One for each of them.
        errors: Vec<Fault>,
        /// Bytes allowed.
        limit: usize,
    },
    /// Elements that the schema refuses.
    #[error("{invalid} of {of} events {} not valid; 'errors' says why, and none was stored", are(*.invalid))]
    Invalid {
        /// Every invalid element, in order.
        errors: Vec<Fault>,
        /// How many elements are invalid.
        invalid: usize,
        /// How many there are.
        of: usize,
    },
}

/// The form of a body.
const FORM: &str = r#"{"data": [event, …]}"#;

fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// What is wrong with one element: an entry of `errors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The element's place in `data`, from 0.
    pub index: usize,
    /// What is wrong with it.
    #[serde(flatten)]
    pub violation: Violation,
}

/// The events in `body`, in their order; each is the very bytes of its element.
///
/// # Errors
/// [`Refusal`]: then none of them counts.
pub fn judge<'a>(body: &'a [u8], schema: &Schema, limits: &Limits) -> Result<Vec<ValidEvent<'a>>, Refusal> {
    let elements = elements(body, limits)?;
    let oversized: Vec<Fault> = elements
        .iter()
        .enumerate()
        .filter(|(_, element)| element.get().len() > limits.event_bytes_max)
        .map(|(index, element)| Fault::oversized(index, element.get().len(), limits.event_bytes_max))
        .collect();
    if !oversized.is_empty() {
        return Err(Refusal::TooLarge { errors: oversized, limit: limits.event_bytes_max });
    }
    let mut valid = Vec::with_capacity(elements.len());
    let (mut errors, mut invalid): (Vec<Fault>, usize) = (Vec::new(), 0);
    for (index, element) in elements.iter().enumerate() {
        match schema.check(element.get().as_bytes()) {
            Ok(event) => valid.push(event),
            Err(violations) => {
                invalid += 1;
                let room = ERRORS_MAX.saturating_sub(errors.len()).max(1);
                errors.extend(violations.into_iter().take(room).map(|violation| Fault { index, violation }));
            }
        }
    }
    if invalid > 0 { Err(Refusal::Invalid { errors, invalid, of: elements.len() }) } else { Ok(valid) }
}

impl Fault {
    fn oversized(index: usize, found: usize, limit: usize) -> Self {
        Self::of_size(index, format!("the event has {found} bytes, {limit} are allowed"))
    }

    /// An element that passed its schema and that the log does not take for its size.
    pub(crate) fn larger_than_the_topic_takes(index: usize) -> Self {
        Self::of_size(index, "the event and its headers are larger than its topic takes".to_owned())
    }

    fn of_size(index: usize, message: String) -> Self {
        Self { index, violation: Violation { pointer: String::new(), keyword: KEYWORD_SIZE.to_owned(), message } }
    }
}

fn elements<'a>(body: &'a [u8], limits: &Limits) -> Result<Vec<&'a RawValue>, Refusal> {
    let text = std::str::from_utf8(body).map_err(|error| not_utf8(body, error.valid_up_to()))?;
    let envelope: Envelope<'a> = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    if !envelope.unknown.is_empty() {
        return Err(Refusal::Unknown(envelope.unknown));
    }
    if envelope.repeated {
        return Err(Refusal::Repeated);
    }
    match envelope.data {
        None => Err(Refusal::NoData),
        Some(Data::Other(found)) => Err(Refusal::NotArray(found)),
        Some(Data::Elements(elements)) if elements.is_empty() => Err(Refusal::Empty),
        Some(Data::Elements(elements)) if elements.len() > limits.events_max => {
            Err(Refusal::TooMany { found: elements.len(), limit: limits.events_max })
        }
        Some(Data::Elements(elements)) => Ok(elements),
    }
}

fn not_utf8(body: &[u8], at: usize) -> Refusal {
    let before = &body[..at];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = at - before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1) + 1;
    Refusal::NotJson { message: "the text is not UTF-8".to_owned(), line, column }
}

fn not_json(error: &serde_json::Error) -> Refusal {
    if error.is_data() {
        return Refusal::NotObject;
    }
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    let message = message.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&message).to_owned();
    Refusal::NotJson { message, line, column }
}

/// A body's members, read without building a tree: elements are slices of the body.
#[derive(Default)]
struct Envelope<'a> {
    data: Option<Data<'a>>,
    repeated: bool,
    unknown: Vec<String>,
}

enum Data<'a> {
    Elements(Vec<&'a RawValue>),
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(Name(name)) = map.next_key()? {
            if name == "data" {
                envelope.repeated |= envelope.data.is_some();
                envelope.data = Some(map.next_value_seed(ReadData)?);
            } else {
                map.next_value::<IgnoredAny>()?;
                if envelope.unknown.len() < UNKNOWN_MAX {
                    envelope.unknown.push(format!("'{}'", brief(&name)));
                }
            }
        }
        Ok(envelope)
    }
}

/// A member's name, short enough for a message.
fn brief(name: &str) -> String {
    const CHARS_MAX: usize = 64;
    match name.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(name.into()))
            }
            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(name.to_owned().into()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

struct ReadData;

impl<'de> DeserializeSeed<'de> for ReadData {
    type Value = Data<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ReadData {
    type Value = Data<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Data<'de>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(Data::Elements(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Data::Other("an object"))
    }
    fn visit_str<E>(self, _: &str) -> Result<Data<'de>, E> {
        Ok(Data::Other("a string"))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Data<'de>, E> {
        Ok(Data::Other("a boolean"))
    }
    fn visit_unit<E>(self) -> Result<Data<'de>, E> {
        Ok(Data::Other("null"))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Data<'de>, E> {
        Ok(Data::Other("a number"))
    }
    fn visit_u64<E>(self, _: u64) -> Result<Data<'de>, E> {
        Ok(Data::Other("a number"))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Data<'de>, E> {
        Ok(Data::Other("a number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { events_max: 3, event_bytes_max: 40 };
    const SCHEMA: &str = r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}"#;

    fn refusal(body: &[u8]) -> Refusal {
        judge(body, &Schema::compile(SCHEMA).unwrap(), &LIMITS).unwrap_err()
    }

    #[test]
    fn elements_are_the_bytes_that_were_sent() {
        let body = b"{ \"data\" : [ { \"n\" : 1e0,\"n\":1 } ,\n{\"n\":2,\"x\":\"\\u00e4\xc3\xa4\"}\t] }\n";
        let events = judge(body, &Schema::compile(SCHEMA).unwrap(), &LIMITS).unwrap();
        let bytes: Vec<&[u8]> = events.iter().map(ValidEvent::bytes).collect();
        assert_eq!(bytes, [&b"{ \"n\" : 1e0,\"n\":1 }"[..], b"{\"n\":2,\"x\":\"\\u00e4\xc3\xa4\"}"]);
    }

    #[test]
    fn every_invalid_element_is_named() {
        let Refusal::Invalid { errors, invalid, of } = refusal(br#"{"data":[{},{"n":1},{"n":"x"}]}"#) else { panic!() };
        let places: Vec<_> =
            errors.iter().map(|f| (f.index, f.violation.pointer.as_str(), f.violation.keyword.as_str())).collect();
        assert_eq!((places, invalid, of), (vec![(0, "", "required"), (2, "/n", "type")], 2, 3));
    }

    #[test]
    fn beyond_the_limit_of_errors_each_invalid_element_is_still_named() {
        let schema = Schema::compile(r#"{"required":["a","b","c"]}"#).unwrap();
        let body = format!(r#"{{"data":[{}]}}"#, vec!["{}"; 500].join(","));
        let Err(Refusal::Invalid { errors, invalid, .. }) =
            judge(body.as_bytes(), &schema, &Limits { events_max: 500, ..LIMITS })
        else {
            panic!()
        };
        assert_eq!((invalid, errors.last().unwrap().index), (500, 499));
        assert!(errors.len() < ERRORS_MAX + 500, "{}", errors.len());
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for (body, line, column) in [
            (&b""[..], 1, 0),
            (b"{\"data\":\n[1,}", 2, 4),
            (b"{\"data\":[1]} x", 1, 14),
            (b"{\"data\":\n[\"\xff\"]}", 2, 3),
            (b"{\"data\":[{\"a\":tru}]}", 1, 18),
        ] {
            let found = refusal(body);
            let Refusal::NotJson { line: l, column: c, .. } = found else { panic!("{found:?}") };
            assert_eq!((l, c), (line, column), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn another_form_than_data_with_an_array_is_refused_by_name() {
        assert_eq!(refusal(b"[1]"), Refusal::NotObject);
        assert_eq!(refusal(b"3"), Refusal::NotObject);
        assert_eq!(refusal(b"{}"), Refusal::NoData);
        assert_eq!(refusal(br#"{"data":[]}"#), Refusal::Empty);
        assert_eq!(refusal(br#"{"data":[1],"data":[2]}"#), Refusal::Repeated);
        assert_eq!(refusal(br#"{"x":{"y":[1]},"data":[1],"z":2}"#), Refusal::Unknown(vec!["'x'".into(), "'z'".into()]));
        for (data, name) in [
            (r#"{"a":{}}"#, "an object"),
            ("\"x\"", "a string"),
            ("null", "null"),
            ("true", "a boolean"),
            ("-1", "a number"),
            ("1.5", "a number"),
        ] {
            assert_eq!(refusal(format!(r#"{{"data":{data}}}"#).as_bytes()), Refusal::NotArray(name));
        }
    }

    #[test]
    fn limits_are_named() {
        assert_eq!(refusal(br#"{"data":[1,2,3,4]}"#), Refusal::TooMany { found: 4, limit: 3 });
        let large = format!(r#"{{"data":[1,"{}"]}}"#, "x".repeat(40));
        let Refusal::TooLarge { errors, limit: 40 } = refusal(large.as_bytes()) else { panic!() };
        assert_eq!((errors.len(), errors[0].index), (1, 1));
    }

    #[test]
    fn an_element_nested_too_deep_is_an_invalid_element() {
        let depth = jobico_event::schema::JSON_DEPTH_MAX + 1;
        let body = format!(r#"{{"data":[{}{}]}}"#, "[".repeat(depth), "]".repeat(depth));
        let limits = Limits { event_bytes_max: 1_000, ..LIMITS };
        let Err(Refusal::Invalid { errors, .. }) = judge(body.as_bytes(), &Schema::any(), &limits) else { panic!() };
        assert_eq!((errors[0].index, errors[0].violation.keyword.as_str()), (0, "json"));
        assert!(errors[0].violation.message.contains("recursion limit"), "{}", errors[0].violation.message);
    }

    #[test]
    fn a_million_brackets_are_refused_without_harm() {
        let body = format!(r#"{{"data":{}"#, "[".repeat(1_000_000));
        assert!(matches!(refusal(body.as_bytes()), Refusal::NotJson { .. }));
    }
}
