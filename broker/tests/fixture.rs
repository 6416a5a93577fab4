//! What a scenario needs: a log of one kind, and short words for what it does with it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jobico_broker::embedded::{self, Embedded};
use jobico_broker::kafka::{self, AtLeastOnce, Kafka};
use jobico_broker::simulated::{Faults, Simulated};
use jobico_broker::{
    Append, Batch, Broker, Consumer, Error, Follower, GatherLimits, Membership, Outgoing, Position, Record, Retention,
    Start, TopicPartition, TopicSpec, Transactor,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long anything may take that a scenario waits for. Kafka's groups take their time; the others return at once.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long one turn of a member waits, while others have to have theirs.
pub const TURN: Duration = Duration::from_millis(50);
/// No limit that a scenario meets.
pub const ANY: GatherLimits = GatherLimits { records_max: 10_000, bytes_max: 16 << 20 };

/// The logs.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Embedded,
    Simulated,
    Kafka,
    /// Kafka without transactions.
    AtLeastOnce,
}

/// A log, and names that no other run uses.
pub struct Fixture {
    pub broker: Arc<dyn Broker>,
    runtime: Runtime,
    run: String,
    // Goes last: the log is in there.
    _folder: TempDir,
}

/// A record, taken out of its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
    pub value: Option<String>,
}

impl Fixture {
    pub fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker: Arc<dyn Broker> = match kind {
            Kind::Embedded => Embedded::open(&folder.path().join("log.sqlite"), embedded::Settings::default()).unwrap(),
            Kind::Simulated => Simulated::new(1, Faults::default()),
            Kind::Kafka => kafka(),
            Kind::AtLeastOnce => Arc::new(AtLeastOnce(kafka())),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        // Threads of one process may be here in the same nanosecond; the folder's name is random.
        let unique = folder.path().file_name().unwrap().to_string_lossy().replace('.', "");
        Self { broker, runtime, run: format!("{}{unique}", since.as_millis()), _folder: folder }
    }

    /// A name of this run.
    pub fn name(&self, name: &str) -> String {
        format!("test.{name}.{}", self.run)
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(future)
    }

    pub fn ensure(&self, topic: &str, partitions: u32, retention: Retention) {
        self.wait(self.broker.ensure_topics(&[spec(topic, partitions, retention)])).unwrap();
    }

    /// Makes a topic.
    pub fn topic(&self, name: &str, partitions: u32) -> String {
        let topic = self.name(name);
        self.ensure(&topic, partitions, Retention::Default);
        topic
    }

    /// Makes topics with one request, named by a prefix and their number.
    pub fn topics(&self, prefix: &str, count: usize, partitions: u32) -> Vec<String> {
        let names: Vec<String> = (0..count).map(|number| self.name(&format!("{prefix}{number}"))).collect();
        let specs: Vec<TopicSpec> = names.iter().map(|name| spec(name, partitions, Retention::Default)).collect();
        self.wait(self.broker.ensure_topics(&specs)).unwrap();
        names
    }

    /// Appends in one call; all must go well.
    pub fn append(&self, records: Vec<Append>) -> Vec<Position> {
        self.wait(self.broker.append(records)).into_iter().map(|answer| answer.unwrap()).collect()
    }

    /// Appends values, each to the partition of its key.
    pub fn put(&self, topic: &str, records: impl IntoIterator<Item = (String, String)>) -> Vec<Position> {
        self.append(records.into_iter().map(|(key, value)| record(topic, &key, &value)).collect())
    }

    /// Appends the values `from..to` with themselves as keys.
    pub fn put_range(&self, topic: &str, range: std::ops::Range<usize>) -> Vec<Position> {
        self.put(topic, range.map(|number| (number.to_string(), number.to_string())))
    }

    pub fn membership(&self, group: &str) -> Membership {
        Membership { group: self.name(group), client_id: "conformance".to_owned(), topics: 1 }
    }

    pub fn join(&self, group: &str, topics: &[&str]) -> Box<dyn Consumer> {
        let mut consumer = self.broker.join(&self.membership(group)).unwrap();
        consumer.subscribe(&set(topics)).unwrap();
        consumer
    }

    pub fn transactor(&self, group: &str, transactional_id: &str, topics: &[&str]) -> Box<dyn Transactor> {
        let id = self.name(transactional_id);
        let mut transactor = self.broker.join_transactional(&self.membership(group), &id).unwrap();
        transactor.subscribe(&set(topics)).unwrap();
        transactor
    }

    pub fn follow(&self, topic: &str, start: Start) -> Box<dyn Follower> {
        self.broker.follow(&[topic.to_owned()], start).unwrap()
    }

    /// All committed records of a topic.
    pub fn committed(&self, topic: &str) -> Vec<Seen> {
        let mut batch = Batch::new();
        self.follow(topic, Start::Beginning).read_to_end(&mut batch).unwrap();
        batch.iter().map(Seen::from).collect()
    }

    /// The values of all committed records of a topic, sorted.
    pub fn committed_values(&self, topic: &str) -> Vec<String> {
        values(&self.committed(topic))
    }

    /// Checks that the committed values of a topic are `expected`, and no others, once so many can be read: Kafka answers a
    /// commit before readers see its records.
    pub fn expect_values(&self, topic: &str, expected: impl IntoIterator<Item = impl Into<String>>) {
        let expected: Vec<String> = expected.into_iter().map(Into::into).collect();
        let seen = until("what was committed", || {
            let values = self.committed_values(topic);
            (values.len() >= expected.len()).then_some(values)
        });
        assert_eq!(seen, expected);
    }

    /// The committed offsets of a group.
    pub fn offsets(&self, group: &str, topic: &str) -> Vec<Option<i64>> {
        let lag = self.wait(self.broker.lag(&self.name(group), &[topic.to_owned()])).unwrap();
        lag.into_iter().map(|lag| lag.committed).collect()
    }
}

impl From<Record<'_>> for Seen {
    fn from(record: Record<'_>) -> Self {
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        Self {
            topic: record.topic().to_string(),
            partition: record.partition(),
            offset: record.offset(),
            key: text(record.key()),
            value: text(record.value()),
        }
    }
}

fn kafka() -> Arc<Kafka> {
    let bootstrap = std::env::var("JOBICO_TEST_KAFKA")
        .expect("this test needs a Kafka: `make test` starts one, or name one with JOBICO_TEST_KAFKA=host:port");
    Kafka::connect(kafka::Settings { replication: 1, ..kafka::Settings::new(bootstrap) }).unwrap()
}

/// A record to append.
pub fn record(topic: &str, key: &str, value: &str) -> Append {
    Append {
        topic: topic.to_owned(),
        key: Some(key.as_bytes().to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: Vec::new(),
    }
}

/// A record to write.
pub fn outgoing<'a>(topic: &'a str, key: &'a str, value: &'a str) -> Outgoing<'a> {
    Outgoing { topic, key: Some(key.as_bytes()), value: Some(value.as_bytes()), headers: &[] }
}

pub fn set(topics: &[&str]) -> BTreeSet<String> {
    topics.iter().map(ToString::to_string).collect()
}

pub fn partition(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

/// The values, sorted as numbers where they are.
pub fn values(seen: &[Seen]) -> Vec<String> {
    let mut values: Vec<_> = seen.iter().filter_map(|seen| seen.value.clone()).collect();
    values.sort_by_key(|value| (value.parse::<usize>().unwrap_or(usize::MAX), value.clone()));
    values
}

/// The numbers of a range as values.
pub fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Takes turns until `done` gives something. Each turn waits by itself for what it does; this only ends it.
pub fn until<T>(what: &str, mut turn: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(done) = turn() {
            return done;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
    }
}

/// One gather; errors that may pass (a broker that is busy with the group) are no outcome.
pub fn turn(
    consumer: &mut (impl Consumer + ?Sized),
    limits: &GatherLimits,
    wait: Duration,
) -> Result<Vec<Seen>, Error> {
    let mut batch = Batch::new();
    consumer.gather(&mut batch, limits, wait)?;
    Ok(batch.iter().map(Seen::from).collect())
}

/// Gathers until there are `count` records.
pub fn gather(consumer: &mut (impl Consumer + ?Sized), count: usize) -> Vec<Seen> {
    let mut seen = Vec::new();
    until(&format!("{count} records"), || {
        seen.extend(turn(consumer, &ANY, Duration::from_secs(1)).unwrap());
        (seen.len() >= count).then_some(())
    });
    assert_eq!(seen.len(), count, "more than was written: {seen:?}");
    seen
}

/// Takes turns until the members' partitions are as `done` says; what they gather goes to `seen`.
pub fn settle<C: Consumer + ?Sized>(
    members: &mut [&mut C],
    seen: &mut Vec<Seen>,
    done: impl Fn(&[BTreeSet<TopicPartition>]) -> bool,
) {
    until("partitions are shared out", || {
        for member in members.iter_mut() {
            seen.extend(turn(*member, &ANY, TURN).unwrap());
        }
        let assignments: Vec<_> = members.iter().map(|member| member.assignment()).collect();
        done(&assignments).then_some(())
    });
}

/// One past the last offset of each partition in `seen`.
pub fn next_offsets(seen: &[Seen]) -> jobico_broker::Positions {
    let mut positions = jobico_broker::Positions::new();
    for seen in seen {
        let next = positions.entry(partition(&seen.topic, seen.partition)).or_insert(0);
        *next = (*next).max(seen.offset + 1);
    }
    positions
}

fn spec(topic: &str, partitions: u32, retention: Retention) -> TopicSpec {
    TopicSpec { name: topic.to_owned(), partitions, retention, record_bytes_max: None }
}
