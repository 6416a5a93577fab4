//! Topics and partitions, in memory: small enough for some hundred thousand of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::inbox::Inbox;
use super::lock;
use crate::coordinator::PartitionId;
use crate::{
    Cause, Class, Error, RECORD_BYTES_CAP, RECORD_BYTES_DEFAULT, Retention, TopicPartition, TopicSpec, partition_of_key,
};

/// Partitions of one topic. Kafka has no such limit; nothing of Jobico's comes near it.
const PARTITIONS_MAX: u32 = 10_000;
/// Partitions of all topics: half of what the embedded log's rows have room for.
const PARTITIONS_ALL_MAX: u32 = 4_000_000;
/// Kafka's own limit of a topic's name (`Topic.MAX_NAME_LENGTH`).
const NAME_BYTES_MAX: usize = 249;

/// A partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) id: PartitionId,
    pub(crate) topic: Arc<str>,
    /// From 0, within the topic.
    pub(crate) number: i32,
    /// One past the last committed offset.
    end: AtomicI64,
    /// Whom to tell of new records.
    readers: Mutex<Vec<Arc<Inbox>>>,
}

/// A topic. Growing makes a new one of it with more partitions.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) partitions: Vec<Arc<Partition>>,
    pub(crate) retention: Retention,
    /// Bytes of a record's key, value and headers.
    pub(crate) record_bytes_max: u32,
    /// Counts records without a key: they go round.
    turn: AtomicU32,
}

/// A topic that [`Index::plan`] says is to be made or to grow: what a storage has to keep of it.
pub(crate) struct NewTopic {
    pub(crate) topic: Arc<Topic>,
    /// The first of its partitions that is new; their number where none is.
    pub(crate) first_new: usize,
}

/// All topics.
#[derive(Debug, Default)]
pub(crate) struct Index {
    topics: HashMap<Arc<str>, Arc<Topic>>,
    partitions: HashMap<PartitionId, Arc<Partition>>,
    ids_used: u32,
}

impl Partition {
    pub(crate) fn new(id: PartitionId, topic: Arc<str>, number: i32, end: i64) -> Arc<Self> {
        Arc::new(Self { id, topic, number, end: AtomicI64::new(end), readers: Mutex::default() })
    }

    pub(crate) fn name(&self) -> TopicPartition {
        TopicPartition { topic: self.topic.clone(), partition: self.number }
    }

    pub(crate) fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// Makes records readable and tells all readers.
    pub(super) fn publish(&self, end: i64) {
        self.end.store(end, Ordering::Release);
        for inbox in lock(&self.readers).iter() {
            inbox.news(self.id);
        }
    }

    /// From now on `inbox` is told of new records. What was published before is to be looked up after this call.
    pub(super) fn add_reader(&self, inbox: &Arc<Inbox>) {
        lock(&self.readers).push(inbox.clone());
    }

    pub(super) fn remove_reader(&self, inbox: &Arc<Inbox>) {
        lock(&self.readers).retain(|reader| !Arc::ptr_eq(reader, inbox));
    }
}

impl Topic {
    pub(crate) fn new(
        name: Arc<str>,
        partitions: Vec<Arc<Partition>>,
        retention: Retention,
        record_bytes_max: u32,
    ) -> Arc<Self> {
        Arc::new(Self { name, partitions, retention, record_bytes_max, turn: AtomicU32::new(0) })
    }

    /// Tells those who read it that it has more partitions.
    pub(super) fn tell_readers(&self) {
        for inbox in self.partitions.first().into_iter().flat_map(|first| lock(&first.readers).clone()) {
            inbox.rebalance();
        }
    }

    /// Where a record goes: by its key as in Kafka, without one to each partition in turn.
    pub(super) fn place(&self, key: Option<&[u8]>) -> &Arc<Partition> {
        let index = match key {
            Some(key) => partition_of_key(key, i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)) as usize,
            None => self.turn.fetch_add(1, Ordering::Relaxed) as usize % self.partitions.len(),
        };
        &self.partitions[index]
    }
}

impl Index {
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    pub(crate) fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    pub(crate) fn partition(&self, id: PartitionId) -> Option<&Arc<Partition>> {
        self.partitions.get(&id)
    }

    /// Adds a topic, or puts a grown one in the place of what it was.
    pub(crate) fn insert(&mut self, topic: Arc<Topic>) {
        for partition in &topic.partitions {
            self.ids_used = self.ids_used.max(partition.id.0 + 1);
            self.partitions.insert(partition.id, partition.clone());
        }
        self.topics.insert(topic.name.clone(), topic);
    }

    /// What has to be made so that all of `specs` are there. The index itself does not change.
    pub(super) fn plan(&self, specs: &[TopicSpec]) -> Result<Vec<NewTopic>, Error> {
        let mut id = self.ids_used;
        let mut planned: HashMap<&str, NewTopic> = HashMap::new();
        for spec in specs {
            check(spec)?;
            let before = self.topics.get(&*spec.name);
            let known = planned.get(&*spec.name).map(|new| &new.topic).or(before);
            let mut partitions = known.map(|topic| topic.partitions.clone()).unwrap_or_default();
            let bytes_known = known.map_or(RECORD_BYTES_DEFAULT, |topic| topic.record_bytes_max);
            let record_bytes_max = spec.record_bytes_max.unwrap_or(0).max(bytes_known);
            let missing = spec.partitions.saturating_sub(partitions.len() as u32);
            if known.is_some() && missing == 0 && record_bytes_max == bytes_known {
                continue;
            }
            if missing > PARTITIONS_ALL_MAX.saturating_sub(id) {
                return refuse(format!(
                    "topic {} would be beyond {PARTITIONS_ALL_MAX} partitions of all topics",
                    spec.name
                ));
            }
            let name: Arc<str> = known.map_or_else(|| spec.name.as_str().into(), |topic| topic.name.clone());
            let retention = known.map_or(spec.retention, |topic| topic.retention);
            for number in partitions.len()..spec.partitions as usize {
                partitions.push(Partition::new(PartitionId(id), name.clone(), number as i32, 0));
                id += 1;
            }
            let first_new = before.map_or(0, |topic| topic.partitions.len());
            let topic = Topic::new(name, partitions, retention, record_bytes_max);
            planned.insert(&spec.name, NewTopic { topic, first_new });
        }
        Ok(planned.into_values().collect())
    }
}

fn refuse<T>(message: String) -> Result<T, Error> {
    Err(Error::new(Class::Abortable, Cause::Other, "make topics", message))
}

/// What Kafka refuses of a topic, too.
fn check(spec: &TopicSpec) -> Result<(), Error> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let name = &spec.name;
    if name.is_empty() || name == "." || name == ".." || name.len() > NAME_BYTES_MAX || !name.bytes().all(legal) {
        return refuse(format!("{name:?} is no topic's name: 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 . _ -"));
    }
    if spec.partitions == 0 || spec.partitions > PARTITIONS_MAX {
        return refuse(format!("topic {name} cannot have {} partitions: 1 to {PARTITIONS_MAX}", spec.partitions));
    }
    if let Some(bytes) = spec.record_bytes_max.filter(|bytes| *bytes > RECORD_BYTES_CAP) {
        return refuse(format!("topic {name} cannot have records of {bytes} bytes: {RECORD_BYTES_CAP} at most"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, partitions: u32) -> TopicSpec {
        TopicSpec { name: name.to_owned(), partitions, retention: Retention::Default, record_bytes_max: None }
    }

    #[test]
    fn what_is_no_topic_is_refused_and_said() {
        for (spec, said) in [
            (spec("", 1), "no topic's name"),
            (spec("..", 1), "no topic's name"),
            (spec("a b", 1), "no topic's name"),
            (spec(&"x".repeat(250), 1), "no topic's name"),
            (spec("t", 0), "cannot have 0 partitions"),
            (spec("t", 10_001), "cannot have 10001 partitions"),
            (
                TopicSpec { record_bytes_max: Some(RECORD_BYTES_CAP + 1), ..spec("t", 1) },
                "cannot have records of 4194305 bytes",
            ),
        ] {
            let error = Index::default().plan(&[spec]).err().expect("it is refused");
            assert!(error.message.contains(said), "{error}");
        }
        let index = Index { ids_used: PARTITIONS_ALL_MAX - 1, ..Index::default() };
        assert!(index.plan(&[spec("t", 2)]).err().expect("it is refused").message.contains("of all topics"));
        assert!(index.plan(&[spec("t", 1)]).is_ok());
    }

    #[test]
    fn a_topic_named_twice_is_made_once_with_the_most_partitions() {
        let mut index = Index::default();
        for (specs, expected) in [([spec("t", 2), spec("t", 3)], Some((0, 3))), ([spec("t", 3), spec("t", 1)], None)] {
            let planned = index.plan(&specs).unwrap();
            assert_eq!(planned.first().map(|new| (new.first_new, new.topic.partitions.len())), expected);
            for new in planned {
                index.insert(new.topic);
            }
        }
        let grown = index.plan(&[spec("t", 5)]).unwrap().remove(0);
        assert_eq!((grown.first_new, grown.topic.partitions.len()), (3, 5));
        let larger = TopicSpec { record_bytes_max: Some(RECORD_BYTES_DEFAULT + 1), ..spec("t", 1) };
        let raised = index.plan(&[larger]).unwrap().remove(0);
        assert_eq!((raised.first_new, raised.topic.record_bytes_max), (3, RECORD_BYTES_DEFAULT + 1));
        let ids: Vec<_> = grown.topic.partitions.iter().map(|partition| partition.id.0).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4]);
    }
}
