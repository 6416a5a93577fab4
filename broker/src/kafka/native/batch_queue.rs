//! A queue to which the partitions of a consumer are forwarded, and which gives many messages per call.

use std::ffi::CString;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::consumer::ConsumerContext;

use super::message::Message;

/// Where the messages of a consumer's partitions arrive. It must be dropped before its consumer.
pub(in crate::kafka) struct BatchQueue(NonNull<sys::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues are locked inside; any thread may use them.
unsafe impl Send for BatchQueue {}
// SAFETY: as above.
unsafe impl Sync for BatchQueue {}

impl BatchQueue {
    /// A new queue; none where librdkafka has no memory for it.
    pub(in crate::kafka) fn new<C: ConsumerContext>(client: &Client<C>) -> Option<Self> {
        // SAFETY: the client is alive.
        NonNull::new(unsafe { sys::rd_kafka_queue_new(super::pointer(client)) }).map(Self)
    }

    /// Forwards a partition to this queue, to be called before it is assigned: what was fetched earlier stays where it
    /// was. librdkafka keeps the forwarding when it assigns (`RD_KAFKA_Q_F_FWD_APP`).
    pub(in crate::kafka) fn attach<C: ConsumerContext>(&self, client: &Client<C>, topic: &str, partition: i32) -> bool {
        let Ok(topic) = CString::new(topic) else { return false };
        // SAFETY: the client and both queues are alive for the calls; the handle to the partition's queue is destroyed
        // once, here; the forwarding itself holds a reference of its own.
        unsafe {
            let source = sys::rd_kafka_queue_get_partition(super::pointer(client), topic.as_ptr(), partition);
            if source.is_null() {
                return false;
            }
            sys::rd_kafka_queue_forward(source, self.0.as_ptr());
            sys::rd_kafka_queue_destroy(source);
        }
        true
    }

    /// Takes at most `max` messages, waiting at most `wait` until there are that many: to wait for the first only, ask for
    /// one, then for the rest without waiting.
    pub(in crate::kafka) fn take(&self, messages: &mut Vec<Message>, max: usize, wait: Duration) {
        messages.reserve(max);
        let spare = messages.spare_capacity_mut();
        // SAFETY: `Message` is a transparent non-null pointer, so the spare capacity has the layout of an array of
        // pointers with room for `max` of them; librdkafka writes `taken` valid ones, each of which we own from then on.
        unsafe {
            let taken = sys::rd_kafka_consume_batch_queue(
                self.0.as_ptr(),
                super::timeout_ms(wait),
                spare.as_mut_ptr().cast(),
                max,
            );
            let taken = usize::try_from(taken).unwrap_or(0);
            messages.set_len(messages.len() + taken);
        }
    }
}

impl Drop for BatchQueue {
    fn drop(&mut self) {
        // SAFETY: it is ours, and destroyed once.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}
