//! Gives a client its bootstrap servers again after it has lost all brokers.
//!
//! Since 2.10, librdkafka forgets the brokers that a metadata response does not name. A cluster that has hung, or has just
//! come back, names none for as long as its own controller takes its brokers for dead: the client then forgets all of
//! them, stops the timer with which it would begin anew, and stays cut off until its process ends (librdkafka's issue 5301,
//! open as of 2.15). Adding the bootstrap servers again, some time after it said that all brokers are down, is the way out
//! that its interface offers; where the brokers are only away and come back by themselves, it changes nothing.

use std::ffi::CString;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::native;

/// How long after the loss the servers are added first; the next times after twice as long each.
const FIRST: Duration = Duration::from_secs(1);
/// How often they are added after a loss: for about a minute. A client that reaches a broker then and loses it says so again.
const TIMES_MAX: u32 = 6;

/// A client's way back. It hears of the loss in the client's context, and mends it where the client is served.
pub(super) struct Lifeline {
    servers: CString,
    lost: Mutex<Option<Lost>>,
}

/// All brokers are lost.
struct Lost {
    next: Instant,
    times: u32,
}

impl Lifeline {
    /// Bootstrap servers, as librdkafka takes them.
    pub(super) fn new(servers: &str) -> Self {
        // librdkafka could not have connected to what has a zero byte in it.
        Self { servers: CString::new(servers).unwrap_or_default(), lost: Mutex::new(None) }
    }

    /// To be told every error of the client.
    pub(super) fn hear(&self, error: &KafkaError) {
        if error.rdkafka_error_code() == Some(Code::AllBrokersDown) {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            // Said again and again, it must not put off what is about to be done.
            if lost.is_none() {
                *lost = Some(Lost { next: Instant::now() + FIRST, times: 0 });
            }
        }
    }

    /// Adds the servers, where it is time to. To be called wherever the client is served.
    pub(super) fn mend<C: ClientContext>(&self, client: &Client<C>) {
        if self.is_due(Instant::now()) {
            let known = native::add_brokers(client, &self.servers);
            tracing::debug!(target: "librdkafka", known, "bootstrap servers are added again");
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let mut place = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lost) = place.as_mut().filter(|lost| lost.next <= now) else { return false };
        lost.times += 1;
        lost.next = now + FIRST * 2_u32.pow(lost.times);
        if lost.times >= TIMES_MAX {
            *place = None;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(lifeline: &Lifeline, seconds: std::ops::Range<u64>) -> Vec<u64> {
        let begun = Instant::now();
        seconds.filter(|second| lifeline.is_due(begun + Duration::from_secs(*second))).collect()
    }

    #[test]
    fn servers_are_added_ever_more_rarely_after_a_loss_and_then_no_more() {
        let lifeline = Lifeline::new("localhost:9092");
        assert!(due(&lifeline, 0..100).is_empty(), "nothing is lost");
        lifeline.hear(&KafkaError::Global(Code::BrokerTransportFailure));
        assert!(due(&lifeline, 0..100).is_empty(), "one broker is not all");
        lifeline.hear(&KafkaError::Global(Code::AllBrokersDown));
        assert_eq!(due(&lifeline, 0..1_000), [1, 3, 7, 15, 31, 63]);
        lifeline.hear(&KafkaError::Global(Code::AllBrokersDown));
        assert_eq!(due(&lifeline, 0..1_000).len(), 6, "the next loss is another");
    }
}
