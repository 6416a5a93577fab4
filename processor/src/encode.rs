//! Actions as records: their headers, made in buffers that are used again for the next event.

use std::ops::Range;

use jobico_broker::{Outgoing, Record};
use jobico_event::dead_letter::Cause;
use jobico_event::function_log::Line;
use jobico_event::header;
use jobico_event::snapshot::{EventView, QueueView};
use jobico_event::{name, result::Status};
use jobico_service::trace::Carried;
use smallvec::SmallVec;

use crate::arrival::Origin;
use crate::decide::Action;
use crate::function::LogLine;
use crate::room;

/// More headers than this go to the heap.
const HEADERS_INLINE: usize = 20;
/// The event that records are written because of.
pub struct Source<'a> {
    /// Its record.
    pub record: Record<'a>,
    /// Where it first stood.
    pub origin: Origin<'a>,
    /// How often its function was run, this time among them.
    pub attempts: u32,
    /// Its `ce_id`, or one made from its coordinates.
    pub id: &'a str,
    /// The trace that it belongs to.
    pub trace: &'a Carried,
}

/// The headers of one record: names, and values in one buffer.
#[derive(Debug, Default)]
pub struct Headers {
    text: String,
    entries: Vec<(&'static str, Range<usize>)>,
}

impl Headers {
    fn begin(&mut self) {
        self.text.clear();
        self.entries.clear();
    }

    fn add_str(&mut self, name: &'static str, value: &str) {
        let start = self.text.len();
        self.text.push_str(value);
        self.entries.push((name, start..self.text.len()));
    }

    fn add_number(&mut self, name: &'static str, value: u64) {
        let start = self.text.len();
        self.text.push_str(itoa::Buffer::new().format(value));
        self.entries.push((name, start..self.text.len()));
    }

    /// Coordinates of the source record, which make an id that is the same whenever the event is done again.
    fn add_id(&mut self, source: &Source<'_>, suffix: &str) {
        let start = self.text.len();
        push_coordinates(&mut self.text, &source.origin);
        self.text.push_str(suffix);
        self.entries.push((header::CE_ID, start..self.text.len()));
    }

    fn add_origin(&mut self, origin: &Origin<'_>) {
        self.add_str(header::ORIGIN_TOPIC, origin.topic);
        self.add_number(header::ORIGIN_PARTITION, origin.partition.unsigned_abs().into());
        self.add_number(header::ORIGIN_OFFSET, origin.offset.unsigned_abs());
    }

    fn add_cause(&mut self, cause: &Cause) {
        self.add_str(header::ERROR_STAGE, cause.stage.as_str());
        self.add_str(header::ERROR_CODE, cause.code);
        self.add_str(header::ERROR_MESSAGE, clip(&cause.message, ERROR_MESSAGE_BYTES_MAX));
    }

    fn add_trace(&mut self, trace: &Carried) {
        if let Some(traceparent) = &trace.traceparent {
            self.add_str(header::TRACEPARENT, traceparent);
        }
        if let Some(tracestate) = &trace.tracestate {
            self.add_str(header::TRACESTATE, tracestate);
        }
    }

    fn slices(&self) -> SmallVec<[(&str, &[u8]); HEADERS_INLINE]> {
        self.entries.iter().map(|(name, range)| (*name, self.text[range.clone()].as_bytes())).collect()
    }
}

/// `{topic}-{partition}-{offset}`: the id of an event whose producer gave it none.
pub fn push_coordinates(text: &mut String, origin: &Origin<'_>) {
    let mut digits = itoa::Buffer::new();
    text.push_str(origin.topic);
    text.push('-');
    text.push_str(digits.format(origin.partition));
    text.push('-');
    text.push_str(digits.format(origin.offset));
}

/// Gives the record of `action` to `produce`. A wait in place has none.
///
/// # Errors
/// What `produce` gave.
pub fn action<E>(
    headers: &mut Headers,
    action: &Action<'_>,
    source: &Source<'_>,
    event: &EventView,
    pool: &str,
    produce: impl FnOnce(&Outgoing<'_>) -> Result<(), E>,
) -> Result<(), E> {
    match action {
        Action::Result { status, code, value } => {
            result_headers(headers, source, event, *status, *code);
            let key = source.record.key();
            produce(&Outgoing { topic: &event.results, key, value: *value, headers: &headers.slices() })
        }
        Action::Event { onward, data, key } => {
            headers.begin();
            headers.add_str(header::CE_SPECVERSION, "1.0");
            headers.add_id(source, ".next");
            headers.add_str(header::CE_SOURCE, &event.source);
            headers.add_str(header::CE_TYPE, onward.event.as_str());
            headers.add_str(header::CONTENT_TYPE, "application/json");
            headers.add_trace(source.trace);
            let value = Some(&**data);
            produce(&Outgoing { topic: &onward.topic, key: key.as_deref(), value, headers: &headers.slices() })
        }
        Action::DeadLetter(cause) => dead_letter(headers, cause, source, &event.dead, Some(event), produce),
        Action::Retry { tier, cause } => waiting(headers, cause, source, &name::retry(pool, *tier), produce),
        Action::WaitInPlace { .. } => Ok(()),
    }
}

fn result_headers(headers: &mut Headers, source: &Source<'_>, event: &EventView, status: Status, code: u64) {
    headers.begin();
    headers.add_str(header::CE_SPECVERSION, "1.0");
    headers.add_id(source, ".0");
    headers.add_str(header::CE_SOURCE, &event.source);
    headers.add_str(header::CE_TYPE, &event.result_type);
    headers.add_str(header::STATUS, status.as_str());
    headers.add_number(header::CODE, code);
    headers.add_str(header::JOB, event.job.as_str());
    headers.add_str(header::FUNCTION, &event.function.label);
    headers.add_str(header::EVENT, source.id);
    headers.add_origin(&source.origin);
    headers.add_number(header::ATTEMPTS, source.attempts.into());
    headers.add_str(header::INDEX, "0/1");
    headers.add_trace(source.trace);
}

/// Gives the dead letter of an event to `produce`: its bytes, key and headers as they came, and the cause. Of a record that
/// is too large for a dead letter the cause alone, and where it stands.
///
/// # Errors
/// What `produce` gave.
pub fn dead_letter<E>(
    headers: &mut Headers,
    cause: &Cause,
    source: &Source<'_>,
    topic: &str,
    event: Option<&EventView>,
    produce: impl FnOnce(&Outgoing<'_>) -> Result<(), E>,
) -> Result<(), E> {
    headers.begin();
    headers.add_cause(cause);
    headers.add_origin(&source.origin);
    headers.add_str(header::EVENT, clip(source.id, EVENT_ID_BYTES_MAX));
    headers.add_number(header::ATTEMPTS, source.attempts.into());
    if let Some(event) = event {
        headers.add_str(header::JOB, event.job.as_str());
        headers.add_str(header::FUNCTION, &event.function.label);
    }
    if room::fits_as_it_came(&source.record) {
        return as_it_came(headers, &source.record, topic, produce);
    }
    let bytes = source.record.value().map_or(0, <[u8]>::len);
    headers.add_number(header::LEFT_BYTES, u64::try_from(bytes).unwrap_or(u64::MAX));
    let key = source.record.key().filter(|key| key.len() <= room::CARRIED_BYTES_MAX);
    produce(&Outgoing { topic, key, value: None, headers: &headers.slices() })
}

/// Gives the record of an event that waits in a tier to `produce`: its bytes, key and headers as they came, beside them
/// where it first stood, how often it was run, and why it failed last.
fn waiting<E>(
    headers: &mut Headers,
    cause: &Cause,
    source: &Source<'_>,
    topic: &str,
    produce: impl FnOnce(&Outgoing<'_>) -> Result<(), E>,
) -> Result<(), E> {
    headers.begin();
    headers.add_cause(cause);
    headers.add_origin(&source.origin);
    headers.add_number(header::ATTEMPTS, source.attempts.into());
    as_it_came(headers, &source.record, topic, produce)
}

/// Gives a record of a tier to `produce` once more, as it is.
///
/// # Errors
/// What `produce` gave.
pub fn once_more<E>(
    headers: &mut Headers,
    record: &Record<'_>,
    topic: &str,
    produce: impl FnOnce(&Outgoing<'_>) -> Result<(), E>,
) -> Result<(), E> {
    headers.begin();
    as_it_came(headers, record, topic, produce)
}

/// A record with headers of ours beside its own, of which those of the same names are left out.
fn as_it_came<E>(
    headers: &Headers,
    record: &Record<'_>,
    topic: &str,
    produce: impl FnOnce(&Outgoing<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let ours = headers.slices();
    let theirs = record.headers().filter(|(name, _)| ours.iter().all(|(our, _)| our != name));
    let all: SmallVec<[(&str, &[u8]); HEADERS_INLINE]> = theirs.chain(ours.iter().copied()).collect();
    produce(&Outgoing { topic, key: record.key(), value: record.value(), headers: &all })
}

/// Bytes of a dead letter's message: twenty violations with their pointers fit.
const ERROR_MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Bytes of the event's id on a dead letter: what the recorder takes of ids.
const EVENT_ID_BYTES_MAX: usize = 8 << 10;

/// The longest start of `text` within `bytes_max` that ends at a character.
fn clip(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Gives the record of a line that a function logged to `produce`.
///
/// # Errors
/// What `produce` gave.
pub fn log_line<E>(
    index: usize,
    line: &LogLine,
    source: &Source<'_>,
    queue: &QueueView,
    event: &EventView,
    produce: impl FnOnce(&Outgoing<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let record = Line {
        tenant: queue.tenant.clone(),
        job: event.job.clone(),
        function: event.function.label.clone(),
        event: source.id.to_owned(),
        level: line.level,
        message: line.message.clone(),
        line: u32::try_from(index).unwrap_or(u32::MAX),
        topic: source.origin.topic.to_owned(),
        partition: source.origin.partition,
        offset: source.origin.offset,
        at: String::new(),
    };
    let value = serde_json::to_vec(&record).expect("a line holds strings and numbers alone, which JSON can write");
    let tenant = queue.tenant.as_str().as_bytes();
    let headers = [(header::TENANT, tenant), (header::CONTENT_TYPE, header::JSON)];
    produce(&Outgoing { topic: name::LOG, key: Some(tenant), value: Some(&value), headers: &headers })
}
