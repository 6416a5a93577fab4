//! The benchmark's own clients: topics, the events in the queue, and what is read from outside while others work.
//!
//! All is done over rust-rdkafka as it is: what measures must not share the code of what is measured.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use tokio::runtime::Runtime;

use crate::{Failure, events};

/// Partitions of every topic that is measured.
pub const PARTITIONS: i32 = 6;
/// How long an answer of Kafka is waited for.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);
/// Events that go to one partition before it is the next one's turn.
const RUN_EVENTS: u64 = 500;

/// The cluster.
pub struct Cluster {
    bootstrap: String,
    runtime: Runtime,
}

/// Where a group goes on.
#[derive(Debug, Clone, Copy)]
pub enum From {
    /// At the first event.
    Beginning,
    /// After the last.
    End,
}

impl Cluster {
    /// Checks that it answers.
    pub fn connect(bootstrap: &str) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let cluster = Self { bootstrap: bootstrap.to_owned(), runtime };
        let enquirer: BaseConsumer = cluster.client().create()?;
        enquirer
            .fetch_metadata(None, ANSWER_WAIT_MAX)
            .map_err(|error| format!("no answer from Kafka at {bootstrap}: {error}"))?;
        Ok(cluster)
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

    /// Makes topics of [`PARTITIONS`]; they must not exist.
    pub fn create_topics(&self, names: &[&str]) -> Result<(), Failure> {
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let topic = |name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
        let topics: Vec<NewTopic<'_>> = names.iter().map(|name| topic(*name)).collect();
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_WAIT_MAX));
        for answer in self.runtime.block_on(admin.create_topics(&topics, &options))? {
            answer.map_err(|(name, code)| format!("topic {name}: {code}"))?;
        }
        Ok(())
    }

    /// Fills a topic with `count` events: each partition gets its share, in runs. Idempotent, lz4.
    pub fn preload(&self, topic: &str, count: u64) -> Result<(), Failure> {
        let producer: BaseProducer = self
            .client()
            .set("enable.idempotence", "true")
            .set("compression.codec", "lz4")
            .set("linger.ms", "20")
            .set("queue.buffering.max.messages", "200000")
            .create()?;
        let mut value = Vec::new();
        for number in 0..count {
            value.clear();
            events::write(&mut value, number);
            let partition = (number / RUN_EVENTS % PARTITIONS.unsigned_abs() as u64) as i32;
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
        let stored = self.end(topic)?;
        if stored != count {
            return Err(format!("{topic} holds {stored} of {count} events").into());
        }
        Ok(())
    }

    /// How many records were ever put into a topic, transactions' own among them.
    pub fn end(&self, topic: &str) -> Result<u64, Failure> {
        Ok(self.positions(topic, From::End)?.elements().iter().map(|part| offset(part.offset())).sum())
    }

    /// The offsets at either end of a topic's partitions.
    pub fn positions(&self, topic: &str, from: From) -> Result<TopicPartitionList, Failure> {
        let reader: BaseConsumer = self.reader("bench").create()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let (first, end) = reader.fetch_watermarks(topic, partition, ANSWER_WAIT_MAX)?;
            let at = match from {
                From::Beginning => first,
                From::End => end,
            };
            list.add_partition_offset(topic, partition, Offset::Offset(at))?;
        }
        Ok(list)
    }

    /// Sets where a group goes on in a topic. Its members have stopped; the broker is waited for to notice.
    pub fn reset(&self, group: &str, topic: &str, from: From) -> Result<(), Failure> {
        let positions = self.positions(topic, from)?;
        let outsider: BaseConsumer = self.reader(group).create()?;
        let deadline = Instant::now() + ANSWER_WAIT_MAX;
        loop {
            match outsider.commit(&positions, CommitMode::Sync) {
                Ok(()) => return Ok(()),
                // It still has members, or is about to lose them.
                Err(KafkaError::ConsumerCommit(
                    Code::UnknownMemberId | Code::RebalanceInProgress | Code::CoordinatorLoadInProgress,
                )) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
                Err(error) => return Err(format!("cannot set the offsets of group {group}: {error}").into()),
            }
        }
    }

    /// Looks at how far a group has come.
    pub fn watch(&self, group: &str, topic: &str) -> Result<Watch, Failure> {
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(topic, 0, PARTITIONS - 1);
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
    pub fn first(&self, topic: &str) -> Result<String, Failure> {
        let reader: BaseConsumer = self.reader("bench").create()?;
        reader.assign(&self.positions(topic, From::Beginning)?)?;
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
        let committed = self.consumer.committed_offsets(self.partitions.clone(), ANSWER_WAIT_MAX)?;
        Ok(committed.elements().iter().map(|part| offset(part.offset())).sum())
    }
}

fn offset(offset: Offset) -> u64 {
    match offset {
        Offset::Offset(offset) => offset.unsigned_abs(),
        _ => 0,
    }
}
