//! A message as librdkafka gives it, copied into a batch and nowhere else.

use std::ffi::CStr;
use std::ptr::NonNull;

use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use crate::Batch;

/// A message, or an error of one partition. It must be dropped before its consumer.
#[repr(transparent)]
pub(in crate::kafka) struct Message(NonNull<sys::rd_kafka_message_t>);

// SAFETY: a message is owned by whoever holds it, and librdkafka counts its references atomically.
unsafe impl Send for Message {}

impl Message {
    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: valid until it is destroyed, in `drop`.
        unsafe { self.0.as_ref() }
    }

    /// The partition's error, where this is no message: [`RDKafkaErrorCode::PartitionEOF`], for one.
    pub(in crate::kafka) fn error(&self) -> Option<RDKafkaErrorCode> {
        let error = self.raw().err;
        (error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
    }

    /// librdkafka's words for [`Message::error`].
    pub(in crate::kafka) fn error_text(&self) -> String {
        // SAFETY: the message is alive; the text belongs to it or is static.
        let text = unsafe { sys::rd_kafka_message_errstr(self.0.as_ptr()) };
        if text.is_null() {
            return String::new();
        }
        // SAFETY: not null, and a C string.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    /// The topic; empty for an error that has none.
    pub(in crate::kafka) fn topic(&self) -> &str {
        let topic = self.raw().rkt;
        if topic.is_null() {
            return "";
        }
        // SAFETY: the message holds a reference to its topic, whose name is a C string that lives as long.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(topic)) };
        // Kafka's topic names are ASCII.
        name.to_str().unwrap_or_default()
    }

    /// The partition.
    pub(in crate::kafka) fn partition(&self) -> i32 {
        self.raw().partition
    }

    /// The offset; of [`RDKafkaErrorCode::PartitionEOF`]: the end that was reached.
    pub(in crate::kafka) fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// Bytes of key and value: what it will take of a batch, but for headers.
    pub(in crate::kafka) fn len(&self) -> usize {
        self.raw().len + self.raw().key_len
    }

    /// Copies it into a batch. `topic` is [`Message::topic`], which callers keep for runs of one topic.
    pub(in crate::kafka) fn copy_to(&self, batch: &mut Batch, topic: &str) {
        let raw = self.raw();
        // SAFETY: key and value are null or point to as many bytes, owned by the message, which outlives the call; the
        // time is read from the live message.
        let (key, value, time) = unsafe {
            (
                bytes(raw.key.cast(), raw.key_len),
                bytes(raw.payload.cast(), raw.len),
                sys::rd_kafka_message_timestamp(self.0.as_ptr(), std::ptr::null_mut()),
            )
        };
        batch.push(topic, raw.partition, raw.offset, time, key, value, self.headers());
    }

    fn headers(&self) -> Headers<'_> {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is alive; the list, where there is one, belongs to it.
        let result = unsafe { sys::rd_kafka_message_headers(self.0.as_ptr(), &raw mut headers) };
        let some = result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        Headers { list: if some { headers } else { std::ptr::null_mut() }, next: 0, _message: self }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: it is ours, and destroyed once.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

struct Headers<'a> {
    list: *mut sys::rd_kafka_headers_t,
    next: usize,
    _message: &'a Message,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.list.is_null() {
            let (mut name, mut value, mut len) = (std::ptr::null(), std::ptr::null(), 0);
            // SAFETY: the list belongs to the message, which is borrowed for 'a; names are C strings, values are null or
            // point to `len` bytes, both owned by the list.
            let header = unsafe {
                let result =
                    sys::rd_kafka_header_get_all(self.list, self.next, &raw mut name, &raw mut value, &raw mut len);
                if result != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return None;
                }
                (CStr::from_ptr(name).to_str(), bytes(value.cast(), len).unwrap_or_default())
            };
            self.next += 1;
            if let (Ok(name), value) = header {
                return Some((name, value));
            }
        }
        None
    }
}

/// # Safety
/// `start` is null, or points to `len` bytes that live for 'a.
unsafe fn bytes<'a>(start: *const u8, len: usize) -> Option<&'a [u8]> {
    // SAFETY: by the contract above.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, len) })
}
