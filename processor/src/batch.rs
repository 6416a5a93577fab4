//! One batch, one transaction.

use std::sync::Arc;
use std::time::Instant;

use jobico_broker::{Batch, Error, Transactor};
use jobico_event::snapshot::{QueueView, Snapshot};

use crate::metrics::Metrics;
use crate::step::Stepper;

/// Does all events of `batch` and commits what follows from them together with their offsets. Every record's topic has
/// a queue in `snapshot`: readiness has seen to that.
///
/// # Errors
/// The log's. A transaction may be open then, to be aborted; nothing of the batch counts.
pub fn run(
    batch: &Batch,
    snapshot: &Snapshot,
    stepper: &mut Stepper,
    member: &mut dyn Transactor,
    metrics: &Metrics,
) -> Result<(), Error> {
    let started = Instant::now();
    let queues: Vec<Option<&Arc<QueueView>>> = batch.topics().iter().map(|topic| snapshot.queue(topic)).collect();
    member.begin()?;
    for record in batch.iter() {
        let queue = queues[record.topic_index()].expect("records of topics without a queue were held back");
        stepper.step(record, queue, member)?;
    }
    let stepped = Instant::now();
    member.commit(&batch.next_offsets())?;
    metrics.batch_events.observe(batch.len() as f64);
    metrics.batch_seconds.observe((stepped - started).as_secs_f64());
    metrics.commit_seconds.observe(stepped.elapsed().as_secs_f64());
    Ok(())
}
