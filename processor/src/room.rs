//! Room for what follows from an event: each record that is written because of it has to fit its topic. One that did not
//! would abort its batch, and all that stand in it, again and again.
//!
//! | what follows | carries on | so |
//! |---|---|---|
//! | results, log lines | the key, the event's id, its trace | an event with very long ones is refused ([`too_much_to_carry`]) |
//! | the job's next event | the output, perhaps as a JSON string, its key, the trace | `decide` refuses it where it is too large |
//! | a record in a tier, a dead letter | the whole record | their topics take twice what a queue does ([`RECORD_BYTES_MAX`]) |
//!
//! [`RECORD_BYTES_MAX`]: dead_letter::RECORD_BYTES_MAX
//!
//! Only where its topic was given a larger limit, or its producer compressed it well, can a queue hold a record that is too
//! large even so: it never waits in a tier, and its dead letter goes without what does not fit.

use jobico_broker::Record;
use jobico_event::dead_letter::{self, Cause, Stage};
use jobico_service::trace::Carried;

/// Bytes of the key, the event's id and its trace together. With the largest output by default they fit into what librdkafka
/// and Kafka take by default, 1,000,000 bytes.
pub const CARRIED_BYTES_MAX: usize = 64 << 10;
/// Bytes of the headers that are added to a record in a tier or a dead letter, at most: the cause, the event's id (both
/// clipped), where it stood, what job and function it was for.
const ADDED_BYTES_MAX: usize = 16 << 10;

/// Bytes of the job's next event and its key, which carries the trace on as well.
#[must_use]
pub fn for_next_event(output_bytes_max: usize, trace: &Carried) -> usize {
    output_bytes_max + CARRIED_BYTES_MAX - trace_bytes(trace).min(CARRIED_BYTES_MAX)
}

fn trace_bytes(trace: &Carried) -> usize {
    [&trace.traceparent, &trace.tracestate].into_iter().flatten().map(String::len).sum()
}

/// Why an event is refused whose record brings along more than results have room for.
#[must_use]
pub fn too_much_to_carry(record: &Record<'_>, id: &str, trace: &Carried) -> Option<Cause> {
    let bytes = record.key().map_or(0, <[u8]>::len) + id.len() + trace_bytes(trace);
    (bytes > CARRIED_BYTES_MAX).then(|| {
        let message = format!(
            "the record's key, the event's id and its trace have {bytes} bytes together, and results have room for \
             {CARRIED_BYTES_MAX}"
        );
        Cause { stage: Stage::Validate, code: "too_large", message: message.into() }
    })
}

/// Whether a tier, or the topic of dead letters, has room for the record and what is added to it.
#[must_use]
pub fn fits_as_it_came(record: &Record<'_>) -> bool {
    let parts = [record.key(), record.value()].into_iter().flatten().map(<[u8]>::len);
    let headers = record.headers().map(|(name, value)| name.len() + value.len());
    parts.chain(headers).sum::<usize>() <= dead_letter::RECORD_CONTENT_BYTES_MAX - ADDED_BYTES_MAX
}
