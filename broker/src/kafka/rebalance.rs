//! What a rebalance does to a member: recorded while librdkafka is polled, applied when the poll is over.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;

use super::context;
use super::native::batch_queue::BatchQueue;
use crate::TopicPartition;

/// One step of a rebalance, in the order in which they happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Partitions that are ours from now on.
    Assigned(Vec<TopicPartition>),
    /// Partitions that are not ours any more.
    Revoked(Vec<TopicPartition>),
}

/// Hears of rebalances. librdkafka calls it in the thread that polls.
#[derive(Default)]
pub(super) struct Rebalances {
    /// Weak, so that whoever owns the queue decides when it goes: before the consumer.
    queue: OnceLock<Weak<BatchQueue>>,
    changes: Mutex<Vec<Change>>,
}

impl Rebalances {
    /// Where partitions are forwarded to when they are assigned. Counts once.
    pub(super) fn forward_to(&self, queue: &Arc<BatchQueue>) {
        self.queue.get_or_init(|| Arc::downgrade(queue));
    }

    /// What has happened since this was called last.
    pub(super) fn take(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn record(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    /// Consumers get their errors from `poll` as well, where they are judged.
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }
}

impl ConsumerContext for Rebalances {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                let partitions = partitions(list);
                if let Some(queue) = self.queue.get().and_then(Weak::upgrade) {
                    for TopicPartition { topic, partition } in &partitions {
                        if !queue.attach(consumer.client(), topic, *partition) {
                            // Its messages then come through `poll`, one by one.
                            tracing::warn!(%topic, partition, "a partition could not be given to the batch queue");
                        }
                    }
                }
                tracing::info!(partitions = partitions.len(), "partitions assigned");
                self.record(Change::Assigned(partitions));
            }
            Rebalance::Revoke(list) => {
                let partitions = partitions(list);
                tracing::info!(partitions = partitions.len(), lost = consumer.assignment_lost(), "partitions revoked");
                self.record(Change::Revoked(partitions));
            }
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance failed"),
        }
    }
}

/// The partitions of a list.
pub(super) fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements()
        .iter()
        .map(|element| TopicPartition { topic: element.topic().into(), partition: element.partition() })
        .collect()
}
