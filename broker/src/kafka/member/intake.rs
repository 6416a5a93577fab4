//! From librdkafka's queue into batches: in order, within limits, of our own partitions alone.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;

use super::super::native::batch_queue::{BatchQueue, Message};
use crate::{Batch, GatherLimits, TopicPartition};

/// Messages taken from librdkafka in one call: few enough that what a byte limit leaves over stays small.
const TAKE_MAX: usize = 512;

/// What a member has: librdkafka knows it too, but tells it late.
#[derive(Default)]
pub(super) struct Partitions {
    /// Those that are the member's.
    pub(super) assigned: BTreeSet<TopicPartition>,
    /// Those of them that are held back.
    pub(super) paused: BTreeSet<TopicPartition>,
}

/// Messages between librdkafka and a batch. They hold on to their client: it must be dropped before.
#[derive(Default)]
pub(super) struct Intake {
    /// What librdkafka gave but a batch had no room for. Its partitions' next messages come after it.
    left_over: VecDeque<Message>,
    taken: Vec<Message>,
    /// The error of a partition that was met beside records, which come first.
    failed: Option<(Code, String)>,
}

impl Intake {
    /// Fills the batch with what is there, without waiting.
    pub(super) fn fill(
        &mut self,
        queue: &BatchQueue,
        batch: &mut Batch,
        limits: &GatherLimits,
        partitions: &Partitions,
    ) {
        self.fill_from_left_over(batch, limits, partitions);
        while !is_full(batch, limits) && self.left_over.iter().all(|message| contains(&partitions.paused, message)) {
            queue.take(&mut self.taken, (limits.records_max - batch.len()).min(TAKE_MAX), Duration::ZERO);
            if self.taken.is_empty() {
                break;
            }
            self.sort_taken(batch, limits, partitions);
        }
    }

    /// Waits for one record, and puts it into the batch.
    pub(super) fn wait(
        &mut self,
        queue: &BatchQueue,
        batch: &mut Batch,
        limits: &GatherLimits,
        partitions: &Partitions,
        wait: Duration,
    ) {
        queue.take(&mut self.taken, 1, wait);
        self.sort_taken(batch, limits, partitions);
    }

    /// Throws away what was left over of some partitions.
    pub(super) fn forget(&mut self, of: impl Fn(&str, i32) -> bool) {
        self.left_over.retain(|message| !of(message.topic(), message.partition()));
    }

    /// The error of a partition, said once.
    pub(super) fn take_failure(&mut self) -> Option<(Code, String)> {
        self.failed.take()
    }

    /// Takes what was left over first, up to the first record for which there is no room: a smaller one behind it must not
    /// overtake.
    fn fill_from_left_over(&mut self, batch: &mut Batch, limits: &GatherLimits, partitions: &Partitions) {
        let mut held_back = VecDeque::new();
        while let Some(message) = self.left_over.pop_front() {
            if contains(&partitions.paused, &message) {
                held_back.push_back(message);
            } else if fits(batch, limits, &message) {
                if contains(&partitions.assigned, &message) {
                    message.copy_to(batch, message.topic());
                }
            } else {
                self.left_over.push_front(message);
                break;
            }
        }
        held_back.append(&mut self.left_over);
        self.left_over = held_back;
    }

    /// Copies the messages taken into the batch, and keeps those for which it has no room.
    fn sort_taken(&mut self, batch: &mut Batch, limits: &GatherLimits, partitions: &Partitions) {
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
                _ => (message.topic(), contains(&partitions.assigned, message)),
            };
            run = Some((message, topic, ours));
            if ours {
                message.copy_to(batch, topic);
            }
        }
        self.left_over.extend(self.taken.drain(rest..).filter(|message| message.error().is_none()));
        self.taken.clear();
    }
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
