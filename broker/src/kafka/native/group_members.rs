//! The members of a group of either protocol, with what each has been assigned (`rd_kafka_DescribeConsumerGroups`).
//! rust-rdkafka lists groups by the older request alone, which sees no member of KIP-848's protocol.

use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::RDKafka;

use super::super::error::Failure;
use crate::{GroupMember, TopicPartition};

/// Asks the group's coordinator, at most for `wait`. A group that does not exist has no members.
///
/// # Errors
/// librdkafka's own.
pub(in crate::kafka) fn group_members<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    wait: Duration,
) -> Result<Vec<GroupMember>, Failure> {
    let name = CString::new(group)
        .map_err(|_| Failure::new(Code::InvalidGroupId, format!("'{group}' cannot be the name of a group")))?;
    let client = super::pointer(client);
    let (queue, options) = (Queue::new(client), Options::new(client, wait)?);
    let mut names: [*const c_char; 1] = [name.as_ptr()];
    // SAFETY: client, names, options and queue are alive for the call, which copies the names and keeps the queue referenced.
    unsafe { sys::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), names.len(), options.0, queue.0) };
    // The request ends by its own timeout, and says so: this waits a little longer than that.
    let answer = queue.poll(wait.saturating_add(ANSWER_EXTRA)).ok_or(Code::OperationTimedOut)?;
    match answer.members() {
        Err(failure) if failure.code == Code::GroupIdNotFound => Ok(Vec::new()),
        members => members,
    }
}

/// See [`group_members`].
const ANSWER_EXTRA: Duration = Duration::from_secs(1);

/// A queue for one answer.
struct Queue(*mut sys::rd_kafka_queue_t);

impl Queue {
    fn new(client: *mut RDKafka) -> Self {
        // SAFETY: the client is alive; the queue is ours.
        Self(unsafe { sys::rd_kafka_queue_new(client) })
    }

    fn poll(&self, wait: Duration) -> Option<Answer> {
        // SAFETY: the queue is alive; the event is ours.
        NonNull::new(unsafe { sys::rd_kafka_queue_poll(self.0, super::timeout_ms(wait)) }).map(Answer)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: it is ours, and destroyed once.
        unsafe { sys::rd_kafka_queue_destroy(self.0) }
    }
}

struct Options(*mut sys::rd_kafka_AdminOptions_t);

impl Options {
    fn new(client: *mut RDKafka, wait: Duration) -> Result<Self, Failure> {
        // SAFETY: the client is alive; the options are ours.
        let options = Self(unsafe {
            sys::rd_kafka_AdminOptions_new(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS)
        });
        let mut text: [c_char; 256] = [0; 256];
        // SAFETY: the options are alive; the text is as long as is said, and librdkafka ends it with a 0.
        unsafe {
            match sys::rd_kafka_AdminOptions_set_request_timeout(
                options.0,
                super::timeout_ms(wait),
                text.as_mut_ptr(),
                text.len(),
            ) {
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(options),
                code => Err(Failure::new(code.into(), owned(text.as_ptr()))),
            }
        }
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: they are ours, and destroyed once.
        unsafe { sys::rd_kafka_AdminOptions_destroy(self.0) }
    }
}

/// An event that answers the request.
struct Answer(NonNull<sys::rd_kafka_event_t>);

impl Answer {
    fn members(&self) -> Result<Vec<GroupMember>, Failure> {
        let event = self.0.as_ptr();
        // SAFETY: the event is alive, and with it all that is read of it here: the result, its groups, their errors and members.
        // As many groups and members are read as librdkafka says that there are; what is kept is copied.
        unsafe {
            let code = sys::rd_kafka_event_error(event);
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(Failure::new(code.into(), owned(sys::rd_kafka_event_error_string(event))));
            }
            let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
            let mut count = 0;
            let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
            let mut members = Vec::new();
            for index in 0..count {
                let group = *groups.add(index);
                let error = sys::rd_kafka_ConsumerGroupDescription_error(group);
                if !error.is_null() {
                    let code = sys::rd_kafka_error_code(error).into();
                    return Err(Failure::new(code, owned(sys::rd_kafka_error_string(error))));
                }
                let count = sys::rd_kafka_ConsumerGroupDescription_member_count(group);
                members.extend((0..count).map(|index| {
                    let member = sys::rd_kafka_ConsumerGroupDescription_member(group, index);
                    GroupMember {
                        client_id: owned(sys::rd_kafka_MemberDescription_client_id(member)),
                        host: owned(sys::rd_kafka_MemberDescription_host(member)).trim_start_matches('/').to_owned(),
                        partitions: assigned(sys::rd_kafka_MemberDescription_assignment(member)),
                    }
                }));
            }
            Ok(members)
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: it is ours, and destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

/// What an assignment names.
///
/// # Safety
/// `assignment` is null, or alive for the call.
unsafe fn assigned(assignment: *const sys::rd_kafka_MemberAssignment_t) -> Vec<TopicPartition> {
    if assignment.is_null() {
        return Vec::new();
    }
    // SAFETY: it is alive by the contract above, and its list, with as many elements as it says, belongs to it.
    unsafe {
        let Some(list) = sys::rd_kafka_MemberAssignment_partitions(assignment).as_ref() else { return Vec::new() };
        (0..usize::try_from(list.cnt).unwrap_or(0))
            .map(|index| {
                let element = &*list.elems.add(index);
                TopicPartition { topic: Arc::from(owned(element.topic)), partition: element.partition }
            })
            .collect()
    }
}

/// A copy of a text of librdkafka's; empty where there is none.
///
/// # Safety
/// `text` is null, or a C string that is alive for the call.
unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by the contract above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
