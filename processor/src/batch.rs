//! One batch, one transaction.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use jobico_broker::{Batch, Error, Positions, Record, TopicPartition, Transactor};
use jobico_event::name;

use crate::arrival::{Arrival, Foreign, Lane, Lanes, Origin};
use crate::metrics::Metrics;
use crate::quota::Quotas;
use crate::readiness::{Wait, Waiting};
use crate::step::{Stepped, Stepper, Verdict};
use crate::turns::{Claim, Taken, Turns};

/// Bytes that one batch produces, after which it ends: a function that answers much takes little time for it, and a transaction
/// has to be with the broker before its time is over.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// What came of a batch beside what is committed.
#[derive(Debug, Default)]
pub struct Done {
    /// One past the last event done, per partition: as committed.
    pub committed: Positions,
    /// How many events have an outcome.
    pub events: usize,
    /// Events that wait where they are.
    pub waits: Vec<Wait>,
    /// Records that were not done, since the batch had its time: their places in the batch, in order.
    pub left: Vec<usize>,
}

/// A batch, and what it is done with.
pub struct Run<'r> {
    /// What was gathered.
    pub batch: &'r Batch,
    /// Where its records come from.
    pub lanes: &'r Lanes<'r>,
    /// What waits in place, and how often it was run.
    pub waiting: &'r Waiting,
    /// What its tenants may use.
    pub quotas: &'r mut Quotas,
    /// Does one event.
    pub stepper: &'r mut Stepper,
    /// Whose transaction it is.
    pub member: &'r mut dyn Transactor,
    /// The time, milliseconds since 1970.
    pub now_ms: i64,
    /// What has come to wait so far: nothing.
    pub stops: Stops,
}

/// Where partitions of a batch have come to a stop.
#[derive(Debug, Default)]
pub struct Stops {
    /// Events that have come to wait in place.
    waits: Vec<Wait>,
    /// Their partitions.
    partitions: HashSet<(usize, i32)>,
    /// How many events had no turn since one before them waits in place, or wait themselves.
    passed_by: usize,
}

impl Run<'_> {
    /// Begins a transaction, does the events in it, as many as its time is enough for, and commits what follows from them
    /// together with their offsets.
    ///
    /// # Errors
    /// The log's. A transaction may be open then, to be aborted; nothing of the batch counts.
    pub fn transact(mut self, turns: &mut Turns, metrics: &Metrics) -> Result<Done, Error> {
        let started = Instant::now();
        let span = self.stepper.begin_batch(self.batch.len());
        self.member.begin()?;
        let mut left = self.in_turns(turns)?;
        let undone = left.len();
        // What stands behind an event that waits in its place is read again.
        left.retain(|index| {
            self.batch.get(*index).is_some_and(|record| !self.stops.partitions.contains(&place(&record)))
        });
        let stepped = Instant::now();
        let committed = to_commit(self.batch, &self.stops.waits, &left);
        self.member.commit(&committed)?;
        let events = self.batch.len() - undone - self.stops.passed_by;
        span.record("events.done", events);
        span.record("commit.ms", u64::try_from(stepped.elapsed().as_millis()).unwrap_or(u64::MAX));
        metrics.batch_events.observe(events as f64);
        metrics.batch_seconds.observe((stepped - started).as_secs_f64());
        metrics.commit_seconds.observe(stepped.elapsed().as_secs_f64());
        Ok(Done { committed, events, waits: self.stops.waits, left })
    }

    /// Gives the parties their turns. What was not done, in order.
    fn in_turns(&mut self, turns: &mut Turns) -> Result<Vec<usize>, Error> {
        let (claims, mut queues) = self.claims();
        let events: Vec<usize> = queues.iter().map(Vec::len).collect();
        let done = turns.run(&claims, &events, |party, nth| self.step(queues[party][nth]))?;
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

    /// Does one event.
    fn step(&mut self, index: usize) -> Result<Taken, Error> {
        let function_time = self.do_event(index)?;
        Ok(Taken { function_time, is_full: self.stepper.produced_bytes() >= OUTPUT_BYTES_MAX })
    }

    /// Does one event; how long its function took.
    fn do_event(&mut self, index: usize) -> Result<Duration, Error> {
        let record = self.batch.get(index).expect("places are those of the batch's records");
        if !self.stops.partitions.is_empty() && self.stops.partitions.contains(&place(&record)) {
            self.stops.passed_by += 1;
            return Ok(Duration::ZERO);
        }
        let (arrival, queue) = match self.lanes.lane(&record) {
            Lane::Queue(queue) => {
                let attempts = self.waiting.attempts(&record);
                (Arrival { record, origin: Origin::here(&record), attempts, in_tier: false }, Some(queue))
            }
            Lane::Tier(tier) => match Origin::of_tier(&record) {
                Ok((origin, attempts)) => {
                    let queue = self.lanes.queue(origin.topic);
                    if queue.is_some_and(|queue| !self.stepper.instances.prepare(queue)) {
                        self.stepper.put_off(&record, tier, self.member)?;
                        return Ok(Duration::ZERO);
                    }
                    (Arrival { record, origin, attempts, in_tier: true }, queue)
                }
                Err(error) => return Ok(self.pass_over(&record, error)),
            },
            Lane::Idle => unreachable!("records of queues without a job were held back"),
        };
        let Stepped { verdict, function_time } = match (queue, name::tenant_of(arrival.origin.topic)) {
            (Some(queue), _) => self.stepper.step(arrival, queue, self.member)?,
            (None, Some(tenant)) => self.stepper.step_homeless(arrival, &tenant, self.member)?,
            (None, None) => return Ok(self.pass_over(&record, Foreign)),
        };
        if let Verdict::WaitInPlace(tier) = verdict {
            let delay_ms = i64::try_from(tier.delay().as_millis()).unwrap_or(i64::MAX);
            self.stops.partitions.insert(place(&record));
            self.stops.passed_by += 1;
            self.stops.waits.push(Wait {
                partition: TopicPartition { topic: record.topic().clone(), partition: record.partition() },
                offset: record.offset(),
                attempts: arrival.attempts + 1,
                until_ms: self.now_ms.saturating_add(delay_ms),
            });
        }
        if let Some(queue) = queue {
            // Also of what comes back from tiers, which cannot be held back for one tenant alone: its queue pays for it.
            self.quotas.take(&queue.tenant, function_time);
        }
        Ok(function_time)
    }

    /// Has a record that is nobody's event count as done.
    fn pass_over(&mut self, record: &Record<'_>, why: Foreign) -> Duration {
        let (topic, partition, offset) = (record.topic(), record.partition(), record.offset());
        tracing::error!(%topic, partition, offset, error = %why, "a record is passed over");
        self.stepper.tally.foreign += 1;
        Duration::ZERO
    }
}

fn place(record: &Record<'_>) -> (usize, i32) {
    (record.topic_index(), record.partition())
}

/// Where a batch's partitions go on: behind all of it, but for those that wait at one of their events, and what is left.
fn to_commit(batch: &Batch, waits: &[Wait], left: &[usize]) -> Positions {
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
