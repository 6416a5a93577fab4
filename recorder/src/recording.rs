//! From a topic to the store: one thread, one member of a group.
//!
//! ```text
//! gather ─► decode ─► rows ─► write to the store ─► acknowledged ─► commit offsets
//!   ▲          └ unreadable: counted, named in the log, passed over   │
//!   │                                                                 │ the store fails: readiness says so; the batch is kept,
//!   └── any error of the log: back to where the batch began ◄─────────┘ tried again with growing waits; the member stays in
//!                                                                       its group meanwhile (`hold`)
//! ```
//!
//! Offsets are committed after the write is acknowledged and never before, so a crash at any point means that records are
//! delivered again, and a row written again is the same row.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobico_broker::{Batch, Broker, Class, Consumer, Error, GatherLimits, Membership};
use jobico_catalog::Handle;
use jobico_service::backoff::{self, Backoff};
use jobico_service::health::Component;
use jobico_service::{BoxError, chain};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::readiness::Source;
use crate::row::{Row, now_ms};
use crate::store::Store;

pub mod hold;
pub mod kind;

use hold::Hold;
use kind::Kind;

/// Records written at a time, at most.
pub const BATCH_RECORDS_MAX: usize = 4_000;
/// Bytes written at a time, about: one record may have more.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// How long to wait for records; a new catalog and a stop are noticed after it.
const GATHER_WAIT: Duration = Duration::from_millis(100);
/// The first wait after an error; it doubles with each error in a row.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest wait after an error.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// While it waits for the store, a recorder keeps its place in the group this often.
const WAIT_STEP: Duration = Duration::from_millis(100);

/// What records one kind: results or logs.
pub struct Recording<K> {
    /// What is recorded.
    pub kind: K,
    /// The log.
    pub broker: Arc<dyn Broker>,
    /// The catalog.
    pub catalog: Handle,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Where the store's futures run.
    pub runtime: tokio::runtime::Handle,
    /// What is counted.
    pub metrics: Metrics,
    /// How this does.
    pub health: Component,
    /// What this has met of the store.
    pub store_health: Source,
    /// When to stop.
    pub stop: CancellationToken,
}

/// How a run of a member ended.
enum End {
    /// The process stops.
    Stopped,
    /// The member is of no more use.
    Broken(Error),
}

impl<K: Kind> Recording<K> {
    /// Records until it is told to stop. Errors of the log and of the store are survived here.
    ///
    /// # Errors
    /// None today; the signature is that of a task.
    pub fn run(self) -> Result<(), BoxError> {
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        while !self.stop.is_cancelled() {
            match self.broker.join(&self.membership()) {
                Ok(mut member) => match self.work(&mut *member, &mut backoff) {
                    End::Stopped => return Ok(()),
                    End::Broken(error) => {
                        self.health.failing(&error);
                        self.metrics.rebuilds.with_label_values(&[K::NAME]).inc();
                    }
                },
                Err(error) => self.health.failing(&error),
            }
            backoff::sleep(&self.stop, backoff.after_error());
        }
        Ok(())
    }

    fn membership(&self) -> Membership {
        Membership {
            group: K::GROUP.to_owned(),
            client_id: format!("jobico-recorder-{}", K::NAME),
            topics: K::topics(&self.catalog.load()).len(),
        }
    }

    fn work(&self, member: &mut dyn Consumer, backoff: &mut Backoff) -> End {
        let (mut batch, mut hold, mut subscribed) = (Batch::new(), Hold::default(), None);
        while !self.stop.is_cancelled() {
            match self.turn(member, &mut batch, &mut hold, &mut subscribed) {
                Ok(()) => {
                    self.health.ready();
                    backoff.reset();
                }
                Err(error) => {
                    tracing::warn!(kind = K::NAME, %error, "a batch is given up and recorded again");
                    // The first alone says little: any rebalance that meets a commit makes one.
                    if backoff.errors() > 0 {
                        self.health.failing(&error);
                    }
                    // Records that were gathered and not committed come again.
                    let back = match error.class {
                        Class::Fatal => Err(error),
                        Class::Retriable | Class::Abortable => member.rewind(&batch.first_offsets()),
                    };
                    if let Err(error) = back {
                        return End::Broken(error);
                    }
                    backoff::sleep(&self.stop, backoff.after_error());
                }
            }
        }
        End::Stopped
    }

    /// One turn: follow the catalog, gather a batch, write it, commit.
    fn turn(
        &self,
        member: &mut dyn Consumer,
        batch: &mut Batch,
        hold: &mut Hold,
        subscribed: &mut Option<u64>,
    ) -> Result<(), Error> {
        const LIMITS: GatherLimits = GatherLimits { records_max: BATCH_RECORDS_MAX, bytes_max: BATCH_BYTES_MAX };
        batch.clear();
        hold.release(member)?;
        // The revision is read before the snapshot: a swap between the two is seen in the next turn at the latest.
        let revision = self.catalog.revision();
        let snapshot = self.catalog.load();
        if *subscribed != Some(revision) {
            member.subscribe(&K::topics(&snapshot))?;
            *subscribed = Some(revision);
        }
        member.gather(batch, &LIMITS, GATHER_WAIT)?;
        if batch.is_empty() {
            return Ok(());
        }
        let rows = self.decode(batch, &snapshot);
        if !self.write(rows.into(), member, hold)? {
            return Ok(());
        }
        let mut positions = batch.next_offsets();
        hold.forget_lost(&mut positions);
        member.commit_offsets(&positions)
    }

    fn decode(&self, batch: &Batch, snapshot: &jobico_event::snapshot::Snapshot) -> Vec<K::Row> {
        let now_ms = now_ms();
        let mut rows = Vec::with_capacity(batch.len());
        let mut expired = 0;
        for record in batch.iter() {
            match self.kind.decode(&record, snapshot, now_ms) {
                Ok(row) if row.expires_at_s() <= now_ms / 1000 => expired += 1,
                Ok(row) => rows.push(row),
                Err(error) => {
                    self.metrics.unreadable.with_label_values(&[K::NAME]).inc();
                    let (topic, partition, offset) = (record.topic(), record.partition(), record.offset());
                    let error = chain(&error);
                    tracing::warn!(%topic, partition, offset, error, "a record is passed over: it cannot be recorded");
                }
            }
        }
        self.metrics.expired.with_label_values(&[K::NAME]).inc_by(expired);
        rows
    }

    /// Writes rows, as often as it takes. False: the process stops before it was possible, and nothing is to be committed.
    fn write(&self, rows: Arc<[K::Row]>, member: &mut dyn Consumer, hold: &mut Hold) -> Result<bool, Error> {
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        while !rows.is_empty() {
            let begun = Instant::now();
            match self.runtime.block_on(K::write(&*self.store, rows.clone())) {
                Ok(()) => {
                    self.store_health.ready();
                    self.metrics.written.with_label_values(&[K::NAME]).inc_by(rows.len() as u64);
                    self.metrics.write_seconds.with_label_values(&[K::NAME]).observe(begun.elapsed().as_secs_f64());
                    break;
                }
                Err(error) => {
                    self.store_health.failing(&chain(&error));
                    self.metrics.write_failures.with_label_values(&[K::NAME]).inc();
                }
            }
            let until = Instant::now() + backoff.after_error();
            while Instant::now() < until {
                if self.stop.is_cancelled() {
                    return Ok(false);
                }
                hold.keep(member)?;
                std::thread::sleep(until.saturating_duration_since(Instant::now()).min(WAIT_STEP));
            }
        }
        Ok(true)
    }
}
