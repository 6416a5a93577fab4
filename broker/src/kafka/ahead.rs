//! How much of each partition a member has librdkafka fetch ahead.
//!
//! librdkafka bounds it by partition and not in all, and its settings stand as long as the client does. So members with many topics
//! have less of each: after a time in which nobody read, all of them may be full at once.

use rdkafka::config::ClientConfig;

/// Topics up to which each may have the most.
const TOPICS_FREE: usize = 40;
/// Messages of a partition, at most: as many as half a batch of the processor's, so that the next one is there in time.
const MESSAGES_MAX: usize = 10_000;
/// And at least: what a round trip to the broker is worth.
const MESSAGES_MIN: usize = 200;
/// Compressed bytes of a partition in one fetch: librdkafka's default, and what keeps a worker busy with a single queue.
const BYTES_MAX: usize = 1 << 20;
/// The least: about a producer's batch.
const BYTES_MIN: usize = 64 << 10;
/// A member whose topics have become so many times as many as it was made for is made anew.
const GROWTH_MAX: usize = 4;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ahead {
    messages: usize,
    bytes: usize,
}

impl Ahead {
    /// Of each partition, where so many topics are read.
    pub(super) fn of(topics: usize) -> Self {
        let share = |most: usize, least: usize| (most * TOPICS_FREE / topics.max(TOPICS_FREE)).max(least);
        Self { messages: share(MESSAGES_MAX, MESSAGES_MIN), bytes: share(BYTES_MAX, BYTES_MIN) }
    }

    /// Whether it is far too much for so many topics.
    pub(super) fn is_outgrown_by(self, topics: usize) -> bool {
        self.messages > GROWTH_MAX * Self::of(topics).messages
    }

    /// Has a client do so.
    pub(super) fn apply(self, config: &mut ClientConfig) {
        config
            .set("queued.min.messages", self.messages.to_string())
            .set("fetch.message.max.bytes", self.bytes.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_topics_share_what_few_have_and_each_keeps_a_little() {
        let most = Ahead { messages: 10_000, bytes: 1 << 20 };
        assert_eq!([0, 1, 40].map(Ahead::of), [most; 3]);
        assert_eq!(Ahead::of(80), Ahead { messages: 5_000, bytes: 512 << 10 });
        assert_eq!(Ahead::of(400), Ahead { messages: 1_000, bytes: (1 << 20) / 10 });
        assert_eq!([2_000, 10_000].map(Ahead::of), [Ahead { messages: 200, bytes: 64 << 10 }; 2]);
    }

    #[test]
    fn what_was_made_for_few_topics_is_outgrown_by_many_once() {
        assert!(!Ahead::of(1).is_outgrown_by(160));
        assert!(Ahead::of(1).is_outgrown_by(170));
        assert!(!Ahead::of(170).is_outgrown_by(600));
        assert!(Ahead::of(170).is_outgrown_by(1_000));
        assert!(!Ahead::of(1_000).is_outgrown_by(100_000));
        assert!(!Ahead::of(100_000).is_outgrown_by(1));
    }
}
