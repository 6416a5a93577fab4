//! One batch, one transaction.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use jobico_broker::{Batch, Error, Positions, Record, TopicPartition, Transactor};
use jobico_event::name;

use crate::arrival::{Arrival, Lane, Lanes, Origin};
use crate::metrics::Metrics;
use crate::quota::Quotas;
use crate::readiness::{Wait, Waiting};
use crate::step::{Stepper, Verdict};
use crate::turns::{Claim, Turns};

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
    quotas: &'b mut Quotas,
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
    quotas: &mut Quotas,
    stepper: &mut Stepper,
    member: &mut dyn Transactor,
    metrics: &Metrics,
    now_ms: i64,
) -> Result<Done, Error> {
    let started = Instant::now();
    let span = stepper.begin_batch(batch.len());
    let mut run = Run { batch, lanes, waiting, quotas, now_ms, waits: Vec::new(), stopped: HashSet::new() };
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
        let (claims, mut queues) = self.claims();
        let events: Vec<usize> = queues.iter().map(Vec::len).collect();
        let done = turns.run(&claims, &events, |party, nth| self.step(queues[party][nth], stepper, member))?;
        let mut left: Vec<usize> = Vec::new();
        for (queue, done) in queues.iter_mut().zip(done) {
            left.extend(queue.drain(done..));
        }
        left.sort_unstable();
        Ok(left)
    }

    /// The parties of the batch, and the places of each one's records. Those of a partition are one party's, so that their
    /// order holds.
    fn claims(&self) -> (Vec<Claim>, Vec<Vec<usize>>) {
        let (mut claims, mut queues): (Vec<Claim>, Vec<Vec<usize>>) = (Vec::new(), Vec::new());
        let mut by_topic: Vec<Option<usize>> = vec![None; self.batch.topics().len()];
        for (index, record) in self.batch.iter().enumerate() {
            let known = &mut by_topic[record.topic_index()];
            let party = *known.get_or_insert_with(|| {
                let tenant = match self.lanes.lane(&record) {
                    Lane::Queue(queue) => Some(&queue.tenant),
                    Lane::Tier(_) | Lane::Idle => None,
                };
                claims.iter().position(|claim| claim.party.as_ref() == tenant).unwrap_or_else(|| {
                    claims.push(Claim {
                        party: tenant.cloned(),
                        weight: tenant
                            .and_then(|tenant| self.lanes.tenant(tenant.as_str()))
                            .map_or(1, |view| view.weight),
                        allowance: tenant.and_then(|tenant| self.quotas.left(tenant)),
                    });
                    queues.push(Vec::new());
                    claims.len() - 1
                })
            });
            queues[party].push(index);
        }
        (claims, queues)
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
        let function_time = stepper.take_function_time();
        if let Some(queue) = queue {
            // Also of what comes back from tiers, which cannot be held back for one tenant alone: its queue pays for it.
            self.quotas.take(&queue.tenant, function_time);
        }
        Ok(function_time)
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
