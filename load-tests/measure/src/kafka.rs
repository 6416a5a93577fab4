//! The benchmark's own clients: topics, the events in the queue, and what is read from outside while others work.
//!
//! All is done over rust-rdkafka as it is: what measures must not share the code of what is measured.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use tokio::runtime::Runtime;

use crate::system::process::Usage;
use crate::{Failure, events};

/// Partitions of every topic that is measured.
pub const PARTITIONS: i32 = 6;
/// How long an answer of Kafka is waited for.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);
/// How soon a coordinator that could not answer is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Events that go to one partition before it is the next one's turn.
const RUN_EVENTS: u64 = 500;

/// The cluster.
pub struct Cluster {
    bootstrap: String,
    pid: u32,
    runtime: Runtime,
}

/// Topics of one layout.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Their names.
    pub names: Vec<String>,
    /// Partitions of each.
    pub partitions: i32,
}

impl From<&str> for Topics {
    /// One topic of [`PARTITIONS`].
    fn from(name: &str) -> Self {
        [name].into()
    }
}

impl<const N: usize> From<[&str; N]> for Topics {
    /// Topics of [`PARTITIONS`].
    fn from(names: [&str; N]) -> Self {
        Self { names: names.map(str::to_owned).to_vec(), partitions: PARTITIONS }
    }
}

impl Topics {
    /// The name of the first one, which may be the only one.
    pub fn name(&self) -> &str {
        &self.names[0]
    }

    /// All partitions, those of a number side by side, so that neighbours are of different topics.
    fn list(&self) -> impl Iterator<Item = (&str, i32)> {
        (0..self.partitions).flat_map(|partition| self.names.iter().map(move |name| (name.as_str(), partition)))
    }
}

/// Where a group goes on.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// At the first event.
    Beginning,
    /// After the last.
    End,
}

impl Cluster {
    /// Checks that it answers.
    pub fn connect(bootstrap: &str, pid: u32) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let cluster = Self { bootstrap: bootstrap.to_owned(), pid, runtime };
        let enquirer: BaseConsumer = cluster.client().create()?;
        enquirer
            .fetch_metadata(None, ANSWER_WAIT_MAX)
            .map_err(|error| format!("no answer from Kafka at {bootstrap}: {error}"))?;
        Ok(cluster)
    }

    /// What its process has used.
    pub fn usage(&self) -> Result<Usage, Failure> {
        Usage::of_process(self.pid)
    }

    /// What all clients share.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("client.id", "jobico-bench");
        config
    }

    /// `HOST:PORT`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A consumer for questions, and for reading without a group. librdkafka wants one named even so.
    pub fn reader(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config.set("group.id", group).set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        config
    }

    /// Makes topics; they must not exist.
    pub fn create_topics(&self, topics: &Topics) -> Result<(), Failure> {
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let topic = |name| NewTopic::new(name, topics.partitions, TopicReplication::Fixed(1));
        let topics: Vec<NewTopic<'_>> = topics.names.iter().map(|name| topic(name)).collect();
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_WAIT_MAX));
        for answer in self.runtime.block_on(admin.create_topics(&topics, &options))? {
            answer.map_err(|(name, code)| format!("topic {name}: {code}"))?;
        }
        Ok(())
    }

    /// Fills topics with `count` events: each partition gets its share, in runs. Idempotent, lz4.
    pub fn preload(&self, topics: &Topics, count: u64) -> Result<(), Failure> {
        let producer: BaseProducer = self
            .client()
            .set("enable.idempotence", "true")
            .set("compression.codec", "lz4")
            .set("linger.ms", "20")
            .set("queue.buffering.max.messages", "200000")
            .create()?;
        let partitions: Vec<_> = topics.list().collect();
        let mut value = Vec::new();
        for number in 0..count {
            value.clear();
            events::write(&mut value, number);
            let (topic, partition) = partitions[usize::try_from(number / RUN_EVENTS)? % partitions.len()];
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(partition).payload(&value);
            while let Err((error, refused)) = producer.send(record) {
                if error.rdkafka_error_code() != Some(Code::QueueFull) {
                    return Err(error.into());
                }
                record = refused;
                producer.poll(Duration::from_millis(10));
            }
        }
        producer.flush(Duration::from_secs(120))?;
        let stored = self.end(topics)?;
        if stored != count {
            return Err(format!("{} holds {stored} of {count} events", topics.names.join(", ")).into());
        }
        Ok(())
    }

    /// How many records were ever put into topics, transactions' own among them.
    pub fn end(&self, topics: &Topics) -> Result<u64, Failure> {
        Ok(self.positions(topics, Place::End)?.elements().iter().map(|part| offset(part.offset())).sum())
    }

    /// The offsets at either end of all partitions.
    pub fn positions(&self, topics: &Topics, from: Place) -> Result<TopicPartitionList, Failure> {
        let reader: BaseConsumer = self.reader("bench").create()?;
        let mut list = TopicPartitionList::new();
        for (topic, partition) in topics.list() {
            let (first, end) = reader.fetch_watermarks(topic, partition, ANSWER_WAIT_MAX)?;
            let at = match from {
                Place::Beginning => first,
                Place::End => end,
            };
            list.add_partition_offset(topic, partition, Offset::Offset(at))?;
        }
        Ok(list)
    }

    /// Sets where a group goes on. Its members have stopped; the broker is waited for to notice.
    pub fn reset(&self, group: &str, topics: &Topics, from: Place) -> Result<(), Failure> {
        let positions = self.positions(topics, from)?;
        let outsider: BaseConsumer = self.reader(group).create()?;
        once_settled(|| outsider.commit(&positions, CommitMode::Sync))
            .map_err(|error| format!("cannot set the offsets of group {group}: {error}").into())
    }

    /// Looks at how far a group has come.
    pub fn watch(&self, group: &str, topics: &Topics) -> Result<Watch, Failure> {
        let mut partitions = TopicPartitionList::new();
        for (topic, partition) in topics.list() {
            partitions.add_partition(topic, partition);
        }
        // Offsets that a transaction is about to commit do not hold the answer up.
        let consumer = self.reader(group).set("isolation.level", "read_uncommitted").create()?;
        Ok(Watch { consumer, partitions })
    }

    /// Counts the committed records of a topic from `start` on.
    pub fn count_committed(&self, start: &TopicPartitionList) -> Result<u64, Failure> {
        let reader: BaseConsumer = self
            .reader("bench")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "false")
            .create()?;
        reader.assign(start)?;
        let (mut count, mut ended) = (0, 0);
        while ended < start.count() {
            match reader.poll(ANSWER_WAIT_MAX) {
                Some(Ok(_)) => count += 1,
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(error)) => return Err(error.into()),
                None => return Err("a topic could not be read to its end".into()),
            }
        }
        Ok(count)
    }

    /// The value of the first record in a topic, for messages.
    pub fn first(&self, topic: &Topics) -> Result<String, Failure> {
        let reader: BaseConsumer = self.reader("bench").create()?;
        reader.assign(&self.positions(topic, Place::Beginning)?)?;
        let message = reader.poll(ANSWER_WAIT_MAX).ok_or("it is empty")??;
        Ok(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned())
    }

    /// For what is asynchronous.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

/// Committed offsets of a group, seen from outside.
pub struct Watch {
    consumer: BaseConsumer,
    partitions: TopicPartitionList,
}

impl Watch {
    /// How many events the group has done, since the topic began.
    pub fn done(&self) -> Result<u64, Failure> {
        let committed = once_settled(|| self.consumer.committed_offsets(self.partitions.clone(), ANSWER_WAIT_MAX))
            .map_err(|error| format!("cannot read how far the group has come: {error}"))?;
        Ok(committed.elements().iter().map(|part| offset(part.offset())).sum())
    }
}

/// The answer of a group's coordinator, which is asked again while it is about to answer.
fn once_settled<T>(ask: impl Fn() -> KafkaResult<T>) -> KafkaResult<T> {
    let deadline = Instant::now() + ANSWER_WAIT_MAX;
    loop {
        match ask() {
            Err(error) if error.rdkafka_error_code().is_some_and(is_unsettled) && Instant::now() < deadline => {
                std::thread::sleep(ASK_AGAIN_AFTER);
            }
            answer => return answer,
        }
    }
}

/// Whether a group's coordinator is about to answer: it has just begun to be that, or the group still has members, or is
/// about to lose them.
fn is_unsettled(code: Code) -> bool {
    matches!(
        code,
        Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::UnknownMemberId
            | Code::RebalanceInProgress
    )
}

fn offset(offset: Offset) -> u64 {
    match offset {
        Offset::Offset(offset) => offset.unsigned_abs(),
        _ => 0,
    }
}
