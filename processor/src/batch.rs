//! One batch, one transaction.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use jobico_broker::{Batch, Error, Positions, Record, TopicPartition, Transactor};
use jobico_event::name;

use crate::arrival::{Arrival, Lane, Lanes, Origin};
use crate::metrics::Metrics;
use crate::readiness::{Wait, Waiting};
use crate::step::{Stepper, Verdict};
use crate::turns::{Party, Turns};

/// What came of a batch beside what is committed.
#[derive(Debug, Default)]
pub struct Done {
    /// One past the last event done, per partition: as committed.
    pub committed: Positions,
    /// Events that wait where they are.
    pub waits: Vec<Wait>,
    /// Records that were not done, since the batch had its time: their places in the batch, in order.
    pub left: Vec<usize>,
}

/// A batch on its way.
struct Run<'b> {
    batch: &'b Batch,
    lanes: &'b Lanes<'b>,
    waiting: &'b Waiting,
    now_ms: i64,
    waits: Vec<Wait>,
    /// Partitions that wait in place.
    stopped: HashSet<(usize, i32)>,
}

/// Does the events of `batch`, as many as its time is enough for, and commits what follows from them together with their
/// offsets. `now_ms` is the time, milliseconds since 1970.
///
/// # Errors
/// The log's. A transaction may be open then, to be aborted; nothing of the batch counts.
#[allow(clippy::too_many_arguments, reason = "the worker's parts, each borrowed for the one call")]
pub fn run(
    batch: &Batch,
    lanes: &Lanes<'_>,
    waiting: &Waiting,
    turns: &mut Turns,
    stepper: &mut Stepper,
    member: &mut dyn Transactor,
    metrics: &Metrics,
    now_ms: i64,
) -> Result<Done, Error> {
    let started = Instant::now();
    let span = stepper.begin_batch(batch.len());
    let mut run = Run { batch, lanes, waiting, now_ms, waits: Vec::new(), stopped: HashSet::new() };
    member.begin()?;
    let mut left = run.in_turns(turns, stepper, member)?;
    // What stands behind an event that waits in its place is read again.
    left.retain(|index| batch.get(*index).is_some_and(|record| !run.stopped.contains(&place(&record))));
    let stepped = Instant::now();
    let committed = committed(batch, &run.waits, &left);
    member.commit(&committed)?;
    span.record("events.done", batch.len() - left.len());
    span.record("commit.ms", u64::try_from(stepped.elapsed().as_millis()).unwrap_or(u64::MAX));
    metrics.batch_events.observe((batch.len() - left.len()) as f64);
    metrics.batch_seconds.observe((stepped - started).as_secs_f64());
    metrics.commit_seconds.observe(stepped.elapsed().as_secs_f64());
    Ok(Done { committed, waits: run.waits, left })
}

impl Run<'_> {
    /// Gives the parties their turns. What was not done, in order.
    fn in_turns(
        &mut self,
        turns: &mut Turns,
        stepper: &mut Stepper,
        member: &mut dyn Transactor,
    ) -> Result<Vec<usize>, Error> {
        let (parties, mut queues) = self.parties();
        let (mut total, mut begun) = (Duration::ZERO, vec![0; queues.len()]);
        for (party, own) in turns.next(&parties) {
            if turns.is_over(total) {
                break;
            }
            let mut taken = Duration::ZERO;
            for index in &queues[party] {
                if taken >= own {
                    break;
                }
                begun[party] += 1;
                taken += self.step(*index, stepper, member)?;
            }
            turns.settle(&parties[party], own, taken);
            total += taken;
        }
        let mut left: Vec<usize> = Vec::new();
        for (queue, begun) in queues.iter_mut().zip(begun) {
            left.extend(queue.drain(begun..));
        }
        left.sort_unstable();
        Ok(left)
    }

    /// The parties of the batch, and the places of each one's records. Those of a partition are one party's, so that their
    /// order holds.
    fn parties(&self) -> (Vec<Party>, Vec<Vec<usize>>) {
        let (mut parties, mut queues): (Vec<Party>, Vec<Vec<usize>>) = (Vec::new(), Vec::new());
        let mut by_topic: Vec<Option<usize>> = vec![None; self.batch.topics().len()];
        for (index, record) in self.batch.iter().enumerate() {
            let known = &mut by_topic[record.topic_index()];
            let party = *known.get_or_insert_with(|| {
                let party = match self.lanes.lane(&record) {
                    Lane::Queue(queue) => Some(queue.tenant.clone()),
                    Lane::Tier(_) | Lane::Idle => None,
                };
                parties.iter().position(|known| *known == party).unwrap_or_else(|| {
                    parties.push(party);
                    queues.push(Vec::new());
                    parties.len() - 1
                })
            });
            queues[party].push(index);
        }
        (parties, queues)
    }

    /// Does one event; how long its function took.
    fn step(&mut self, index: usize, stepper: &mut Stepper, member: &mut dyn Transactor) -> Result<Duration, Error> {
        let record = self.batch.get(index).expect("places are those of the batch's records");
        if !self.stopped.is_empty() && self.stopped.contains(&place(&record)) {
            return Ok(Duration::ZERO);
        }
        let (arrival, queue) = match self.lanes.lane(&record) {
            Lane::Queue(queue) => {
                let attempts = self.waiting.attempts(&record);
                (Arrival { record, origin: Origin::here(&record), attempts }, Some(queue))
            }
            Lane::Tier(_) => match Origin::of_tier(&record) {
                Ok((origin, attempts)) => (Arrival { record, origin, attempts }, self.lanes.queue(origin.topic)),
                Err(error) => {
                    let (topic, partition, offset) = (record.topic(), record.partition(), record.offset());
                    tracing::error!(%topic, partition, offset, %error, "a record is passed over");
                    return Ok(Duration::ZERO);
                }
            },
            Lane::Idle => unreachable!("records of queues without a job were held back"),
        };
        let verdict = match (queue, name::tenant_of(arrival.origin.topic)) {
            (Some(queue), _) => stepper.step(arrival, queue, member)?,
            (None, Some(tenant)) => stepper.step_homeless(arrival, &tenant, member)?,
            (None, None) => Verdict::Done,
        };
        if let Verdict::WaitInPlace(tier) = verdict {
            let delay_ms = i64::try_from(tier.delay().as_millis()).unwrap_or(i64::MAX);
            self.stopped.insert(place(&record));
            self.waits.push(Wait {
                partition: TopicPartition { topic: record.topic().clone(), partition: record.partition() },
                offset: record.offset(),
                attempts: arrival.attempts + 1,
                until_ms: self.now_ms.saturating_add(delay_ms),
            });
        }
        Ok(stepper.take_function_time())
    }
}

fn place(record: &Record<'_>) -> (usize, i32) {
    (record.topic_index(), record.partition())
}

/// What of a batch is done: all of it, but for partitions that wait at one of their events, and what is left.
fn committed(batch: &Batch, waits: &[Wait], left: &[usize]) -> Positions {
    let mut positions = batch.next_offsets();
    if waits.is_empty() && left.is_empty() {
        return positions;
    }
    let mut heads: BTreeMap<(usize, i32), i64> = BTreeMap::new();
    for record in left.iter().filter_map(|index| batch.get(*index)) {
        heads.entry(place(&record)).or_insert(record.offset());
    }
    let heads = heads.into_iter().map(|((topic, partition), offset)| {
        (TopicPartition { topic: batch.topics()[topic].clone(), partition }, offset)
    });
    let waits = waits.iter().map(|wait| (wait.partition.clone(), wait.offset));
    let firsts = batch.first_offsets();
    for (partition, head) in heads.chain(waits) {
        if firsts.get(&partition) == Some(&head) {
            positions.remove(&partition);
        } else {
            positions.insert(partition, head);
        }
    }
    positions
}
