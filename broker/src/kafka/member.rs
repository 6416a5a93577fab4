//! A member of a consumer group: gathers batches, and meets rebalances nowhere else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::error::{retriable, unusable};
use super::native::{self, batch_queue::BatchQueue};
use super::rebalance::{Change, Rebalances};
use super::retire::retire;
use super::settings::Settings;
use crate::{Batch, Cause, Class, Consumer, Error, GatherLimits, Membership, Positions, TopicPartition, crash_point};

mod intake;
mod judge;

use intake::{Intake, Partitions};

/// While it waits for records, a member looks this often for rebalances and errors.
const CONTROL_STEP: Duration = Duration::from_millis(20);
/// Control events served in a row before records have their turn.
const CONTROL_EVENTS_MAX: usize = 64;
/// How long a seek may take in librdkafka, which answers it without the broker.
const SEEK_MAX: Duration = Duration::from_secs(5);

/// A member of a group.
pub(super) struct Member {
    intake: Intake,
    /// None only while it is dropped.
    client: Option<Client>,
    subscribed: BTreeSet<String>,
    partitions: Partitions,
    /// Partitions that are to go back but could not yet: librdkafka seeks only where it has begun to fetch. Nothing of them
    /// is returned before they did.
    rewinds: Positions,
}

/// Fields are dropped in their order: the queue before its consumer.
struct Client {
    queue: Arc<BatchQueue>,
    consumer: BaseConsumer<Rebalances>,
}

impl Member {
    /// Makes the client; it joins with its first subscription.
    pub(super) fn join(settings: &Settings, membership: &Membership) -> Result<Self, Error> {
        const OPERATION: &str = "join the group";
        let consumer: BaseConsumer<Rebalances> = settings
            .member(&membership.client_id, &membership.group)
            .create_with_context(Rebalances::default())
            .map_err(unusable(OPERATION))?;
        let queue = BatchQueue::new(consumer.client())
            .ok_or_else(|| Error::new(Class::Fatal, Cause::Other, OPERATION, "no memory for a queue"))?;
        let queue = Arc::new(queue);
        consumer.context().forward_to(&queue);
        Ok(Self {
            intake: Intake::default(),
            client: Some(Client { queue, consumer }),
            subscribed: BTreeSet::new(),
            partitions: Partitions::default(),
            rewinds: Positions::new(),
        })
    }

    /// The librdkafka client, to speak for this member.
    pub(super) fn consumer(&self) -> &BaseConsumer<Rebalances> {
        &self.client().consumer
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("it is taken by drop alone")
    }

    /// Serves what is not a record: rebalances, errors, log lines.
    fn serve(&mut self, batch: &mut Batch, wait: Duration) -> Result<(), Error> {
        let mut wait = wait;
        for _ in 0..CONTROL_EVENTS_MAX {
            let failure = match self.client().consumer.poll(wait) {
                None => None,
                Some(Ok(message)) => {
                    // Only where a partition could not be given to the batch queue.
                    push(batch, &message);
                    None
                }
                Some(Err(error)) => Some(error),
            };
            for change in self.client().consumer.context().take() {
                self.apply(change, batch)?;
            }
            if let Some(error) = failure {
                judge::client(error)?;
            }
            if native::events_waiting(self.consumer().client()) == 0 {
                break;
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    fn apply(&mut self, change: Change, batch: &mut Batch) -> Result<(), Error> {
        match change {
            Change::Assigned(partitions) => {
                // An assignment may be of nothing: partitions that stay where they are are not named again.
                if !partitions.is_empty() {
                    crash_point::reach(crash_point::ASSIGNED)?;
                }
                self.partitions.assigned.extend(partitions);
            }
            Change::Revoked(partitions) => {
                let mut paused = TopicPartitionList::new();
                for partition in &partitions {
                    self.partitions.assigned.remove(partition);
                    self.rewinds.remove(partition);
                    if self.partitions.paused.remove(partition) {
                        paused.add_partition(&partition.topic, partition.partition);
                    }
                }
                let revoked = |topic: &str, partition: i32| {
                    partitions.iter().any(|lost| lost.partition == partition && *lost.topic == *topic)
                };
                batch.retain(|topic, partition| !revoked(topic, partition));
                self.intake.forget(revoked);
                if paused.count() > 0 {
                    // librdkafka would remember it should the partition come back, when nobody here does.
                    self.consumer().resume(&paused).map_err(retriable("resume revoked partitions"))?;
                }
                if !partitions.is_empty() {
                    crash_point::reach(crash_point::REVOKED)?;
                }
            }
        }
        Ok(())
    }

    /// Whether all of `positions` are of partitions that this member has. The broker checks the generation alone: to it, a
    /// member of the newest one may commit for any partition, also for one that it just gave to another.
    pub(super) fn check_owner(&self, operation: &'static str, positions: &Positions) -> Result<(), Error> {
        let Some(moved) = positions.keys().find(|partition| !self.partitions.assigned.contains(partition)) else {
            return Ok(());
        };
        let message = format!("{} [{}] is not this member's (any more)", moved.topic, moved.partition);
        Err(Error::new(Class::Abortable, Cause::Fenced, operation, message))
    }

    /// Tries again to go back where it was not possible yet.
    fn retry_rewinds(&mut self) -> Result<(), Error> {
        if self.rewinds.is_empty() {
            return Ok(());
        }
        let positions = std::mem::take(&mut self.rewinds);
        self.seek(&positions)
    }

    fn seek(&mut self, positions: &Positions) -> Result<(), Error> {
        const OPERATION: &str = "rewind";
        let list = list(positions)?;
        match self.consumer().seek_partitions(list, SEEK_MAX) {
            Ok(list) => {
                for element in list.elements() {
                    if let Err(error) = element.error() {
                        let partition =
                            TopicPartition { topic: element.topic().into(), partition: element.partition() };
                        tracing::debug!(%error, topic = element.topic(), partition = element.partition(), "seek later");
                        if let Some(offset) = positions.get(&partition) {
                            self.rewinds.insert(partition, *offset);
                        }
                    }
                }
                Ok(())
            }
            Err(error) => {
                self.rewinds.extend(positions.iter().map(|(partition, offset)| (partition.clone(), *offset)));
                Err(retriable(OPERATION)(error))
            }
        }
    }

    /// Partitions of `positions` that are this member's.
    fn owned(&self, partitions: &[TopicPartition]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions.iter().filter(|partition| self.partitions.assigned.contains(partition)) {
            list.add_partition(&partition.topic, partition.partition);
        }
        list
    }
}

impl Consumer for Member {
    fn subscribe(&mut self, topics: &BTreeSet<String>) -> Result<(), Error> {
        const OPERATION: &str = "subscribe";
        if *topics == self.subscribed {
            return Ok(());
        }
        if topics.is_empty() {
            self.consumer().unsubscribe();
        } else {
            let names: Vec<&str> = topics.iter().map(String::as_str).collect();
            self.consumer().subscribe(&names).map_err(retriable(OPERATION))?;
        }
        self.subscribed.clone_from(topics);
        Ok(())
    }

    fn gather(&mut self, batch: &mut Batch, limits: &GatherLimits, wait: Duration) -> Result<(), Error> {
        batch.clear();
        self.retry_rewinds()?;
        let deadline = Instant::now() + wait;
        self.serve(batch, Duration::ZERO)?;
        loop {
            let client = self.client.as_ref().expect("it is taken by drop alone");
            self.intake.fill(&client.queue, batch, limits, &self.partitions);
            if !self.rewinds.is_empty() {
                let rewinds = &self.rewinds;
                batch.retain(|topic, partition| !is_at(rewinds, topic, partition));
                self.intake.forget(|topic, partition| is_at(rewinds, topic, partition));
            }
            if batch.is_empty()
                && let Some((code, text)) = self.intake.take_failure()
            {
                judge::partition(code, text)?;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !batch.is_empty() || left.is_zero() || limits.records_max == 0 {
                return Ok(());
            }
            let step = left.min(CONTROL_STEP);
            if self.partitions.assigned.is_empty() {
                self.serve(batch, step)?;
            } else {
                let client = self.client.as_ref().expect("it is taken by drop alone");
                self.intake.wait(&client.queue, batch, limits, &self.partitions, step);
                if batch.is_empty() {
                    self.serve(batch, Duration::ZERO)?;
                }
            }
        }
    }

    fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.partitions.assigned.clone()
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let list = self.owned(partitions);
        if list.count() > 0 {
            self.consumer().pause(&list).map_err(retriable("pause"))?;
        }
        self.partitions
            .paused
            .extend(partitions.iter().filter(|partition| self.partitions.assigned.contains(partition)).cloned());
        Ok(())
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let list = self.owned(partitions);
        if list.count() > 0 {
            self.consumer().resume(&list).map_err(retriable("resume"))?;
        }
        for partition in partitions {
            self.partitions.paused.remove(partition);
        }
        Ok(())
    }

    fn rewind(&mut self, positions: &Positions) -> Result<(), Error> {
        let owned: Positions = positions
            .iter()
            .filter(|(partition, _)| self.partitions.assigned.contains(partition))
            .map(|(partition, offset)| (partition.clone(), *offset))
            .collect();
        if owned.is_empty() {
            return Ok(());
        }
        self.intake.forget(|topic, partition| is_at(&owned, topic, partition));
        for partition in owned.keys() {
            self.rewinds.remove(partition);
        }
        self.seek(&owned)
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), Error> {
        if positions.is_empty() {
            return Ok(());
        }
        self.check_owner("commit offsets", positions)?;
        self.consumer().commit(&list(positions)?, CommitMode::Sync).map_err(retriable("commit offsets"))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Messages hold on to their client.
        self.intake = Intake::default();
        if let Some(client) = self.client.take() {
            retire("group member", client);
        }
    }
}

/// librdkafka's form of positions.
pub(super) fn list(positions: &Positions) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (TopicPartition { topic, partition }, offset) in positions {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(retriable("name positions"))?;
    }
    Ok(list)
}

fn is_at(positions: &Positions, topic: &str, partition: i32) -> bool {
    positions.keys().any(|at| at.partition == partition && *at.topic == *topic)
}

/// Copies a message that came through `poll`.
fn push(batch: &mut Batch, message: &rdkafka::message::BorrowedMessage<'_>) {
    use rdkafka::message::Headers as _;
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    batch.push(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp().to_millis().unwrap_or(-1),
        message.key(),
        message.payload(),
        headers.map(|header| (header.key, header.value.unwrap_or_default())),
    );
}
