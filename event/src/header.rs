//! The headers of a record.
//!
//! Attributes of an event are those of the CloudEvents Kafka protocol binding 1.0.2, binary content mode (§3.2): `ce_`
//! and the attribute's name, `content-type` without it. Jobico's own begin with `jobico-`.

/// CloudEvents version; always [`SPECVERSION_1`].
pub const CE_SPECVERSION: &str = "ce_specversion";
/// The event's id.
pub const CE_ID: &str = "ce_id";
/// Where the event comes from.
pub const CE_SOURCE: &str = "ce_source";
/// The event's type: in Jobico the event's id in the job file.
pub const CE_TYPE: &str = "ce_type";
/// When it happened, RFC 3339.
pub const CE_TIME: &str = "ce_time";
/// What it is about.
pub const CE_SUBJECT: &str = "ce_subject";
/// The extension that becomes the record's key (CloudEvents partitioning extension).
pub const CE_PARTITIONKEY: &str = "ce_partitionkey";
/// Media type of the value.
pub const CONTENT_TYPE: &str = "content-type";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// W3C trace context, vendors' part.
pub const TRACESTATE: &str = "tracestate";

/// What Jobico's own headers begin with.
pub const JOBICO: &str = "jobico-";
/// `ok` or `error`.
pub const STATUS: &str = "jobico-status";
/// The function's code, decimal; 0 is success.
pub const CODE: &str = "jobico-code";
/// The job.
pub const JOB: &str = "jobico-job";
/// `name@digest` of the function.
pub const FUNCTION: &str = "jobico-function";
/// The `ce_id` of the event that a result or dead letter comes from.
pub const EVENT: &str = "jobico-event";
/// Topic of the source record.
pub const ORIGIN_TOPIC: &str = "jobico-origin-topic";
/// Partition of the source record, decimal.
pub const ORIGIN_PARTITION: &str = "jobico-origin-partition";
/// Offset of the source record, decimal.
pub const ORIGIN_OFFSET: &str = "jobico-origin-offset";
/// How often the function was run on the event, decimal.
pub const ATTEMPTS: &str = "jobico-attempts";
/// `i/n`: which of the event's results this is, from 0.
pub const INDEX: &str = "jobico-index";
/// Where an event failed: `validate`, `function` or `output`.
pub const ERROR_STAGE: &str = "jobico-error-stage";
/// What failed, one word.
pub const ERROR_CODE: &str = "jobico-error-code";
/// What failed, a sentence.
pub const ERROR_MESSAGE: &str = "jobico-error-message";
/// Bytes of the event's value, decimal, on a dead letter that it was too large for: it stands at the event's origin alone.
pub const LEFT_BYTES: &str = "jobico-left-bytes";
/// The tenant of a record of the log topic.
pub const TENANT: &str = "jobico-tenant";
/// The level of a record of the log topic.
pub const LEVEL: &str = "jobico-level";

/// The CloudEvents version written.
pub const SPECVERSION_1: &[u8] = b"1.0";
/// The media type of JSON.
pub const JSON: &[u8] = b"application/json";
/// The media type of a structured-mode CloudEvent (CloudEvents JSON format 1.0.2 §3).
pub const CLOUDEVENTS_JSON: &str = "application/cloudevents+json";

/// The value of a header among `headers`, the last one where it is repeated.
#[must_use]
pub fn find<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>, name: &str) -> Option<&'a [u8]> {
    headers.into_iter().filter(|(header, _)| *header == name).map(|(_, value)| value).last()
}

/// Like [`find`], for a header whose value is text.
#[must_use]
pub fn find_str<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>, name: &str) -> Option<&'a str> {
    find(headers, name).and_then(|value| std::str::from_utf8(value).ok())
}
