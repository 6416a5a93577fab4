//! A handle of a topic, and what a client knows of topics.

use std::ffi::CString;
use std::ptr::{NonNull, null, null_mut};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};

/// A topic of a client. It must be dropped before its client.
pub(super) struct Topic(pub(super) NonNull<sys::rd_kafka_topic_t>);

// SAFETY: librdkafka counts a topic's references atomically; any thread may use the handle.
unsafe impl Send for Topic {}

impl Topic {
    /// None where that can be no topic's name.
    pub(super) fn new<C: ClientContext>(client: &Client<C>, name: &str) -> Option<Self> {
        let name = CString::new(name).ok()?;
        // SAFETY: the client is alive, the name is a C string, and null asks for the client's own topic settings.
        NonNull::new(unsafe { sys::rd_kafka_topic_new(super::pointer(client), name.as_ptr(), null_mut()) }).map(Self)
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: it is ours, and destroyed once.
        unsafe { sys::rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}

/// Has a client look up topics and all others that it knows of, with one request, and waits for the answer, at most `wait`. What it
/// learns stays in its cache; whether it learned anything will be seen by who needs it.
pub(in crate::kafka) fn look_up<C: ClientContext>(client: &Client<C>, topics: &[String], wait: Duration) {
    // A client looks up those that something refers to.
    let _referred: Vec<Topic> = topics.iter().filter_map(|name| Topic::new(client, name)).collect();
    let mut answer: *const sys::rd_kafka_metadata = null();
    // SAFETY: the client is alive; null is no topic alone; the answer is ours where the call set it.
    unsafe {
        sys::rd_kafka_metadata(super::pointer(client), 0, null_mut(), &raw mut answer, super::timeout_ms(wait));
        if !answer.is_null() {
            sys::rd_kafka_metadata_destroy(answer);
        }
    }
}
