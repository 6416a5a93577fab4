//! From librdkafka's queues into batches: each partition in its order, all of them in turn, within limits.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;

use super::super::native::message::Message;
use super::super::native::partition_queue::{Bells, PartitionQueue};
use super::super::rebalance::Assigned;
use super::ready::Ready;
use crate::{Batch, GatherLimits, Positions, TopicPartition};

/// Messages taken from librdkafka in one call: few enough that what a byte limit leaves over stays small.
const TAKE_MAX: usize = 512;

/// Turns in a batch, where all have more than that: what a partition costs a batch (its queue looked at, its offset committed)
/// is then a small part of what its events do.
const TURNS_MAX: usize = 100;

/// Bytes that may be given back and kept here, over all partitions. What is more is read again from the log when it is wanted.
const RETURNED_BYTES_MAX: usize = 16 << 20;

/// The partitions that a member has. librdkafka knows them too, but tells it late.
pub(super) struct Intake {
    by_number: HashMap<u64, Source>,
    numbers: BTreeMap<TopicPartition, u64>,
    /// Added since this was asked for last; a set, since some never ask.
    assigned: BTreeSet<TopicPartition>,
    /// Those that may have messages, in turn.
    ready: Ready,
    bells: Arc<Bells>,
    rung: Vec<u64>,
    taken: Vec<Message>,
    /// The error of a partition that was met beside records, which come first.
    failed: Option<(Code, String)>,
}

/// Where a partition's messages come from. They hold on to their client: all of this must be dropped before.
struct Source {
    partition: TopicPartition,
    /// What a batch had and gave back; it comes first.
    returned: Option<Returned>,
    /// What librdkafka gave but a batch had no room for; the queue's messages come after it.
    left_over: VecDeque<Message>,
    queue: Option<PartitionQueue>,
    paused: bool,
    /// What is there comes from before a rewind.
    stale: bool,
    /// Whether it is in `ready`.
    queued: bool,
    /// One past what a batch was given last, or where the group stands; none where that is not known.
    next: Option<i64>,
    /// What [`Intake::backlog`] found last: `next` and the end.
    seen: Option<(i64, i64)>,
}

/// Records of one partition that were given back.
struct Returned {
    records: Batch,
    /// The first of them that no batch has had since.
    next: usize,
}

impl Intake {
    /// Without partitions.
    pub(super) fn new(bells: Arc<Bells>) -> Self {
        Self {
            by_number: HashMap::new(),
            numbers: BTreeMap::new(),
            assigned: BTreeSet::new(),
            ready: Ready::default(),
            bells,
            rung: Vec::new(),
            taken: Vec::new(),
            failed: None,
        }
    }

    /// A partition is the member's from now on.
    pub(super) fn add(&mut self, Assigned { partition, number, queue }: Assigned) {
        self.numbers.insert(partition.clone(), number);
        self.assigned.insert(partition.clone());
        self.by_number.insert(
            number,
            Source {
                partition,
                returned: None,
                left_over: VecDeque::new(),
                queue,
                paused: false,
                stale: false,
                queued: false,
                next: None,
                seen: None,
            },
        );
        self.enqueue(number);
    }

    /// A partition is not the member's any more.
    pub(super) fn remove(&mut self, partition: &TopicPartition) {
        if let Some(number) = self.numbers.remove(partition) {
            self.by_number.remove(&number);
            self.ready.remove(number);
        }
    }

    /// The partitions added since this was asked last.
    pub(super) fn take_assigned(&mut self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.assigned).into_iter().collect()
    }

    /// Whether a partition is the member's.
    pub(super) fn has(&self, partition: &TopicPartition) -> bool {
        self.numbers.contains_key(partition)
    }

    /// Whether the member has none.
    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The member's partitions.
    pub(super) fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.numbers.keys().cloned().collect()
    }

    /// How many these are.
    pub(super) fn assigned(&self) -> usize {
        self.numbers.len()
    }

    /// Holds a partition back: it is not asked any more. librdkafka stops fetching once as much is ahead as it may.
    pub(super) fn pause(&mut self, partition: &TopicPartition) {
        if let Some(source) = self.source(partition) {
            source.paused = true;
        }
    }

    /// Ends a [`Intake::pause`].
    pub(super) fn resume(&mut self, partition: &TopicPartition) {
        let Some(number) = self.numbers.get(partition).copied() else { return };
        if let Some(source) = self.by_number.get_mut(&number) {
            source.paused = false;
        }
        self.enqueue(number);
    }

    /// A partition is to go back: nothing of it counts before it did.
    pub(super) fn rewinding(&mut self, partition: &TopicPartition, offset: i64) {
        if let Some(source) = self.source(partition) {
            source.next = Some(offset);
            source.returned = None;
            source.left_over.clear();
            source.stale = true;
        }
    }

    /// Takes back what `batch` has of partitions from the offsets on that stand in `from`. False: it has no room for it, or one
    /// of them is about to go back further; nothing was taken.
    pub(super) fn take_back(&mut self, batch: &Batch, from: &Positions) -> bool {
        let is_stale =
            |at| self.numbers.get(at).and_then(|number| self.by_number.get(number)).is_some_and(|it| it.stale);
        if from.keys().any(is_stale) {
            return false;
        }
        let parts = batch.split(from);
        let kept: usize =
            self.by_number.values().filter_map(|source| source.returned.as_ref()).map(Returned::bytes).sum();
        if kept + parts.values().map(Batch::bytes_len).sum::<usize>() > RETURNED_BYTES_MAX {
            return false;
        }
        for (at, records) in parts {
            let Some(number) = self.numbers.get(&at).copied() else { continue };
            if let Some(source) = self.by_number.get_mut(&number) {
                source.take_back(records);
            }
            self.enqueue(number);
        }
        true
    }

    /// Where a partition begins, if nothing was taken of it yet.
    pub(super) fn begins_at(&mut self, partition: &TopicPartition, offset: i64) {
        if let Some(source) = self.source(partition) {
            source.next.get_or_insert(offset);
        }
    }

    /// How far the ends of partitions are from what batches were given. A partition whose queue was empty all the while since
    /// this was asked last has nothing before its end but markers of transactions.
    pub(super) fn backlog(
        &mut self,
        counts: &dyn Fn(&str) -> bool,
        end: impl Fn(&TopicPartition) -> Option<i64>,
    ) -> u64 {
        let counted = self.by_number.values_mut().filter(|source| counts(&source.partition.topic));
        counted
            .map(|source| {
                let Some(end) = end(&source.partition) else { return 0 };
                let now = (source.next.unwrap_or(0), end);
                let is_drained = source.seen.replace(now) == Some(now) && !source.paused && !source.has_more();
                if is_drained { 0 } else { u64::try_from(now.1 - now.0).unwrap_or(0) }
            })
            .sum()
    }

    /// A partition went back.
    pub(super) fn rewound(&mut self, partition: &TopicPartition) {
        let Some(number) = self.numbers.get(partition).copied() else { return };
        if let Some(source) = self.by_number.get_mut(&number) {
            source.stale = false;
        }
        self.enqueue(number);
    }

    /// The error of a partition, said once.
    pub(super) fn take_failure(&mut self) -> Option<(Code, String)> {
        self.failed.take()
    }

    /// Waits until some partition has messages, at most `wait`.
    pub(super) fn wait(&self, wait: Duration) {
        self.bells.wait(wait);
    }

    /// Fills the batch with what is there, without waiting. Each partition gets its share, and who had its turn goes to the
    /// end: none starves, whatever another has. A batch out of very many partitions would cost more than its records do: where
    /// all have much, some have their turn in the next one.
    pub(super) fn fill(&mut self, batch: &mut Batch, limits: &GatherLimits) {
        let mut rung = std::mem::take(&mut self.rung);
        self.bells.take(&mut rung);
        rung.drain(..).for_each(|number| self.enqueue(number));
        self.rung = rung;
        let half = |has: usize, max: usize| has + max.saturating_sub(has).div_ceil(2);
        let (half_records, half_bytes) =
            (half(batch.len(), limits.records_max), half(batch.bytes_len(), limits.bytes_max));
        self.ready.begin();
        let least = (limits.records_max.saturating_sub(batch.len()) / TURNS_MAX).max(1);
        // Each that is ready now has a turn with an equal share; what is left of the room is for the turns after that.
        let (mut turns, mut share) = (0, 0);
        while !is_full(batch, limits) {
            if turns == 0 {
                turns = self.ready.len();
                let equal = (limits.records_max - batch.len()) / turns.max(1);
                share = equal.max(least);
            }
            let Some(number) = self.ready.next(batch.len() < half_records && batch.bytes_len() < half_bytes) else {
                return;
            };
            turns -= 1;
            let Some(source) = self.by_number.get_mut(&number) else { continue };
            source.queued = false;
            if source.paused || source.stale {
                continue;
            }
            let turn = GatherLimits { records_max: (batch.len() + share).min(limits.records_max), ..*limits };
            let room = source.fill(batch, &turn, &mut self.taken, &mut self.failed);
            if source.has_more() {
                source.queued = true;
                self.ready.wait(number);
            }
            if !room {
                return;
            }
        }
    }

    fn source(&mut self, partition: &TopicPartition) -> Option<&mut Source> {
        self.by_number.get_mut(self.numbers.get(partition)?)
    }

    fn enqueue(&mut self, number: u64) {
        // A queue may have rung before it was taken away.
        let Some(source) = self.by_number.get_mut(&number) else { return };
        if !source.queued && !source.paused && !source.stale {
            source.queued = true;
            self.ready.arrive(number);
        }
    }
}

impl Source {
    /// False: a message was too large for what room there is.
    fn fill(
        &mut self,
        batch: &mut Batch,
        limits: &GatherLimits,
        taken: &mut Vec<Message>,
        failed: &mut Option<(Code, String)>,
    ) -> bool {
        while let Some(returned) = &mut self.returned {
            let Some(record) = returned.records.get(returned.next) else {
                self.returned = None;
                break;
            };
            if batch.len() >= limits.records_max || !fits(batch, limits, record.bytes_len()) {
                return batch.len() >= limits.records_max;
            }
            batch.push_record(&record);
            self.next = Some(record.offset() + 1);
            returned.next += 1;
        }
        let topic = self.partition.topic.clone();
        while let Some(message) = self.left_over.pop_front() {
            if batch.len() >= limits.records_max || !fits(batch, limits, message.len()) {
                let room = batch.len() >= limits.records_max;
                self.left_over.push_front(message);
                return room;
            }
            message.copy_to(batch, &topic);
            self.next = Some(message.offset() + 1);
        }
        let Some(queue) = &self.queue else { return true };
        while !is_full(batch, limits) && self.left_over.is_empty() {
            queue.take(taken, (limits.records_max - batch.len()).min(TAKE_MAX));
            if taken.is_empty() {
                return true;
            }
            for message in taken.drain(..) {
                if let Some(code) = message.error() {
                    failed.get_or_insert_with(|| (code, message.error_text()));
                } else if self.left_over.is_empty() && fits(batch, limits, message.len()) {
                    message.copy_to(batch, &topic);
                    self.next = Some(message.offset() + 1);
                } else {
                    // A smaller one behind it must not overtake.
                    self.left_over.push_back(message);
                }
            }
        }
        self.left_over.is_empty()
    }

    /// What is given back comes before what was given back earlier and is still here: it was before it in a batch.
    fn take_back(&mut self, mut records: Batch) {
        let Some(first) = records.get(0).map(|record| record.offset()) else { return };
        if let Some(earlier) = self.returned.take() {
            earlier.records.iter().skip(earlier.next).for_each(|record| records.push_record(&record));
        }
        self.next = Some(first);
        self.returned = Some(Returned { records, next: 0 });
    }

    fn has_more(&self) -> bool {
        self.returned.is_some()
            || !self.left_over.is_empty()
            || self.queue.as_ref().is_some_and(|queue| !queue.is_empty())
    }
}

/// Whether the batch takes no more.
fn is_full(batch: &Batch, limits: &GatherLimits) -> bool {
    batch.len() >= limits.records_max || (!batch.is_empty() && batch.bytes_len() >= limits.bytes_max)
}

/// Whether there is room for a record of so many bytes, or nothing else to return.
fn fits(batch: &Batch, limits: &GatherLimits, bytes: usize) -> bool {
    batch.is_empty() || batch.bytes_len().saturating_add(bytes) <= limits.bytes_max
}

impl Returned {
    fn bytes(&self) -> usize {
        self.records.bytes_len()
    }
}
