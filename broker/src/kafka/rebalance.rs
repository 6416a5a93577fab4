//! What a rebalance does to a member: recorded while librdkafka is polled, applied when the poll is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;

use super::context;
use super::lifeline::Lifeline;
use super::native::partition_queue::{Bells, PartitionQueue};
use crate::{TopicPartition, crash_point};

/// One step of a rebalance, in the order in which they happened.
pub(super) enum Change {
    /// Partitions that are ours from now on.
    Assigned(Vec<Assigned>),
    /// Partitions that are not ours any more.
    Revoked(Vec<TopicPartition>),
}

impl Change {
    /// Where a test may make the process die. A change may be of nothing: partitions that stay are not named again.
    pub(super) fn crash_point(&self) -> Option<&'static str> {
        match self {
            Self::Assigned(partitions) => (!partitions.is_empty()).then_some(crash_point::ASSIGNED),
            Self::Revoked(partitions) => (!partitions.is_empty()).then_some(crash_point::REVOKED),
        }
    }
}

/// A partition, and where its messages arrive.
pub(super) struct Assigned {
    /// Which.
    pub(super) partition: TopicPartition,
    /// The number that its queue rings with; no other has it, nor will have.
    pub(super) number: u64,
    /// None where librdkafka gave none: its messages then come through `poll`, one by one.
    pub(super) queue: Option<PartitionQueue>,
}

/// Hears of rebalances. librdkafka calls it in the thread that polls.
pub(super) struct Rebalances {
    lifeline: Lifeline,
    bells: Arc<Bells>,
    numbers: AtomicU64,
    changes: Mutex<Vec<Change>>,
}

impl Rebalances {
    /// Of a client that begins with these servers.
    pub(super) fn new(servers: &str) -> Self {
        Self {
            lifeline: Lifeline::new(servers),
            bells: Arc::default(),
            numbers: AtomicU64::default(),
            changes: Mutex::default(),
        }
    }

    /// The client's way back to its brokers.
    pub(super) fn lifeline(&self) -> &Lifeline {
        &self.lifeline
    }

    /// Where the queues of assigned partitions ring.
    pub(super) fn bells(&self) -> Arc<Bells> {
        self.bells.clone()
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
        self.lifeline.hear(&error);
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }
}

impl ConsumerContext for Rebalances {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                let assigned: Vec<Assigned> = partitions(list)
                    .into_iter()
                    .map(|partition| {
                        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
                        let TopicPartition { topic, partition: index } = &partition;
                        let queue = PartitionQueue::new(consumer.client(), topic, *index, number, self.bells.clone());
                        if queue.is_none() {
                            tracing::warn!(%topic, partition = index, "a partition has no queue of its own");
                        }
                        Assigned { partition, number, queue }
                    })
                    .collect();
                tracing::info!(partitions = assigned.len(), "partitions assigned");
                self.record(Change::Assigned(assigned));
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
