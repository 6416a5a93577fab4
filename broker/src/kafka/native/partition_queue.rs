//! The queue of one partition, which gives many messages per call and rings a bell when it is no longer empty.
//!
//! Each partition keeps a queue of its own, so that one with a long backlog does not stand before the others, and one that
//! is held back is simply not asked.

use std::ffi::{CString, c_void};
use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::consumer::ConsumerContext;
use rdkafka::types::RDKafka;

use super::message::Message;

/// Where the messages of a partition arrive. It must be dropped before its consumer.
pub(in crate::kafka) struct PartitionQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// librdkafka has its address until the queue is dropped.
    _bell: Box<Bell>,
}

/// Tells which queue is no longer empty.
struct Bell {
    number: u64,
    bells: Arc<Bells>,
}

/// What rang since it was asked last. A queue rings once when it is no longer empty, so this holds no more entries than
/// there are queues, times the gathers that were missed.
#[derive(Default)]
pub(in crate::kafka) struct Bells {
    rung: Mutex<Vec<u64>>,
    ring: Condvar,
}

// SAFETY: librdkafka's queues are locked inside; any thread may use them.
unsafe impl Send for PartitionQueue {}
// SAFETY: as above.
unsafe impl Sync for PartitionQueue {}

impl Bells {
    /// Moves the numbers of the queues that rang into `numbers`.
    pub(in crate::kafka) fn take(&self, numbers: &mut Vec<u64>) {
        numbers.append(&mut self.rung.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until one rings, at most `wait`.
    pub(in crate::kafka) fn wait(&self, wait: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.ring.wait_timeout_while(rung, wait, |rung| rung.is_empty()));
    }

    fn ring(&self, number: u64) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).push(number);
        self.ring.notify_one();
    }
}

/// librdkafka calls it, in any thread and with the queue locked, when the queue is no longer empty.
unsafe extern "C" fn ring(_: *mut RDKafka, bell: *mut c_void) {
    // SAFETY: it is the address given in `PartitionQueue::new`, and taken back before the bell is dropped.
    let bell = unsafe { &*bell.cast::<Bell>() };
    bell.bells.ring(bell.number);
}

impl PartitionQueue {
    /// Takes a partition's queue out of its consumer's, to be called before it is assigned: what was fetched earlier stays
    /// where it was. librdkafka leaves it out when it assigns (`RD_KAFKA_Q_F_FWD_APP`). It rings with `number`.
    pub(in crate::kafka) fn new<C: ConsumerContext>(
        client: &Client<C>,
        topic: &str,
        partition: i32,
        number: u64,
        bells: Arc<Bells>,
    ) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let bell = Box::new(Bell { number, bells });
        // SAFETY: the client is alive. The handle is ours until it is destroyed, in `drop`, where the callback is taken back
        // first: the bell, which is boxed and does not move, is alive as long as it is set.
        unsafe {
            let queue = sys::rd_kafka_queue_get_partition(super::pointer(client), topic.as_ptr(), partition);
            let queue = NonNull::new(queue)?;
            sys::rd_kafka_queue_forward(queue.as_ptr(), std::ptr::null_mut());
            let address: *const Bell = &raw const *bell;
            sys::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(ring), address.cast_mut().cast());
            Some(Self { queue, _bell: bell })
        }
    }

    /// Takes at most `max` messages of those that are there.
    pub(in crate::kafka) fn take(&self, messages: &mut Vec<Message>, max: usize) {
        messages.reserve(max);
        let spare = messages.spare_capacity_mut();
        // SAFETY: `Message` is a transparent non-null pointer, so the spare capacity has the layout of an array of
        // pointers with room for `max` of them; librdkafka writes `taken` valid ones, each of which we own from then on.
        unsafe {
            let taken = sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, spare.as_mut_ptr().cast(), max);
            let taken = usize::try_from(taken).unwrap_or(0);
            messages.set_len(messages.len() + taken);
        }
    }

    /// Whether nothing is there. It rings when that changes.
    pub(in crate::kafka) fn is_empty(&self) -> bool {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_length(self.queue.as_ptr()) == 0 }
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: it is ours, and destroyed once. The callback is replaced under the queue's lock, under which it is called
        // as well, so it has returned for the last time when the bell goes.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, std::ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}
