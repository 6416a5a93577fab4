//! Reads whole topics outside any group.
//!
//! Where a topic ends is not where its last record is: markers of transactions and aborted records take offsets too, and
//! are not returned. So the end is asked of the broker (the last stable offset, as records are read committed), and it is
//! reached when a record at or after it was returned, or when librdkafka reports the end of the partition
//! (`enable.partition.eof`) at or after it: it does so whenever its fetch position, which passes markers and aborted
//! records, meets the last stable offset of a fetch response.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::context;
use super::error::{Failure, cause, passes, retriable, unusable};
use super::lifeline::Lifeline;
use super::native::{self, batch_queue::BatchQueue, message::Message};
use super::offsets;
use super::retire::retire;
use super::settings::Settings;
use super::topics::Enquirer;
use crate::{Batch, Cause, Class, Error, Follower, GatherLimits, Positions, Progress, Start, TopicPartition};

/// Records of one [`Follower::poll`].
const POLL_RECORDS_MAX: usize = 10_000;
/// Messages taken from librdkafka in one call.
const TAKE_MAX: usize = 1_000;
/// How long going back to former positions may take.
const QUESTION_MAX: Duration = Duration::from_secs(10);
/// How long [`Follower::read_to_end`] may take.
const READ_TO_END_MAX: Duration = Duration::from_secs(60);
/// Bytes that [`Follower::read_to_end`] holds: a batch's limit is 4 GiB, and topics that are read whole are far smaller.
const READ_TO_END_BYTES_MAX: usize = 2 << 30;
/// No limit of a caller's: [`READ_TO_END_BYTES_MAX`] alone, which is an error.
const ALL: GatherLimits = GatherLimits { records_max: usize::MAX, bytes_max: usize::MAX };
/// How often the topics are asked for partitions that were added.
const GROWTH_CHECK: Duration = Duration::from_secs(10);
/// Events served in a row before records have their turn.
const EVENTS_MAX: usize = 64;
/// How long one wait for records is, between looks at errors.
const STEP: Duration = Duration::from_millis(50);

/// See [`crate::Broker::follow`]. Partitions that a topic gains are read from their beginning, wherever this began.
pub(super) struct KafkaFollower {
    topics: Vec<String>,
    /// Asked about topics and ends. The follower's own connection answers nothing while a fetch waits on it for records: a
    /// broker takes the requests of a connection one after the other.
    enquirer: Arc<Enquirer>,
    taken: Vec<Message>,
    /// None only while it is dropped.
    client: Option<Client>,
    /// Up to where each partition has been read: one past the last record returned, or the end that was met.
    read: Positions,
    growth_checked: Instant,
}

/// Fields are dropped in their order: the queue before its consumer.
struct Client {
    queue: BatchQueue,
    consumer: BaseConsumer<Following>,
}

struct Following {
    lifeline: Lifeline,
}

impl ClientContext for Following {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    /// `poll` returns it as well.
    fn error(&self, error: KafkaError, reason: &str) {
        self.lifeline.hear(&error);
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }
}

impl rdkafka::consumer::ConsumerContext for Following {}

impl KafkaFollower {
    /// Begins to follow.
    pub(super) fn start(
        settings: &Settings,
        enquirer: Arc<Enquirer>,
        topics: &[String],
        start: Start,
    ) -> Result<Self, Error> {
        let mut this = Self::idle(settings, enquirer, topics)?;
        let partitions = offsets::partitions(&this.enquirer.partition_counts(topics)?);
        let positions = match start {
            Start::Beginning => this.enquirer.beginnings(&partitions)?,
            Start::End => this.enquirer.ends(&partitions)?,
        };
        this.assign(positions)?;
        Ok(this)
    }

    /// Begins in the middle, and does not look for partitions that are added.
    pub(super) fn from(settings: &Settings, enquirer: Arc<Enquirer>, positions: &Positions) -> Result<Self, Error> {
        let mut this = Self::idle(settings, enquirer, &[])?;
        let partitions: Vec<TopicPartition> = positions.keys().cloned().collect();
        let (beginnings, ends) = (this.enquirer.beginnings(&partitions)?, this.enquirer.ends(&partitions)?);
        // Not left to `auto.offset.reset`, which knows one answer for both.
        let within = |(at, offset): (&TopicPartition, &i64)| {
            let (first, end) = (beginnings.get(at)?, ends.get(at)?);
            Some((at.clone(), (*offset).max(*first).min(*end)))
        };
        this.assign(positions.iter().filter_map(within).collect())?;
        Ok(this)
    }

    /// Reads nothing yet.
    fn idle(settings: &Settings, enquirer: Arc<Enquirer>, topics: &[String]) -> Result<Self, Error> {
        const OPERATION: &str = "follow";
        let context = Following { lifeline: Lifeline::new(settings.servers()) };
        let consumer: BaseConsumer<Following> =
            settings.follower().create_with_context(context).map_err(unusable(OPERATION))?;
        let queue = BatchQueue::new(consumer.client())
            .ok_or_else(|| Error::new(Class::Fatal, Cause::Other, OPERATION, "no memory for a queue"))?;
        Ok(Self {
            topics: topics.to_vec(),
            enquirer,
            taken: Vec::with_capacity(TAKE_MAX),
            client: Some(Client { queue, consumer }),
            read: Positions::new(),
            growth_checked: Instant::now(),
        })
    }

    fn consumer(&self) -> &BaseConsumer<Following> {
        &self.client().consumer
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("it is taken by drop alone")
    }

    /// Adds partitions, to be read from `positions` on.
    fn assign(&mut self, positions: Positions) -> Result<(), Error> {
        const OPERATION: &str = "follow";
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (TopicPartition { topic, partition }, offset) in &positions {
            if !self.client().queue.attach(self.consumer().client(), topic, *partition) {
                let message = format!("no queue for {topic} [{partition}]");
                return Err(Error::new(Class::Fatal, Cause::Other, OPERATION, message));
            }
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(retriable(OPERATION))?;
        }
        self.consumer().incremental_assign(&list).map_err(retriable(OPERATION))?;
        self.read.extend(positions);
        Ok(())
    }

    /// Finds partitions that were added to the topics.
    fn check_growth(&mut self) -> Result<(), Error> {
        let counts = self.enquirer.partition_counts(&self.topics)?;
        let mut new = offsets::partitions(&counts);
        new.retain(|partition| !self.read.contains_key(partition));
        if !new.is_empty() {
            let positions = self.enquirer.beginnings(&new)?;
            self.assign(positions)?;
        }
        self.growth_checked = Instant::now();
        Ok(())
    }

    /// Takes what is there into the batch, waiting at most `wait` for the first.
    fn take(&mut self, batch: &mut Batch, wait: Duration) -> Result<(), Error> {
        self.serve()?;
        let Some(client) = &self.client else { return Ok(()) };
        client.queue.take(&mut self.taken, 1, wait);
        if !self.taken.is_empty() {
            client.queue.take(&mut self.taken, TAKE_MAX - 1, Duration::ZERO);
        }
        let mut failure = None;
        for message in self.taken.drain(..) {
            let at = TopicPartition { topic: message.topic().into(), partition: message.partition() };
            match message.error() {
                None => {
                    message.copy_to(batch, message.topic());
                    self.read.insert(at, message.offset() + 1);
                }
                Some(Code::PartitionEOF) => {
                    let read = self.read.entry(at).or_insert(0);
                    *read = (*read).max(message.offset());
                }
                Some(code) if passes(code) || cause(code) == Cause::UnknownTopic => {
                    tracing::warn!(topic = %at.topic, partition = at.partition, error = message.error_text(), "not readable now");
                }
                Some(code) => failure = Some(Failure::new(code, message.error_text())),
            }
        }
        failure.map_or(Ok(()), |failure| Err(failure.class("follow", Class::Retriable)))
    }

    /// Serves errors and log lines.
    fn serve(&self) -> Result<(), Error> {
        for _ in 0..EVENTS_MAX {
            if let Some(Err(error)) = self.consumer().poll(Duration::ZERO) {
                let failure = Failure::from(error);
                // Nothing is ever committed to the group, so it does not matter whether it may be used.
                if failure.fatal || !(passes(failure.code) || failure.code == Code::GroupAuthorizationFailed) {
                    return Err(failure.class("follow", Class::Retriable));
                }
                tracing::warn!(error = failure.message, "Kafka is away; librdkafka tries on");
            }
            if native::events_waiting(self.consumer().client()) == 0 {
                break;
            }
        }
        self.consumer().context().lifeline.mend(self.consumer().client());
        Ok(())
    }

    /// Whether the ends were reached; else it was a limit.
    fn read_until(
        &mut self,
        batch: &mut Batch,
        ends: &Positions,
        limits: &GatherLimits,
        deadline: Instant,
    ) -> Result<bool, Error> {
        const OPERATION: &str = "read to the end";
        loop {
            let missing = ends.iter().find(|(at, end)| self.read.get(at).is_none_or(|read| read < end));
            let Some((at, end)) = missing else { return Ok(true) };
            if batch.len() >= limits.records_max || batch.bytes_len() >= limits.bytes_max {
                return Ok(false);
            }
            if Instant::now() >= deadline {
                let message = format!("{} [{}] is not read up to {end} yet", at.topic, at.partition);
                return Err(Error::new(Class::Retriable, Cause::Unavailable, OPERATION, message));
            }
            if batch.bytes_len() > READ_TO_END_BYTES_MAX {
                let message = format!("more than {READ_TO_END_BYTES_MAX} bytes");
                return Err(Error::new(Class::Fatal, Cause::Other, OPERATION, message));
            }
            self.take(batch, STEP)?;
        }
    }

    /// Goes back to where `before` was: what was read since then has not been returned.
    fn go_back(&mut self, before: &BTreeMap<TopicPartition, i64>) -> Result<(), Error> {
        let list = super::member::list(before)?;
        let sought = self.consumer().seek_partitions(list, QUESTION_MAX).map_err(retriable("go back"))?;
        for element in sought.elements() {
            element.error().map_err(retriable("go back"))?;
        }
        self.read.clone_from(before);
        Ok(())
    }
}

impl Follower for KafkaFollower {
    fn poll(&mut self, batch: &mut Batch, wait: Duration) -> Result<(), Error> {
        batch.clear();
        if self.growth_checked.elapsed() > GROWTH_CHECK {
            // What is there can be read all the same.
            if let Err(error) = self.check_growth() {
                tracing::warn!(%error, "topics could not be looked up");
                self.growth_checked = Instant::now();
            }
        }
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let before = batch.len();
            let taken = self.take(batch, if batch.is_empty() { left.min(STEP) } else { Duration::ZERO });
            if let Err(error) = taken {
                // Said again by the next call, should it last.
                return if batch.is_empty() { Err(error) } else { Ok(()) };
            }
            let more = batch.len() > before && batch.len() + TAKE_MAX <= POLL_RECORDS_MAX;
            if !more && (!batch.is_empty() || left.is_zero()) {
                return Ok(());
            }
        }
    }

    fn read_to_end(&mut self, batch: &mut Batch) -> Result<(), Error> {
        self.read_some(batch, &ALL).map(drop)
    }

    fn read_some(&mut self, batch: &mut Batch, limits: &GatherLimits) -> Result<Progress, Error> {
        batch.clear();
        let deadline = Instant::now() + READ_TO_END_MAX;
        self.check_growth()?;
        let partitions: Vec<TopicPartition> = self.read.keys().cloned().collect();
        let ends = self.enquirer.ends(&partitions)?;
        let before = self.read.clone();
        let read = self.read_until(batch, &ends, limits, deadline).or_else(|error| {
            batch.clear();
            let unusable = |cause: Error| Error { class: Class::Fatal, ..cause };
            self.go_back(&before).map_err(unusable)?;
            Err(error)
        });
        Ok(Progress { is_end: read?, next: self.read.clone() })
    }
}

impl Drop for KafkaFollower {
    fn drop(&mut self) {
        // Messages hold on to their client.
        self.taken.clear();
        if let Some(client) = self.client.take() {
            retire("follower", client);
        }
    }
}
