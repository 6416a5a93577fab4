//! Sends offsets with a transaction, as a member of the group and not otherwise (KIP-447).
//!
//! A broker checks member and generation of a transaction's offsets, unless both are absent: then it takes the offsets
//! from anyone, for clients older than KIP-447. librdkafka resets both when the group threw the member out, and would
//! send such offsets, over the head of whoever has the partitions now. Hence the look at the metadata first, which
//! rust-rdkafka does not give.

use std::ffi::CStr;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::ProducerContext;

use super::super::error::Failure;

struct Membership(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

impl Membership {
    fn of<C: ConsumerContext>(consumer: &Client<C>) -> Option<Self> {
        // SAFETY: the client is alive; what is returned is ours.
        NonNull::new(unsafe { sys::rd_kafka_consumer_group_metadata(super::pointer(consumer)) }).map(Self)
    }

    fn is_of_a_member(&self) -> bool {
        // SAFETY: the metadata is alive; the member id is null or a C string that belongs to it.
        unsafe {
            let member = sys::rd_kafka_consumer_group_metadata_member_id(self.0.as_ptr());
            let generation = sys::rd_kafka_consumer_group_metadata_generation_id(self.0.as_ptr());
            generation >= 0 && !member.is_null() && !CStr::from_ptr(member).is_empty()
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // SAFETY: it is ours, and destroyed once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}

/// Adds `offsets` to the open transaction of `producer`, in the name of `consumer`'s membership.
///
/// # Errors
/// An abortable [`RDKafkaErrorCode::UnknownMemberId`] where the consumer is no member (any more), or librdkafka's own.
pub(in crate::kafka) fn send_offsets<P: ProducerContext, C: ConsumerContext>(
    producer: &Client<P>,
    consumer: &Client<C>,
    offsets: &TopicPartitionList,
    wait: Duration,
) -> Result<(), Failure> {
    let Some(membership) = Membership::of(consumer).filter(Membership::is_of_a_member) else {
        let message = "the group went on without this member".to_owned();
        return Err(Failure { abortable: true, ..Failure::new(RDKafkaErrorCode::UnknownMemberId, message) });
    };
    // SAFETY: both clients, the list and the metadata are alive for the call, which copies what it keeps.
    let failure = unsafe {
        super::failure(sys::rd_kafka_send_offsets_to_transaction(
            super::pointer(producer),
            offsets.ptr(),
            membership.0.as_ptr(),
            super::timeout_ms(wait),
        ))
    };
    failure.map_or(Ok(()), Err)
}
