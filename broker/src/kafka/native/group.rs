//! Sends offsets with a transaction, as a member of the group and not otherwise (KIP-447).
//!
//! A broker checks member and generation of a transaction's offsets, unless both are absent: then it takes the offsets
//! from anyone, for clients older than KIP-447. librdkafka resets both when the group threw the member out, and would
//! send such offsets, over the head of whoever has the partitions now. Hence the look at the metadata first, which
//! rust-rdkafka does not give.

use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::ProducerContext;

use super::super::error::Failure;

/// A member of a group, at one moment.
pub(in crate::kafka) struct Membership(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: it is a copy of its own, that has no ties to the client or to a thread.
unsafe impl Send for Membership {}

impl Membership {
    /// The membership of a consumer.
    ///
    /// # Errors
    /// An abortable [`RDKafkaErrorCode::UnknownMemberId`] where it is no member (any more).
    pub(in crate::kafka) fn of<C: ConsumerContext>(consumer: &Client<C>) -> Result<Self, Failure> {
        // SAFETY: the client is alive; what is returned is ours.
        let metadata = NonNull::new(unsafe { sys::rd_kafka_consumer_group_metadata(super::pointer(consumer)) });
        metadata.map(Self).filter(Self::is_of_a_member).ok_or_else(|| {
            let message = "the group went on without this member".to_owned();
            Failure { abortable: true, ..Failure::new(RDKafkaErrorCode::UnknownMemberId, message) }
        })
    }

    /// Of nobody in a group: the broker takes such offsets from anyone, and whoever sends them must know that no member
    /// of the group commits any of the same partitions meanwhile.
    ///
    /// # Errors
    /// An abortable [`RDKafkaErrorCode::InvalidGroupId`] where no group can have that name.
    pub(in crate::kafka) fn of_nobody(group: &str) -> Result<Self, Failure> {
        let metadata = CString::new(group).ok().and_then(|group| {
            // SAFETY: the name is a C string that is alive for the call, which copies it; what is returned is ours.
            NonNull::new(unsafe { sys::rd_kafka_consumer_group_metadata_new(group.as_ptr()) })
        });
        metadata.map(Self).ok_or_else(|| {
            let message = format!("'{group}' cannot be the name of a group");
            Failure { abortable: true, ..Failure::new(RDKafkaErrorCode::InvalidGroupId, message) }
        })
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

/// What stands beside a partition's offset, as whoever committed it wrote it; empty where nothing does. (rust-rdkafka gives
/// it as a text, and panics where it is none.)
pub(in crate::kafka) fn note<'l>(offsets: &'l TopicPartitionList, topic: &str, partition: i32) -> &'l [u8] {
    let Ok(topic) = CString::new(topic) else { return &[] };
    // SAFETY: list and name are alive for the call. The element and its bytes belong to the list, which is borrowed for as
    // long as they are.
    unsafe {
        let element = sys::rd_kafka_topic_partition_list_find(offsets.ptr(), topic.as_ptr(), partition);
        match element.as_ref() {
            Some(element) if !element.metadata.is_null() => {
                std::slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size)
            }
            _ => &[],
        }
    }
}

/// Adds `offsets` to the open transaction of `producer`, in the name of a member. It may take longer than `wait`, for ever
/// even: librdkafka 2.12 waits for a coordinator that it has lost sight of until some broker's connection comes or goes.
///
/// # Errors
/// librdkafka's own.
pub(in crate::kafka) fn send_offsets<P: ProducerContext>(
    producer: &Client<P>,
    membership: &Membership,
    offsets: &TopicPartitionList,
    wait: Duration,
) -> Result<(), Failure> {
    // SAFETY: the client, the list and the metadata are alive for the call, which copies what it keeps.
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
