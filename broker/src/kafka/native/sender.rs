//! Produces records by topic handle, with headers built in place.

use std::collections::HashMap;
use std::ptr::NonNull;

use rdkafka::bindings as sys;
use rdkafka::bindings::rd_kafka_vtype_t as Part;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::ProducerContext;
use rdkafka::util::IntoOpaque;

use super::super::error::Failure;
use super::topic::Topic;
use crate::Outgoing;

/// Topic handles kept; beyond that they are let go and found again. One is about a kilobyte, and librdkafka keeps it for as
/// long as it knows the topic anyway.
const TOPICS_MAX: usize = 20_000;

/// Hands records to one producer. It must be dropped before its producer.
#[derive(Default)]
pub(in crate::kafka) struct Sender {
    topics: HashMap<String, Topic>,
}

impl Sender {
    /// Copies a record into the producer's buffer; does not wait. `opaque` comes back with its delivery report.
    pub(in crate::kafka) fn send<C: ProducerContext>(
        &mut self,
        producer: &Client<C>,
        record: &Outgoing<'_>,
        opaque: C::DeliveryOpaque,
    ) -> Result<(), Failure> {
        let topic = self.topic(producer, record.topic)?;
        let headers = headers(record.headers);
        let opaque = opaque.into_ptr();
        let parts = [
            part(Part::RD_KAFKA_VTYPE_RKT, sys::rd_kafka_vu_s__bindgen_ty_1 { rkt: topic.as_ptr() }),
            part(Part::RD_KAFKA_VTYPE_MSGFLAGS, sys::rd_kafka_vu_s__bindgen_ty_1 { i: sys::RD_KAFKA_MSG_F_COPY }),
            part(Part::RD_KAFKA_VTYPE_KEY, memory(record.key)),
            part(Part::RD_KAFKA_VTYPE_VALUE, memory(record.value)),
            part(Part::RD_KAFKA_VTYPE_OPAQUE, sys::rd_kafka_vu_s__bindgen_ty_1 { ptr: opaque }),
            part(Part::RD_KAFKA_VTYPE_HEADERS, sys::rd_kafka_vu_s__bindgen_ty_1 { headers }),
        ];
        // Null is no header list to librdkafka, which reads it as "none"; leaving the part out saves it the look.
        let count = if headers.is_null() { parts.len() - 1 } else { parts.len() };
        // SAFETY: the client is alive, `count` is at most the array's length, and each part is tagged with the union's
        // field that was set. Key and value are copied (`F_COPY`) before the call returns.
        let failure =
            unsafe { super::failure(sys::rd_kafka_produceva(super::pointer(producer), parts.as_ptr(), count)) };
        match failure {
            None => Ok(()),
            Some(failure) => {
                // SAFETY: headers and opaque pass to librdkafka only where producing went well; here they are ours still.
                unsafe {
                    if !headers.is_null() {
                        sys::rd_kafka_headers_destroy(headers);
                    }
                    drop(C::DeliveryOpaque::from_ptr(opaque));
                }
                Err(failure)
            }
        }
    }

    fn topic<C: ProducerContext>(
        &mut self,
        producer: &Client<C>,
        name: &str,
    ) -> Result<NonNull<sys::rd_kafka_topic_t>, Failure> {
        if let Some(topic) = self.topics.get(name) {
            return Ok(topic.0);
        }
        if self.topics.len() >= TOPICS_MAX {
            self.topics.clear();
        }
        let invalid = || Failure::new(RDKafkaErrorCode::InvalidTopic, format!("{name:?} is no topic name"));
        let topic = Topic::new(producer, name).ok_or_else(invalid)?;
        let handle = topic.0;
        self.topics.insert(name.to_owned(), topic);
        Ok(handle)
    }
}

/// A header list, null where there are none.
fn headers(headers: &[(&str, &[u8])]) -> *mut sys::rd_kafka_headers_t {
    if headers.is_empty() {
        return std::ptr::null_mut();
    }
    // SAFETY: librdkafka copies name and value, whose lengths are given; a slice is at most isize::MAX long.
    unsafe {
        let list = sys::rd_kafka_headers_new(headers.len());
        for (name, value) in headers {
            sys::rd_kafka_header_add(
                list,
                name.as_ptr().cast(),
                name.len().cast_signed(),
                value.as_ptr().cast(),
                value.len().cast_signed(),
            );
        }
        list
    }
}

/// Null = none, which is a null key, or a tombstone; an empty slice's pointer is not null.
fn memory(bytes: Option<&[u8]>) -> sys::rd_kafka_vu_s__bindgen_ty_1 {
    let (ptr, size) = bytes.map_or((std::ptr::null_mut(), 0), |bytes| (bytes.as_ptr().cast_mut().cast(), bytes.len()));
    sys::rd_kafka_vu_s__bindgen_ty_1 { mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size } }
}

fn part(vtype: Part, u: sys::rd_kafka_vu_s__bindgen_ty_1) -> sys::rd_kafka_vu_t {
    sys::rd_kafka_vu_t { vtype, u }
}
