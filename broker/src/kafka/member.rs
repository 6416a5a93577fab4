//! A member of a consumer group: gathers batches, and meets rebalances nowhere else.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::error::{Failure, cause, passes, retriable, unusable};
use super::native::batch_queue::{BatchQueue, Message};
use super::rebalance::{Change, Rebalances};
use super::retire::retire;
use super::settings::Settings;
use crate::{Batch, Cause, Class, Consumer, Error, GatherLimits, Membership, Positions, TopicPartition};

/// Messages taken from librdkafka in one call: few enough that what a byte limit leaves over stays small.
const TAKE_MAX: usize = 512;
/// While it waits for records, a member looks this often for rebalances and errors.
const CONTROL_STEP: Duration = Duration::from_millis(20);
/// Control events served in a row before records have their turn.
const CONTROL_EVENTS_MAX: usize = 64;
/// How long a seek may take in librdkafka, which answers it without the broker.
const SEEK_MAX: Duration = Duration::from_secs(5);

/// A member of a group.
pub(super) struct Member {
    /// What librdkafka gave but a batch had no room for. Its partitions' next messages come after it.
    left_over: VecDeque<Message>,
    taken: Vec<Message>,
    /// None only while it is dropped.
    client: Option<Client>,
    subscribed: BTreeSet<String>,
    assigned: BTreeSet<TopicPartition>,
    paused: BTreeSet<TopicPartition>,
    /// Partitions that are to go back but could not yet: librdkafka seeks only where it has begun to fetch. Nothing of them
    /// is returned before they did.
    rewinds: Positions,
    /// The error of a partition that was met beside records, which come first.
    failed: Option<(Code, String)>,
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
            left_over: VecDeque::new(),
            taken: Vec::with_capacity(TAKE_MAX),
            client: Some(Client { queue, consumer }),
            subscribed: BTreeSet::new(),
            assigned: BTreeSet::new(),
            paused: BTreeSet::new(),
            rewinds: Positions::new(),
            failed: None,
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
            let polled = match self.client().consumer.poll(wait) {
                None => None,
                Some(Ok(message)) => {
                    // Only where a partition could not be given to the batch queue.
                    let position = TopicPartition { topic: message.topic().into(), partition: message.partition() };
                    push(batch, &message);
                    Some(Ok(position))
                }
                Some(Err(error)) => Some(Err(error)),
            };
            wait = Duration::ZERO;
            let changes = self.client().consumer.context().take();
            let quiet = polled.is_none() && changes.is_empty();
            for change in changes {
                self.apply(change, batch)?;
            }
            if let Some(Err(error)) = polled {
                judge(error)?;
            }
            if quiet {
                break;
            }
        }
        Ok(())
    }

    fn apply(&mut self, change: Change, batch: &mut Batch) -> Result<(), Error> {
        match change {
            Change::Assigned(partitions) => self.assigned.extend(partitions),
            Change::Revoked(partitions) => {
                let mut paused = TopicPartitionList::new();
                for partition in &partitions {
                    self.assigned.remove(partition);
                    self.rewinds.remove(partition);
                    if self.paused.remove(partition) {
                        paused.add_partition(&partition.topic, partition.partition);
                    }
                }
                let revoked = |topic: &str, partition: i32| {
                    partitions.iter().any(|lost| lost.partition == partition && *lost.topic == *topic)
                };
                batch.retain(|topic, partition| !revoked(topic, partition));
                self.left_over.retain(|message| !revoked(message.topic(), message.partition()));
                if paused.count() > 0 {
                    // librdkafka would remember it should the partition come back, when nobody here does.
                    self.consumer().resume(&paused).map_err(retriable("resume revoked partitions"))?;
                }
            }
        }
        Ok(())
    }

    /// Whether all of `positions` are of partitions that this member has. The broker checks the generation alone: to it, a
    /// member of the newest one may commit for any partition, also for one that it just gave to another.
    pub(super) fn check_owner(&self, operation: &'static str, positions: &Positions) -> Result<(), Error> {
        let Some(moved) = positions.keys().find(|partition| !self.assigned.contains(partition)) else { return Ok(()) };
        let message = format!("{} [{}] is not this member's (any more)", moved.topic, moved.partition);
        Err(Error::new(Class::Abortable, Cause::Fenced, operation, message))
    }

    /// Fills the batch with what is there, without waiting.
    fn fill(&mut self, batch: &mut Batch, limits: &GatherLimits) {
        self.fill_from_left_over(batch, limits);
        while !is_full(batch, limits) && self.left_over.len() == self.held_back() {
            let max = (limits.records_max - batch.len()).min(TAKE_MAX);
            let (client, taken) = (self.client.as_ref().expect("it is taken by drop alone"), &mut self.taken);
            client.queue.take(taken, max, Duration::ZERO);
            if self.taken.is_empty() {
                break;
            }
            self.sort_taken(batch, limits);
        }
    }

    /// How many of the messages left over belong to paused partitions.
    fn held_back(&self) -> usize {
        if self.paused.is_empty() {
            return 0;
        }
        self.left_over.iter().filter(|message| contains(&self.paused, message)).count()
    }

    /// Takes what was left over first, up to the first record for which there is no room: a smaller one behind it must not
    /// overtake.
    fn fill_from_left_over(&mut self, batch: &mut Batch, limits: &GatherLimits) {
        let mut held_back = VecDeque::new();
        while let Some(message) = self.left_over.pop_front() {
            if contains(&self.paused, &message) {
                held_back.push_back(message);
            } else if fits(batch, limits, &message) {
                message.copy_to(batch, message.topic());
            } else {
                self.left_over.push_front(message);
                break;
            }
        }
        held_back.append(&mut self.left_over);
        self.left_over = held_back;
    }

    /// Copies the messages taken into the batch, and keeps those for which it has no room.
    fn sort_taken(&mut self, batch: &mut Batch, limits: &GatherLimits) {
        // Messages come in runs of one partition; what holds for the first holds for the run.
        let mut run: Option<(&Message, &str, bool)> = None;
        let mut rest = self.taken.len();
        for (index, message) in self.taken.iter().enumerate() {
            if let Some(code) = message.error() {
                self.failed.get_or_insert_with(|| (code, message.error_text()));
                continue;
            }
            if !fits(batch, limits, message) {
                rest = index;
                break;
            }
            let (topic, ours) = match run {
                Some((first, topic, ours)) if first.same_partition(message) => (topic, ours),
                // librdkafka drops what was fetched of a partition that was taken away, but a moment later.
                _ => (message.topic(), contains(&self.assigned, message)),
            };
            run = Some((message, topic, ours));
            if ours {
                message.copy_to(batch, topic);
            }
        }
        self.left_over.extend(self.taken.drain(rest..).filter(|message| message.error().is_none()));
        self.taken.clear();
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
        for partition in partitions.iter().filter(|partition| self.assigned.contains(partition)) {
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
            self.fill(batch, limits);
            if !self.rewinds.is_empty() {
                let rewinds = &self.rewinds;
                batch.retain(|topic, partition| !is_at(rewinds, topic, partition));
                self.left_over.retain(|message| !is_at(rewinds, message.topic(), message.partition()));
            }
            if batch.is_empty()
                && let Some((code, text)) = self.failed.take()
            {
                judge_partition(code, text)?;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !batch.is_empty() || left.is_zero() || limits.records_max == 0 {
                return Ok(());
            }
            let step = left.min(CONTROL_STEP);
            if self.assigned.is_empty() {
                self.serve(batch, step)?;
            } else {
                let (client, taken) = (self.client.as_ref().expect("it is taken by drop alone"), &mut self.taken);
                client.queue.take(taken, 1, step);
                self.sort_taken(batch, limits);
                if batch.is_empty() {
                    self.serve(batch, Duration::ZERO)?;
                }
            }
        }
    }

    fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.assigned.clone()
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let list = self.owned(partitions);
        if list.count() > 0 {
            self.consumer().pause(&list).map_err(retriable("pause"))?;
        }
        self.paused.extend(partitions.iter().filter(|partition| self.assigned.contains(partition)).cloned());
        Ok(())
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let list = self.owned(partitions);
        if list.count() > 0 {
            self.consumer().resume(&list).map_err(retriable("resume"))?;
        }
        for partition in partitions {
            self.paused.remove(partition);
        }
        Ok(())
    }

    fn rewind(&mut self, positions: &Positions) -> Result<(), Error> {
        let owned: Positions = positions
            .iter()
            .filter(|(partition, _)| self.assigned.contains(partition))
            .map(|(partition, offset)| (partition.clone(), *offset))
            .collect();
        if owned.is_empty() {
            return Ok(());
        }
        self.left_over.retain(|message| !is_at(&owned, message.topic(), message.partition()));
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
        self.left_over.clear();
        self.taken.clear();
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

/// Whether the batch takes no more.
fn is_full(batch: &Batch, limits: &GatherLimits) -> bool {
    batch.len() >= limits.records_max || (!batch.is_empty() && batch.bytes_len() >= limits.bytes_max)
}

/// Whether there is room for this message, or nothing else to return.
fn fits(batch: &Batch, limits: &GatherLimits, message: &Message) -> bool {
    batch.is_empty()
        || (batch.len() < limits.records_max && batch.bytes_len().saturating_add(message.len()) <= limits.bytes_max)
}

fn contains(partitions: &BTreeSet<TopicPartition>, message: &Message) -> bool {
    let (topic, partition) = (message.topic(), message.partition());
    partitions.iter().any(|held| held.partition == partition && *held.topic == *topic)
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

/// What a member does about an error of its client: waits it out, or says it.
fn judge(error: KafkaError) -> Result<(), Error> {
    const OPERATION: &str = "gather";
    let failure = Failure::from(error);
    if failure.fatal {
        return Err(failure.class(OPERATION, Class::Fatal));
    }
    match failure.code {
        // The group went on without this member, which joins again with the next polls: its partitions are revoked first.
        Code::PollExceeded => {
            tracing::warn!("gather was not called in time: the group went on without this member, which joins again");
            Ok(())
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownTopicId => {
            tracing::warn!(error = failure.message, "a topic of the subscription does not exist (yet)");
            Ok(())
        }
        code if passes(code) => {
            tracing::warn!(error = failure.message, "Kafka is away; librdkafka tries on");
            Ok(())
        }
        _ => Err(failure.class(OPERATION, Class::Retriable)),
    }
}

/// The same for an error of one partition.
fn judge_partition(code: Code, text: String) -> Result<(), Error> {
    if passes(code) || cause(code) == Cause::UnknownTopic || code == Code::PartitionEOF {
        if code != Code::PartitionEOF {
            tracing::warn!(error = text, "a partition cannot be read; librdkafka tries on");
        }
        return Ok(());
    }
    Err(Failure::new(code, text).class("gather", Class::Retriable))
}
