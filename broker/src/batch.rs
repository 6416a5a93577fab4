//! Records read in one go: their bytes lie in one buffer, which is used again for the next batch.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use crate::{Positions, TopicPartition};

/// Topics that an empty batch knows still. A batch of one event of ten thousand tenants is looked at topic by topic; one of few
/// topics need not learn them anew.
const TOPICS_KEPT_MAX: usize = 64;

/// Records, in the order they were read. Each record's bytes are copied into it once.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
    headers: Vec<HeaderSlot>,
    topics: Vec<Arc<str>>,
    topic_index: HashMap<Arc<str>, u32>,
}

#[derive(Debug)]
struct Slot {
    topic: u32,
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    key: Option<Range<u32>>,
    value: Option<Range<u32>>,
    headers: Range<u32>,
}

#[derive(Debug)]
struct HeaderSlot {
    name: Range<u32>,
    value: Range<u32>,
}

/// One record of a [`Batch`].
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    batch: &'a Batch,
    slot: &'a Slot,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes all records out; the memory stays. Topics stay known where they are few.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.slots.clear();
        self.headers.clear();
        if self.topics.len() > TOPICS_KEPT_MAX {
            self.topics.clear();
            self.topic_index.clear();
        }
    }

    /// How many records it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of all keys, values and headers.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a record; header names that are no UTF-8 are passed over.
    #[allow(
        clippy::too_many_arguments,
        reason = "a record has these parts, and a struct for them would only be taken apart again"
    )]
    pub fn push<'h>(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, &'h [u8])>,
    ) {
        let topic = self.topic(topic);
        let key = key.map(|key| self.copy(key));
        let value = value.map(|value| self.copy(value));
        let first = place(self.headers.len());
        for (name, value) in headers {
            let slot = HeaderSlot { name: self.copy(name.as_bytes()), value: self.copy(value) };
            self.headers.push(slot);
        }
        let headers = first..place(self.headers.len());
        self.slots.push(Slot { topic, partition, offset, timestamp_ms, key, value, headers });
    }

    /// The records, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.slots.iter().map(|slot| Record { batch: self, slot })
    }

    /// The record at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        self.slots.get(index).map(|slot| Record { batch: self, slot })
    }

    /// The topics of its records, and of some before them; [`Record::topic_index`] counts in it.
    #[must_use]
    pub fn topics(&self) -> &[Arc<str>] {
        &self.topics
    }

    /// Keeps the records of the partitions that `keep` accepts.
    pub fn retain(&mut self, keep: impl Fn(&str, i32) -> bool) {
        let topics = &self.topics;
        self.slots.retain(|slot| keep(&topics[slot.topic as usize], slot.partition));
        self.free_unused();
    }

    /// Takes out the records of each partition from the offset on that stands in `from`.
    pub fn cut(&mut self, from: &Positions) {
        let from: HashMap<(u32, i32), i64> = from
            .iter()
            .filter_map(|(at, offset)| Some(((*self.topic_index.get(&at.topic)?, at.partition), *offset)))
            .collect();
        self.slots.retain(|slot| from.get(&(slot.topic, slot.partition)).is_none_or(|from| slot.offset < *from));
        self.free_unused();
    }

    /// Bytes of records that were taken out stay until all were: a batch from which everything is taken, time and again, must
    /// not grow.
    fn free_unused(&mut self) {
        if self.slots.is_empty() {
            self.clear();
        }
    }

    /// The records of each partition from the offset on that stands in `from`, in a batch of their own.
    #[must_use]
    pub fn split(&self, from: &Positions) -> BTreeMap<TopicPartition, Batch> {
        let mut parts: BTreeMap<TopicPartition, Batch> = BTreeMap::new();
        for run in self.slots.chunk_by(|a, b| (a.topic, a.partition) == (b.topic, b.partition)) {
            let at = TopicPartition { topic: self.topics[run[0].topic as usize].clone(), partition: run[0].partition };
            let Some(from) = from.get(&at) else { continue };
            let part = parts.entry(at).or_default();
            let records = run.iter().filter(|slot| slot.offset >= *from).map(|slot| Record { batch: self, slot });
            records.for_each(|record| part.push_record(&record));
        }
        parts
    }

    /// Adds a record of another batch.
    pub fn push_record(&mut self, record: &Record<'_>) {
        let (topic, partition, offset) = (record.topic(), record.partition(), record.offset());
        self.push(topic, partition, offset, record.timestamp_ms(), record.key(), record.value(), record.headers());
    }

    /// One past the last offset, per partition: what to commit once all records are done.
    #[must_use]
    pub fn next_offsets(&self) -> Positions {
        self.per_partition(|slot| slot.offset + 1, i64::max)
    }

    /// The first offset, per partition: where to rewind to when nothing of it counts.
    #[must_use]
    pub fn first_offsets(&self) -> Positions {
        self.per_partition(|slot| slot.offset, i64::min)
    }

    /// An offset of each record, reduced to one for each partition. Records come in runs of one partition: a run is looked
    /// up once.
    fn per_partition(&self, offset: impl Fn(&Slot) -> i64, pick: fn(i64, i64) -> i64) -> Positions {
        let mut picked: HashMap<(u32, i32), i64> = HashMap::new();
        for run in self.slots.chunk_by(|a, b| (a.topic, a.partition) == (b.topic, b.partition)) {
            let place = (run[0].topic, run[0].partition);
            if let Some(offset) = run.iter().map(&offset).reduce(pick) {
                picked.entry(place).and_modify(|before| *before = pick(*before, offset)).or_insert(offset);
            }
        }
        picked
            .into_iter()
            .map(|((topic, partition), offset)| {
                (TopicPartition { topic: self.topics[topic as usize].clone(), partition }, offset)
            })
            .collect()
    }

    fn topic(&mut self, topic: &str) -> u32 {
        // Records come in runs of one topic: the last one's index is nearly always the answer.
        if let Some(last) = self.slots.last()
            && &*self.topics[last.topic as usize] == topic
        {
            return last.topic;
        }
        if let Some(index) = self.topic_index.get(topic) {
            return *index;
        }
        let (index, name) = (place(self.topics.len()), Arc::<str>::from(topic));
        self.topics.push(name.clone());
        self.topic_index.insert(name, index);
        index
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<u32> {
        let start = place(self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        start..place(self.bytes.len())
    }

    fn slice(&self, range: &Range<u32>) -> &[u8] {
        &self.bytes[range.start as usize..range.end as usize]
    }
}

/// A place in a batch. `GatherLimits::bytes_max` and Kafka's own record limit keep a batch far below 4 GiB.
fn place(index: usize) -> u32 {
    u32::try_from(index).expect("a batch is bounded by GatherLimits, far below 4 GiB")
}

impl<'a> Record<'a> {
    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &'a Arc<str> {
        &self.batch.topics[self.slot.topic as usize]
    }

    /// Its topic's place in [`Batch::topics`]: an index for tables made per batch.
    #[must_use]
    pub fn topic_index(&self) -> usize {
        self.slot.topic as usize
    }

    /// Its partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.slot.partition
    }

    /// Its offset.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.slot.offset
    }

    /// Its timestamp, milliseconds since 1970; -1 where the record has none.
    #[must_use]
    pub fn timestamp_ms(&self) -> i64 {
        self.slot.timestamp_ms
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.slot.key.as_ref().map(|range| self.batch.slice(range))
    }

    /// Its value; none is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.slot.value.as_ref().map(|range| self.batch.slice(range))
    }

    /// Bytes of its key, value and headers.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        let length = |range: &Option<Range<u32>>| range.as_ref().map_or(0, |range| range.len());
        let headers = self.headers().map(|(name, value)| name.len() + value.len());
        length(&self.slot.key) + length(&self.slot.value) + headers.sum::<usize>()
    }

    /// Its headers, in order; a header without a value has an empty one.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + Clone + use<'a> {
        let batch = self.batch;
        batch.headers[self.slot.headers.start as usize..self.slot.headers.end as usize].iter().map(move |slot| {
            // Names were `&str` when they were pushed.
            (std::str::from_utf8(batch.slice(&slot.name)).unwrap_or_default(), batch.slice(&slot.value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let mut batch = Batch::new();
        batch.push("a", 0, 5, 1, Some(b"k"), Some(b"v"), [("h", &b"1"[..])].into_iter());
        batch.push("a", 0, 6, 1, None, None, std::iter::empty());
        batch.push("b", 1, 9, 1, None, Some(b""), std::iter::empty());
        batch
    }

    #[test]
    fn a_record_reads_back_as_it_was_pushed() {
        let batch = batch();
        let first = batch.get(0).unwrap();
        assert_eq!((&**first.topic(), first.key(), first.value()), ("a", Some(&b"k"[..]), Some(&b"v"[..])));
        assert_eq!(first.headers().collect::<Vec<_>>(), [("h", &b"1"[..])]);
        assert_eq!((batch.get(1).unwrap().value(), batch.get(2).unwrap().value()), (None, Some(&b""[..])));
    }

    #[test]
    fn positions_are_per_partition() {
        let batch = batch();
        let flat = |positions: Positions| {
            positions.into_iter().map(|(p, o)| (p.topic.to_string(), p.partition, o)).collect::<Vec<_>>()
        };
        assert_eq!(flat(batch.next_offsets()), [("a".into(), 0, 7), ("b".into(), 1, 10)]);
        assert_eq!(flat(batch.first_offsets()), [("a".into(), 0, 5), ("b".into(), 1, 9)]);
    }

    #[test]
    fn a_record_moves_to_another_batch_whole() {
        let (batch, mut other) = (batch(), Batch::new());
        other.push_record(&batch.get(0).unwrap());
        let (one, moved) = (batch.get(0).unwrap(), other.get(0).unwrap());
        assert_eq!(
            (moved.topic(), moved.offset(), moved.key(), moved.value()),
            (one.topic(), 5, one.key(), one.value())
        );
        assert!(moved.headers().eq(one.headers()));
    }

    #[test]
    fn cut_drops_what_follows_in_a_partition() {
        let mut batch = batch();
        let at = |topic: &str, partition| TopicPartition { topic: topic.into(), partition };
        batch.cut(&Positions::from([(at("a", 0), 6), (at("b", 0), 0), (at("c", 0), 0)]));
        assert_eq!(batch.iter().map(|record| record.offset()).collect::<Vec<_>>(), [5, 9]);
    }

    #[test]
    fn a_batch_from_which_all_is_taken_holds_no_bytes() {
        let (mut cut, mut retained) = (batch(), batch());
        cut.cut(&cut.first_offsets());
        retained.retain(|_, _| false);
        assert_eq!((cut.bytes_len(), retained.bytes_len()), (0, 0));
    }

    #[test]
    fn an_empty_batch_knows_few_topics() {
        let mut batch = batch();
        batch.clear();
        assert_eq!(batch.topics().len(), 2);
        for topic in 0..=TOPICS_KEPT_MAX {
            batch.push(&topic.to_string(), 0, 0, 0, None, None, std::iter::empty());
        }
        batch.clear();
        batch.push("a", 0, 0, 0, None, None, std::iter::empty());
        assert_eq!((batch.topics(), &**batch.get(0).unwrap().topic()), (&[Arc::from("a")][..], "a"));
    }

    #[test]
    fn split_has_what_cut_drops() {
        let batch = batch();
        let at = |topic: &str, partition| TopicPartition { topic: topic.into(), partition };
        let parts = batch.split(&Positions::from([(at("a", 0), 6), (at("b", 0), 0), (at("b", 1), 0)]));
        let flat = |part: &Batch| part.iter().map(|record| (record.topic().to_string(), record.offset())).collect();
        let found: Vec<(i32, Vec<(String, i64)>)> = parts.iter().map(|(at, part)| (at.partition, flat(part))).collect();
        assert_eq!(found, [(0, vec![("a".to_owned(), 6)]), (1, vec![("b".to_owned(), 9)])]);
    }

    #[test]
    fn a_record_has_as_many_bytes_as_its_parts() {
        let batch = batch();
        assert_eq!(batch.iter().map(|record| record.bytes_len()).collect::<Vec<_>>(), [4, 0, 0]);
    }

    #[test]
    fn retain_drops_a_partition() {
        let mut batch = batch();
        batch.retain(|topic, _| topic == "b");
        assert_eq!(batch.iter().map(|record| record.offset()).collect::<Vec<_>>(), [9]);
    }
}
