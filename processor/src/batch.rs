//! One batch, one transaction.

use std::collections::HashSet;
use std::time::Instant;

use jobico_broker::{Batch, Error, Positions, Record, TopicPartition, Transactor};
use jobico_event::name;

use crate::arrival::{Arrival, Lane, Lanes, Origin};
use crate::metrics::Metrics;
use crate::readiness::{Wait, Waiting};
use crate::step::{Stepper, Verdict};

/// What came of a batch beside what is committed.
#[derive(Debug, Default)]
pub struct Done {
    /// One past the last event done, per partition: as committed.
    pub committed: Positions,
    /// Events that wait where they are.
    pub waits: Vec<Wait>,
}

/// Does the events of `batch` and commits what follows from them together with their offsets. `now_ms` is the time,
/// milliseconds since 1970.
///
/// # Errors
/// The log's. A transaction may be open then, to be aborted; nothing of the batch counts.
pub fn run(
    batch: &Batch,
    lanes: &Lanes<'_>,
    waiting: &Waiting,
    stepper: &mut Stepper,
    member: &mut dyn Transactor,
    metrics: &Metrics,
    now_ms: i64,
) -> Result<Done, Error> {
    let started = Instant::now();
    let (mut waits, mut stopped) = (Vec::new(), HashSet::new());
    member.begin()?;
    for record in batch.iter() {
        if !stopped.is_empty() && stopped.contains(&(record.topic_index(), record.partition())) {
            continue;
        }
        let (verdict, attempts) = step(record, lanes, waiting, stepper, member)?;
        if let Verdict::WaitInPlace(tier) = verdict {
            stopped.insert((record.topic_index(), record.partition()));
            waits.push(Wait {
                partition: TopicPartition { topic: record.topic().clone(), partition: record.partition() },
                offset: record.offset(),
                attempts: attempts + 1,
                until_ms: now_ms.saturating_add(i64::try_from(tier.delay().as_millis()).unwrap_or(i64::MAX)),
            });
        }
    }
    let stepped = Instant::now();
    let committed = committed(batch, &waits);
    member.commit(&committed)?;
    metrics.batch_events.observe(batch.len() as f64);
    metrics.batch_seconds.observe((stepped - started).as_secs_f64());
    metrics.commit_seconds.observe(stepped.elapsed().as_secs_f64());
    Ok(Done { committed, waits })
}

/// Does one event. Beside the verdict: how often it was run before.
fn step(
    record: Record<'_>,
    lanes: &Lanes<'_>,
    waiting: &Waiting,
    stepper: &mut Stepper,
    member: &mut dyn Transactor,
) -> Result<(Verdict, u32), Error> {
    let (arrival, queue) = match lanes.lane(&record) {
        Lane::Queue(queue) => {
            let arrival = Arrival { record, origin: Origin::here(&record), attempts: waiting.attempts(&record) };
            (arrival, Some(queue))
        }
        Lane::Tier(_) => match Origin::of_tier(&record) {
            Ok((origin, attempts)) => (Arrival { record, origin, attempts }, lanes.queue(origin.topic)),
            Err(error) => {
                let (topic, partition, offset) = (record.topic(), record.partition(), record.offset());
                tracing::error!(%topic, partition, offset, %error, "a record is passed over");
                return Ok((Verdict::Done, 0));
            }
        },
        Lane::Idle => unreachable!("records of queues without a job were held back"),
    };
    let verdict = match (queue, name::tenant_of(arrival.origin.topic)) {
        (Some(queue), _) => stepper.step(arrival, queue, member)?,
        (None, Some(tenant)) => stepper.step_homeless(arrival, &tenant, member)?,
        (None, None) => Verdict::Done,
    };
    Ok((verdict, arrival.attempts))
}

/// What of a batch is done: all of it, but for partitions that wait at one of their events.
fn committed(batch: &Batch, waits: &[Wait]) -> Positions {
    let mut positions = batch.next_offsets();
    if waits.is_empty() {
        return positions;
    }
    let firsts = batch.first_offsets();
    for wait in waits {
        if firsts.get(&wait.partition) == Some(&wait.offset) {
            positions.remove(&wait.partition);
        } else {
            positions.insert(wait.partition.clone(), wait.offset);
        }
    }
    positions
}
