//! A record of a queue, read: whichever of the accepted forms its producer wrote.
//!
//! - plain JSON, with or without CloudEvents headers (Kafka protocol binding 1.0.2 §3.2, binary content mode);
//! - a structured-mode CloudEvent (§3.3): `content-type: application/cloudevents+json`;
//! - Confluent's wire format: a zero byte, the schema id as four bytes big-endian, then JSON.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::header;

/// The first byte of Confluent's wire format.
const CONFLUENT_MAGIC: u8 = 0;
/// Magic byte and schema id.
const CONFLUENT_PREFIX_BYTES: usize = 5;

/// The event in a record. Nothing of it is checked against a schema yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The event's JSON.
    pub data: Cow<'a, [u8]>,
    /// CloudEvents `id`.
    pub id: Option<Cow<'a, str>>,
    /// CloudEvents `source`.
    pub source: Option<Cow<'a, str>>,
    /// CloudEvents `type`: the event's id.
    pub event: Option<Cow<'a, str>>,
    /// CloudEvents `subject`.
    pub subject: Option<Cow<'a, str>>,
    /// W3C `traceparent`.
    pub traceparent: Option<&'a str>,
    /// W3C `tracestate`.
    pub tracestate: Option<&'a str>,
}

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No value at all: queues are not compacted, a tombstone means nothing in one.
    #[error("the record has no value")]
    NoValue,
    /// The content type promises a structured CloudEvent and the value is none.
    #[error("the value is no CloudEvent in JSON format: {0}")]
    Structured(String),
}

#[derive(Deserialize)]
struct Structured<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// Reads a record's value and headers.
///
/// # Errors
/// [`DecodeError`] where there is no value or a promised CloudEvent cannot be read.
pub fn decode<'a>(
    value: Option<&'a [u8]>,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<Decoded<'a>, DecodeError> {
    let value = value.ok_or(DecodeError::NoValue)?;
    let mut decoded = Decoded::default();
    let mut structured = false;
    for (name, bytes) in headers {
        let Ok(text) = std::str::from_utf8(bytes) else { continue };
        match name {
            header::CE_ID => decoded.id = Some(text.into()),
            header::CE_SOURCE => decoded.source = Some(text.into()),
            header::CE_TYPE => decoded.event = Some(text.into()),
            header::CE_SUBJECT => decoded.subject = Some(text.into()),
            header::TRACEPARENT => decoded.traceparent = Some(text),
            header::TRACESTATE => decoded.tracestate = Some(text),
            header::CONTENT_TYPE => structured = text.trim_start().starts_with(header::CLOUDEVENTS_JSON),
            _ => {}
        }
    }
    if structured {
        let event: Structured<'a> =
            serde_json::from_slice(value).map_err(|error| DecodeError::Structured(error.to_string()))?;
        decoded.data = event.data.map_or(&b"null"[..], |data| data.get().as_bytes()).into();
        decoded.id = Some(event.id);
        decoded.source = Some(event.source);
        decoded.event = Some(event.event);
        decoded.subject = event.subject;
    } else {
        decoded.data = unwrap_confluent(value).into();
    }
    Ok(decoded)
}

fn unwrap_confluent(value: &[u8]) -> &[u8] {
    match value {
        [CONFLUENT_MAGIC, ..] if value.len() > CONFLUENT_PREFIX_BYTES => &value[CONFLUENT_PREFIX_BYTES..],
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &'static [(&'static str, &'static str)]) -> impl Iterator<Item = (&'static str, &'static [u8])> {
        list.iter().map(|(name, value)| (*name, value.as_bytes()))
    }

    #[test]
    fn plain_json_without_headers_is_data_alone() {
        let decoded = decode(Some(b"{\"a\":1}"), headers(&[])).unwrap();
        assert_eq!((&*decoded.data, decoded.event), (&b"{\"a\":1}"[..], None));
    }

    #[test]
    fn binary_mode_reads_the_attributes() {
        let decoded =
            decode(Some(b"1"), headers(&[("ce_id", "7"), ("ce_type", "order"), ("content-type", "application/json")]))
                .unwrap();
        assert_eq!(
            (decoded.id.as_deref(), decoded.event.as_deref(), &*decoded.data),
            (Some("7"), Some("order"), &b"1"[..])
        );
    }

    #[test]
    fn structured_mode_reads_the_envelope_and_keeps_the_data_as_it_is() {
        let value = br#"{"specversion":"1.0","id":"7","source":"/s","type":"order","data":{ "a" : 1 }}"#;
        let decoded =
            decode(Some(value), headers(&[("content-type", "application/cloudevents+json; charset=utf-8")])).unwrap();
        assert_eq!((decoded.event.as_deref(), &*decoded.data), (Some("order"), &br#"{ "a" : 1 }"#[..]));
        let broken = decode(Some(b"{}"), headers(&[("content-type", "application/cloudevents+json")]));
        assert!(matches!(broken, Err(DecodeError::Structured(_))));
    }

    #[test]
    fn the_wire_format_of_confluent_is_unwrapped() {
        let decoded = decode(Some(b"\0\0\0\0\x07{}"), headers(&[])).unwrap();
        assert_eq!(&*decoded.data, b"{}");
    }

    #[test]
    fn a_record_without_value_is_an_error() {
        assert_eq!(decode(None, headers(&[])), Err(DecodeError::NoValue));
    }
}
