//! How a member's client is set up by how many topics it reads. librdkafka's settings stand as long as the client does.
//!
//! - What is fetched ahead is bounded by partition and not in all: after a time in which nobody read, all of them may be full at
//!   once. Members with many topics have less of each.
//! - A fetch waits for records, and until it is answered there is no other: a partition that had enough ahead when it was sent is
//!   not in it, and may run out; a topic to look up or a partition that was just assigned waits behind it. Where partitions are
//!   few, fetches are cheap, and wait less.
//! - A partition that has enough ahead rests before it is fetched again. Where each does so for a moment alone, fetches are of one
//!   partition each, and it is the broker who pays for their number.
//! - All topics are looked up anew from time to time, which takes librdkafka a time that grows with their number's square.
//!   Members with many topics look less often.

use std::time::Duration;

use rdkafka::config::ClientConfig;

/// Topics up to which each may have the most.
const TOPICS_FREE: usize = 40;
/// Messages of a partition, at most: as many as half a batch of the processor's, so that the next one is there in time.
const MESSAGES_MAX: usize = 10_000;
/// And at least: what a round trip to the broker is worth.
const MESSAGES_MIN: usize = 200;
/// Compressed bytes of a partition in one fetch: some thousand small events, which keep a worker busy with a single queue.
const BYTES_MAX: usize = 128 << 10;
/// The least: about a producer's batch.
const BYTES_MIN: usize = 64 << 10;
/// A topic that did not exist when it was first named, or that grew, is seen after this at the latest.
const LOOKED_UP_EVERY_MIN: Duration = Duration::from_secs(1);
/// And after this where topics are many.
const LOOKED_UP_EVERY_MAX: Duration = Duration::from_secs(10);
/// How long a fetch waits for records. While it does, nothing else is fetched: of a partition that had enough ahead when it was
/// sent, a worker may run out meanwhile.
const FETCH_WAIT_MIN: Duration = Duration::from_millis(20);
/// librdkafka's default.
const FETCH_WAIT_MAX: Duration = Duration::from_millis(500);
/// How long a partition rests that has the most ahead: well within the time in which that is done.
const REST_MAX: Duration = Duration::from_millis(50);
/// And one that has little. The default, a second, starves a fast reader.
const REST_MIN: Duration = Duration::from_millis(5);
/// A member whose topics have become so many times as many as it was made for is made anew.
const GROWTH_MAX: usize = 4;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Breadth {
    /// Fetched ahead of each partition.
    messages: usize,
    /// In one fetch of each partition.
    bytes: usize,
    looked_up_every: Duration,
    fetch_wait: Duration,
    rest: Duration,
}

impl Breadth {
    /// Of a member that reads so many topics.
    pub(super) fn of(topics: usize) -> Self {
        let topics = topics.max(TOPICS_FREE);
        let share = |most: usize, least: usize| (most * TOPICS_FREE / topics).max(least);
        let times = u32::try_from(topics / TOPICS_FREE).unwrap_or(u32::MAX);
        Self {
            messages: share(MESSAGES_MAX, MESSAGES_MIN),
            bytes: share(BYTES_MAX, BYTES_MIN),
            looked_up_every: LOOKED_UP_EVERY_MIN.saturating_mul(times).min(LOOKED_UP_EVERY_MAX),
            fetch_wait: FETCH_WAIT_MIN.saturating_mul(times).min(FETCH_WAIT_MAX),
            rest: (REST_MAX / times).max(REST_MIN),
        }
    }

    /// Whether what is fetched ahead would be far too much for so many topics.
    pub(super) fn is_outgrown_by(self, topics: usize) -> bool {
        self.messages > GROWTH_MAX * Self::of(topics).messages
    }

    /// Sets a client up.
    pub(super) fn apply(self, config: &mut ClientConfig) {
        config
            .set("queued.min.messages", self.messages.to_string())
            .set("fetch.message.max.bytes", self.bytes.to_string())
            .set("topic.metadata.refresh.interval.ms", self.looked_up_every.as_millis().to_string())
            .set("fetch.wait.max.ms", self.fetch_wait.as_millis().to_string())
            .set("fetch.queue.backoff.ms", self.rest.as_millis().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breadth(messages: usize, bytes: usize, seconds: u64, fetch_ms: u64, rest_ms: u64) -> Breadth {
        let (looked_up_every, fetch_wait) = (Duration::from_secs(seconds), Duration::from_millis(fetch_ms));
        Breadth { messages, bytes, looked_up_every, fetch_wait, rest: Duration::from_millis(rest_ms) }
    }

    #[test]
    fn many_topics_share_what_few_have_and_each_keeps_a_little() {
        assert_eq!([0, 1, 40].map(Breadth::of), [breadth(10_000, 128 << 10, 1, 20, 50); 3]);
        assert_eq!(Breadth::of(80), breadth(5_000, 64 << 10, 2, 40, 25));
        assert_eq!(Breadth::of(400), breadth(1_000, 64 << 10, 10, 200, 5));
        assert_eq!([2_000, 10_000].map(Breadth::of), [breadth(200, 64 << 10, 10, 500, 5); 2]);
    }

    #[test]
    fn what_was_made_for_few_topics_is_outgrown_by_many_once() {
        assert!(!Breadth::of(1).is_outgrown_by(160));
        assert!(Breadth::of(1).is_outgrown_by(170));
        assert!(!Breadth::of(170).is_outgrown_by(600));
        assert!(Breadth::of(170).is_outgrown_by(1_000));
        assert!(!Breadth::of(1_000).is_outgrown_by(100_000));
        assert!(!Breadth::of(100_000).is_outgrown_by(1));
    }
}
