//! The record of a valid event: its bytes as they came, its attributes as CloudEvents headers. Pure.

use std::fmt::Write as _;

use jobico_broker::Append;
use jobico_event::snapshot::EventView;
use jobico_event::{ValidEvent, header, key};
use jobico_service::trace::Carried;
use time::OffsetDateTime;
use uuid::Uuid;

/// The length of a UUID's text.
const ID_BYTES: usize = uuid::fmt::Hyphenated::LENGTH;

/// What all events of one request share.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// `ce_source`: the path that they were sent to.
    source: Vec<u8>,
    /// `ce_time`: when they were received.
    time: Vec<u8>,
    /// The trace they belong to.
    trace: Carried,
}

impl Stamp {
    /// The stamp of a request for `event` that was received at `now`.
    #[must_use]
    pub fn new(event: &EventView, now: OffsetDateTime, trace: Carried) -> Self {
        let source = format!("/events/{}/{}", event.tenant, event.event).into_bytes();
        Self { source, time: rfc3339_ms(now).into_bytes(), trace }
    }
}

/// RFC 3339 in UTC, to the millisecond.
fn rfc3339_ms(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    let (date, (hour, minute, second, ms)) = (at.date(), at.time().as_hms_milli());
    let mut text = String::with_capacity(24);
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    // Writing to a string cannot fail.
    let _ = write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z");
    text
}

/// The record of a valid event with the id `id` (CloudEvents Kafka protocol binding 1.0.2 §3.2, binary content mode).
#[must_use]
pub fn record(event: &EventView, valid: &ValidEvent<'_>, id: Uuid, stamp: &Stamp) -> Append {
    let key = event.key.as_deref().and_then(|pointer| key::record_key(pointer, valid.bytes()));
    let mut id_text = vec![0; ID_BYTES];
    id.hyphenated().encode_lower(&mut id_text);
    let mut headers = Vec::with_capacity(8);
    let mut push = |name: &str, value: Vec<u8>| headers.push((name.to_owned(), value));
    push(header::CE_SPECVERSION, header::SPECVERSION_1.to_vec());
    push(header::CE_ID, id_text);
    push(header::CE_SOURCE, stamp.source.clone());
    push(header::CE_TYPE, event.event.as_str().as_bytes().to_vec());
    push(header::CE_TIME, stamp.time.clone());
    push(header::CONTENT_TYPE, header::JSON.to_vec());
    if let Some(traceparent) = &stamp.trace.traceparent {
        push(header::TRACEPARENT, traceparent.as_bytes().to_vec());
    }
    if let Some(tracestate) = &stamp.trace.tracestate {
        push(header::TRACESTATE, tracestate.as_bytes().to_vec());
    }
    Append { topic: event.topic.clone(), key, value: Some(valid.bytes().to_vec()), headers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_to_the_millisecond() {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_007_999_999).unwrap();
        assert_eq!(rfc3339_ms(at), "2023-11-14T22:13:20.007Z");
    }
}
