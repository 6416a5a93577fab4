//! What rust-rdkafka does not offer, or not fast enough: the only `unsafe` of this crate.
//!
//! - [`batch_queue`], [`partition_queue`]: many messages per call (`rd_kafka_consume_batch_queue`), with topic and offset of end-of-partition
//!   events. rust-rdkafka makes an event object, a reference count and two clock readings per message.
//! - [`sender`]: produce by topic handle and with headers built in place. rust-rdkafka looks the topic up by its name, for
//!   every record, under the client's write lock.
//! - [`group`]: whether the group metadata that travels with a transaction's offsets is that of a member.
//! - [`group_members`]: who is in a group, also of the newer group protocol (KIP-848).
//! - [`topic`]: several topics looked up with one request, for the client's own cache.
//! - [`flush`]: waits on librdkafka's condition variable; rust-rdkafka's own `flush` waits in steps of 100 ms.
//!
//! `docs/decisions/0002-librdkafka-in-batches.md` has the figures.
#![allow(
    unsafe_code,
    reason = "librdkafka's batch calls have no safe form in rust-rdkafka; each block says why it holds"
)]

use std::ffi::CStr;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::{RDKafka, RDKafkaRespErr};

use super::error::Failure;

pub(super) mod batch_queue;
pub(super) mod group;
pub(super) mod group_members;
pub(super) mod message;
pub(super) mod partition_queue;
pub(super) mod sender;
pub(super) mod topic;

/// Sends what is buffered now, without waiting for `linger.ms`, and waits until nothing is in flight, at most `wait`.
/// Whether nothing is. Delivery reports that are not served count as in flight.
pub(super) fn flush<C: ClientContext>(producer: &Client<C>, wait: Duration) -> bool {
    // SAFETY: the pointer is that of a live client, which the reference keeps alive; the call is thread-safe.
    let result = unsafe { sys::rd_kafka_flush(pointer(producer), timeout_ms(wait)) };
    result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// How many events wait to be served by `poll`: log lines, errors, rebalances. `poll` itself does not say whether it served
/// one, and without waiting it serves one at most.
pub(super) fn events_waiting<C: ClientContext>(consumer: &Client<C>) -> usize {
    // SAFETY: the client is alive; the call is thread-safe. Of a consumer it counts events alone.
    let waiting = unsafe { sys::rd_kafka_outq_len(pointer(consumer)) };
    usize::try_from(waiting).unwrap_or(0)
}

/// The end of a partition, as the last answer to a fetch said it; none before the first.
pub(super) fn known_end<C: ClientContext>(consumer: &Client<C>, topic: &str, partition: i32) -> Option<i64> {
    let topic = std::ffi::CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client and the name are alive for the call, which writes two numbers.
    let code = unsafe {
        sys::rd_kafka_get_watermark_offsets(pointer(consumer), topic.as_ptr(), partition, &raw mut low, &raw mut high)
    };
    (code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

/// Whether the broker may have a record that could not be delivered: it was sent, and no answer came.
pub(super) fn may_be_stored(record: &BorrowedMessage<'_>) -> bool {
    // SAFETY: the message is alive as long as the reference, and the call only reads it.
    let status = unsafe { sys::rd_kafka_message_status(record.ptr()) };
    status != sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}

/// Adds servers from which to learn the cluster's brokers: how many of them the client knows now.
pub(super) fn add_brokers<C: ClientContext>(client: &Client<C>, servers: &CStr) -> i32 {
    // SAFETY: the client is alive, and the string for the length of the call, which copies it; the call is thread-safe.
    unsafe { sys::rd_kafka_brokers_add(pointer(client), servers.as_ptr()) }
}

fn pointer<C: ClientContext>(client: &Client<C>) -> *mut RDKafka {
    client.native_ptr()
}

const NANOS_PER_MILLI: u128 = 1_000_000;

/// librdkafka's timeouts are `int` milliseconds, where negative ones mean for ever. Part of one is one: who waits for a
/// deadline would ask again and again without waiting in its last millisecond.
fn timeout_ms(wait: Duration) -> i32 {
    i32::try_from(wait.as_nanos().div_ceil(NANOS_PER_MILLI)).unwrap_or(i32::MAX)
}

/// Takes an error over from librdkafka; none where the call went well.
///
/// # Safety
/// `error` is null, or was returned by librdkafka and not destroyed yet.
unsafe fn failure(error: *mut sys::rd_kafka_error_t) -> Option<Failure> {
    if error.is_null() {
        return None;
    }
    // SAFETY: not null, and ours by the contract above until it is destroyed in the last line.
    unsafe {
        let failure = Failure {
            code: sys::rd_kafka_error_code(error).into(),
            message: CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned(),
            fatal: sys::rd_kafka_error_is_fatal(error) != 0,
            abortable: sys::rd_kafka_error_txn_requires_abort(error) != 0,
            retriable: sys::rd_kafka_error_is_retriable(error) != 0,
        };
        sys::rd_kafka_error_destroy(error);
        Some(failure)
    }
}
