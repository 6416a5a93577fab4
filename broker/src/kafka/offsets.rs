//! Questions about topics and offsets, answered by blocking calls of a consumer.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use super::error::{Failure, retriable};
use super::native::group::note;
use crate::{Cause, Class, Error, Positions, Standing, TopicPartition};

/// How long a question waits before it is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Topics up to which each is looked up with a request of its own. librdkafka asks for one or for all, and a cluster may have
/// many that are not ours; but a thousand requests are more than any answer.
const SINGLY_MAX: usize = 20;
const LOOK_UP: &str = "look topics up";

/// How many partitions each of `topics` has.
///
/// # Errors
/// [`Cause::UnknownTopic`] where one does not exist.
pub(super) fn partition_counts<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topics: &[String],
    wait: Duration,
) -> Result<BTreeMap<String, i32>, Error> {
    let look_up = |topic: Option<&str>| consumer.fetch_metadata(topic, wait).map_err(retriable(LOOK_UP));
    if topics.len() <= SINGLY_MAX {
        let one = |name: &String| {
            let answer = look_up(Some(name))?;
            partition_count(name, answer.topics().iter().find(|topic| topic.name() == name))
        };
        return topics.iter().map(one).collect();
    }
    let all = look_up(None)?;
    let by_name: HashMap<&str, &MetadataTopic> = all.topics().iter().map(|topic| (topic.name(), topic)).collect();
    topics.iter().map(|name| partition_count(name, by_name.get(name.as_str()).copied())).collect()
}

/// A topic's name, and how many partitions it has.
fn partition_count(name: &str, topic: Option<&MetadataTopic>) -> Result<(String, i32), Error> {
    let unknown = || Error::new(Class::Retriable, Cause::UnknownTopic, LOOK_UP, format!("topic {name} does not exist"));
    let topic = topic.ok_or_else(unknown)?;
    if let Some(code) = topic.error() {
        return Err(Failure::from(rdkafka::error::RDKafkaErrorCode::from(code)).class(LOOK_UP, Class::Retriable));
    }
    let count = i32::try_from(topic.partitions().len()).expect("partitions are numbered by an i32");
    if count == 0 { Err(unknown()) } else { Ok((name.to_owned(), count)) }
}

/// All partitions of topics.
pub(super) fn partitions(counts: &BTreeMap<String, i32>) -> Vec<TopicPartition> {
    counts
        .iter()
        .flat_map(|(topic, count)| {
            let topic: std::sync::Arc<str> = topic.as_str().into();
            (0..*count).map(move |partition| TopicPartition { topic: topic.clone(), partition })
        })
        .collect()
}

/// One past the last offset of each partition; for a consumer that reads committed records: one past the last of those.
pub(super) fn ends<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    wait: Duration,
) -> Result<Positions, Error> {
    // In the request that this call makes (ListOffsets), Offset::End is the time "latest".
    positions_at(consumer, partitions, Offset::End, wait)
}

/// The first offset that each partition still has.
pub(super) fn beginnings<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    wait: Duration,
) -> Result<Positions, Error> {
    positions_at(consumer, partitions, Offset::Beginning, wait)
}

/// A partition that was just made or moved has a leader that does not know of it yet: that passes, and is waited for.
fn positions_at<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    time: Offset,
    wait: Duration,
) -> Result<Positions, Error> {
    let deadline = Instant::now() + wait;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match try_positions_at(consumer, partitions, time, left) {
            Err(error) if error.cause == Cause::Unavailable && left > AGAIN_AFTER => std::thread::sleep(AGAIN_AFTER),
            answered => return answered,
        }
    }
}

fn try_positions_at<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    time: Offset,
    wait: Duration,
) -> Result<Positions, Error> {
    const OPERATION: &str = "list offsets";
    if partitions.is_empty() {
        return Ok(Positions::new());
    }
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for TopicPartition { topic, partition } in partitions {
        list.add_partition_offset(topic, *partition, time).map_err(retriable(OPERATION))?;
    }
    let answered = consumer.offsets_for_times(list, wait).map_err(retriable(OPERATION))?;
    in_order(OPERATION, partitions, &answered)?
        .into_iter()
        .map(|(at, element)| match element.error().map(|()| element.offset()) {
            Ok(Offset::Offset(offset)) => Ok((at.clone(), offset)),
            Err(error) => Err(retriable(OPERATION)(error)),
            other => {
                let message = format!("no offset for {} [{}]: {other:?}", at.topic, at.partition);
                Err(Error::new(Class::Retriable, Cause::Unavailable, OPERATION, message))
            }
        })
        .collect()
}

/// A group's committed offsets, for a consumer made with the group's name; none where it never committed.
pub(super) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    wait: Duration,
) -> Result<BTreeMap<TopicPartition, Option<i64>>, Error> {
    let standings = standing(consumer, partitions, "", wait)?;
    Ok(standings
        .into_iter()
        .map(|(at, standing)| match standing {
            Standing::Never => (at, None),
            Standing::At(offset) | Standing::Moved(offset) => (at, Some(offset)),
        })
        .collect())
}

/// How a group stands to partitions, for a consumer made with the group's name. `moved` is what commits say where the group
/// has handed the partition over.
pub(super) fn standing<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    moved: &str,
    wait: Duration,
) -> Result<BTreeMap<TopicPartition, Standing>, Error> {
    const OPERATION: &str = "read committed offsets";
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for TopicPartition { topic, partition } in partitions {
        list.add_partition(topic, *partition);
    }
    let answered = consumer.committed_offsets(list, wait).map_err(retriable(OPERATION))?;
    in_order(OPERATION, partitions, &answered)?
        .into_iter()
        .map(|(at, element)| {
            element.error().map_err(retriable(OPERATION))?;
            let has_moved = || note(&answered, &at.topic, at.partition) == moved.as_bytes();
            let standing = match element.offset() {
                Offset::Offset(offset) if !moved.is_empty() && has_moved() => Standing::Moved(offset),
                Offset::Offset(offset) => Standing::At(offset),
                _ => Standing::Never,
            };
            Ok((at.clone(), standing))
        })
        .collect()
}

/// Each partition with what was answered for it: librdkafka writes its answers into the list that it was asked with, in which
/// it would find one by going through all of them.
fn in_order<'a>(
    operation: &'static str,
    partitions: &'a [TopicPartition],
    answered: &'a TopicPartitionList,
) -> Result<Vec<(&'a TopicPartition, TopicPartitionListElem<'a>)>, Error> {
    let answers: Vec<_> = partitions.iter().zip(answered.elements()).collect();
    let fits = |(at, element): &(&TopicPartition, TopicPartitionListElem<'_>)| {
        element.topic() == &*at.topic && element.partition() == at.partition
    };
    if answers.len() == partitions.len() && answers.iter().all(fits) {
        return Ok(answers);
    }
    Err(Error::new(Class::Fatal, Cause::Other, operation, "librdkafka's answers are not in the questions' order"))
}
