//! Kafka with nothing of Jobico's: a plain producer, and a read_committed reader.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Record, WAIT_MAX};

/// One wait of the reader for a record.
const POLL: Duration = Duration::from_millis(100);

/// The longest that a reader who does not wait for the end reads.
const MOMENT: Duration = Duration::from_millis(500);
/// A reader that has nothing to read for so long begins anew where it stands: a client that lost all brokers may never find
/// them again (librdkafka's issue 5301), and may not say that it has.
const QUIET_MAX: Duration = Duration::from_secs(5);
/// How long a look at a cluster's brokers may take.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// Errors of a consumer while a broker is away: it goes on by itself.
const AWAY: [RDKafkaErrorCode; 4] = [
    RDKafkaErrorCode::AllBrokersDown,
    RDKafkaErrorCode::BrokerTransportFailure,
    RDKafkaErrorCode::OperationTimedOut,
    RDKafkaErrorCode::Resolve,
];

/// The Kafka that tests share.
pub fn address() -> String {
    variable("JOBICO_TEST_KAFKA")
}

/// The Cassandra that tests use.
pub fn cql_address() -> String {
    variable("JOBICO_TEST_CQL")
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: `make test` runs Kafka and Cassandra and sets it"))
}

/// A record to produce.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    pub key: Option<String>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, String)>,
}

impl Outgoing {
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }
}

/// Notes where each record came to stand.
#[derive(Default)]
struct Delivered(Mutex<BTreeMap<usize, (i32, i64)>>);

impl ClientContext for Delivered {}

impl ProducerContext<NoCustomPartitioner> for Delivered {
    type DeliveryOpaque = usize;
    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        if let Ok(message) = result {
            self.0.lock().expect("no panic").insert(index, (message.partition(), message.offset()));
        }
    }
}

/// Produces records to a topic of the Kafka at `address`, and waits until it has acknowledged all: partition and offset of
/// each, in order.
pub fn produce(address: &str, topic: &str, records: &[Outgoing]) -> Vec<(i32, i64)> {
    let places = try_produce(address, topic, records);
    assert_eq!(places.len(), records.len(), "Kafka acknowledged every record");
    places
}

/// Produces records to a Kafka of which a node may be away: where those stand that it has acknowledged within [`WAIT_MAX`].
/// What became of the others is not known.
pub fn try_produce(address: &str, topic: &str, records: &[Outgoing]) -> Vec<(i32, i64)> {
    let producer: ThreadedProducer<Delivered> = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .create_with_context(Delivered::default())
        .expect("a producer");
    for (index, record) in records.iter().enumerate() {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(value) })
        });
        let mut outgoing = BaseRecord::with_opaque_to(topic, index).headers(headers);
        if let Some(key) = &record.key {
            outgoing = outgoing.key(key);
        }
        if let Some(value) = &record.value {
            outgoing = outgoing.payload(value);
        }
        while let Err((error, again)) = producer.send::<String, Vec<u8>>(outgoing) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            outgoing = again;
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    if let Err(error) = producer.flush(WAIT_MAX) {
        println!("records to {topic} were not acknowledged: {error}");
    }
    let delivered = producer.context().0.lock().expect("no panic").clone();
    delivered.into_values().collect()
}

/// Deletes a topic, as an operator might by mistake.
pub fn delete_topic(address: &str, topic: &str) {
    for deleted in block_on(admin(address).delete_topics(&[topic], &AdminOptions::new())).expect("Kafka answers") {
        deleted.unwrap_or_else(|(topic, error)| panic!("{topic}: {error}"));
    }
}

/// Makes a topic of so many partitions.
pub fn make_topic(address: &str, topic: &str, partitions: i32) {
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for made in block_on(admin(address).create_topics([&new], &AdminOptions::new())).expect("Kafka answers") {
        made.unwrap_or_else(|(topic, error)| panic!("{topic}: {error}"));
    }
}

fn admin(address: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", address).create().expect("an admin client")
}

/// Whether a cluster says that it has so many brokers. A client that was told of none may never find them again, so that
/// each look is by a new one.
pub fn has_brokers(address: &str, count: usize) -> bool {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", address).create().expect("a consumer without a group");
    consumer.fetch_metadata(None, LOOK_MAX).is_ok_and(|metadata| metadata.brokers().len() >= count)
}

/// What a reader is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Records of transactions that were committed, and no further than the first that is open still.
    Committed,
    /// Everything, also of transactions that are open or were aborted.
    Uncommitted,
}

/// A reader of a whole topic, in no group.
pub struct Reader {
    address: String,
    topic: String,
    isolation: Isolation,
    consumer: BaseConsumer,
    /// What it reads next in each partition.
    next: Vec<Offset>,
    /// When it was last made, or had something.
    heard: Instant,
}

impl Reader {
    pub fn new(address: &str, topic: &str, isolation: Isolation) -> Self {
        let consumer = consumer(address, isolation);
        let metadata = consumer.fetch_metadata(Some(topic), WAIT_MAX).expect("Kafka answers");
        let partitions = metadata.topics()[0].partitions().len();
        assert!(partitions > 0, "the topic {topic} is not there");
        let next = vec![Offset::Beginning; partitions];
        let (address, topic) = (address.to_owned(), topic.to_owned());
        let this = Self { address, topic, isolation, consumer, next, heard: Instant::now() };
        this.assign();
        this
    }

    fn assign(&self) {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in self.next.iter().enumerate() {
            list.add_partition_offset(&self.topic, i32::try_from(partition).unwrap(), *offset).unwrap();
        }
        self.consumer.assign(&list).expect("it can be assigned");
    }

    fn note(&mut self, record: &Record) {
        self.next[usize::try_from(record.partition).unwrap()] = Offset::Offset(record.offset + 1);
    }

    /// Up to where it is shown each partition: to its last stable offset, or to its end.
    pub fn ends(&self) -> Vec<i64> {
        let end = |partition: usize| {
            let partition = i32::try_from(partition).expect("few partitions");
            self.consumer.fetch_watermarks(&self.topic, partition, WAIT_MAX).expect("Kafka answers").1
        };
        (0..self.next.len()).map(end).collect()
    }

    /// What has been committed since the last call, up to the end of every partition.
    pub fn read_to_end(&mut self) -> Vec<Record> {
        let (mut records, mut ended) = (Vec::new(), std::collections::BTreeSet::new());
        let begun = Instant::now();
        while ended.len() < self.next.len() {
            assert!(begun.elapsed() < WAIT_MAX, "the topic's end is not reached: a transaction is open for ever");
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => records.push(record(&message)),
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
                Some(Err(KafkaError::MessageConsumption(code))) if AWAY.contains(&code) => {}
                Some(Err(error)) => panic!("the reader failed: {error}"),
                None => {}
            }
        }
        records.iter().for_each(|record| self.note(record));
        records
    }

    /// What arrives within a moment.
    pub fn poll(&mut self) -> Vec<Record> {
        let (mut records, begun) = (Vec::new(), Instant::now());
        if self.heard.elapsed() > QUIET_MAX {
            self.consumer = consumer(&self.address, self.isolation);
            self.assign();
            self.heard = begun;
        }
        while begun.elapsed() < MOMENT
            && let Some(polled) = self.consumer.poll(POLL)
        {
            match polled {
                Ok(message) => records.push(record(&message)),
                // Of one partition; the others may have more.
                Err(KafkaError::PartitionEOF(_)) => {}
                // A broker that a test has killed or stopped: it comes back.
                Err(KafkaError::MessageConsumption(code)) if AWAY.contains(&code) => break,
                Err(error) => panic!("the reader failed: {error}"),
            }
        }
        if !records.is_empty() {
            self.heard = Instant::now();
        }
        records.iter().for_each(|record| self.note(record));
        records
    }
}

fn consumer(address: &str, isolation: Isolation) -> BaseConsumer {
    let isolation = match isolation {
        Isolation::Committed => "read_committed",
        Isolation::Uncommitted => "read_uncommitted",
    };
    ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", "jobico-tests-outside")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .create()
        .expect("a consumer")
}

fn record(message: &impl Message) -> Record {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
    }
}
