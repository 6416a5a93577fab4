//! A worker: one thread, one member of the pool's group, one transactional producer.
//!
//! ```text
//! starting ── joined ──► running ── stop ──► stopped
//!    ▲                      │ error: abort, rewind, wait, go on; a fatal one, or an abort that fails:
//!    └────── rebuilding ◄───┘ drop the member and join again
//! ```
//!
//! [`Worker::run`] is [`Course::turn`] after [`Course::turn`], with the waits in between. Tests take those turns themselves:
//! several workers in one thread, in an order that a seed decides, without waiting.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jobico_broker::{Batch, Broker, Class, Error, GatherLimits, Membership, Record, TopicPartition, Transactor};
use jobico_catalog::Handle;
use jobico_event::{TenantId, name};
use jobico_service::BoxError;
use jobico_service::health::Component;
use tokio_util::sync::CancellationToken;

use crate::arrival::{Lane, Lanes, Origin, due_ms};
use crate::backlog::Backlog;
use crate::batch;
use crate::config::Limits;
use crate::foresight::Foresight;
use crate::library::Library;
use crate::metrics::Metrics;
use crate::moves::Wants;
use crate::quota::Quotas;
use crate::readiness::{Readiness, State, Waiting};
use crate::step::Stepper;
use crate::tenure::Tenures;
use crate::turns::Turns;

/// Events that are gathered and not done, as multiples of what one batch takes: beyond that, no more are gathered.
const LEFT_BATCHES_MAX: usize = 4;

/// A worker, before it runs.
pub struct Worker {
    /// Its name, for logs.
    pub name: String,
    /// The group it joins.
    pub group: String,
    /// Its transactional id, the same after a restart.
    pub transactional_id: String,
    /// The pool whose queues it reads.
    pub pool: String,
    /// How much one batch takes.
    pub gather: GatherLimits,
    /// How long functions run in one batch.
    pub batch_time: Duration,
    /// What one call may use.
    pub limits: Limits,
    /// Whether traced events get spans.
    pub traces: bool,
    /// The log.
    pub broker: Arc<dyn Broker>,
    /// The catalog.
    pub catalog: Handle,
    /// The modules.
    pub library: Library,
    /// Where it says which partitions it waits for.
    pub wants: Wants,
    /// What is counted.
    pub metrics: Metrics,
    /// How it does.
    pub health: Component,
    /// When to stop.
    pub stop: CancellationToken,
    /// How it waits.
    pub pace: Pace,
}

/// How a worker waits, and what time it is.
#[derive(Clone)]
pub struct Pace {
    /// How long it waits for events at most; a new catalog, a compiled module and a stop are noticed after it.
    pub gather_wait: Duration,
    /// The first wait after an error; it doubles with each error in a row.
    pub backoff_min: Duration,
    /// The longest wait after an error.
    pub backoff_max: Duration,
    /// How often it measures its backlog, in real time.
    pub measure_every: Duration,
    /// The time, milliseconds since 1970: Kafka's own measure.
    pub now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            gather_wait: Duration::from_millis(50),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(2),
            measure_every: Duration::from_secs(5),
            now_ms: Arc::new(now_ms),
        }
    }
}

/// A worker at work, turn by turn.
pub struct Course {
    worker: Worker,
    stepper: Stepper,
    /// Kept where the member is made anew: what was used was used.
    quotas: Quotas,
    backoff: Backoff,
    /// None: it has to join the group.
    member: Option<(Box<dyn Transactor>, Desk)>,
}

impl Worker {
    /// Works until it is told to stop. Errors of the log are survived here.
    ///
    /// # Errors
    /// None today; the signature is that of a task.
    pub fn run(self) -> Result<(), BoxError> {
        let mut course = Course::new(self);
        while !course.worker.stop.is_cancelled() {
            let wait = course.turn();
            course.worker.pause(wait);
        }
        Ok(())
    }

    fn join(&self) -> Result<Box<dyn Transactor>, Error> {
        let membership = Membership {
            group: self.group.clone(),
            client_id: format!("jobico-processor-{}", self.name),
            topics: self.catalog.load().topics_of_pool(&self.pool).len(),
        };
        self.broker.join_transactional(&membership, &self.transactional_id)
    }

    /// One turn: follow the catalog, gather a batch, do it.
    fn turn(
        &self,
        member: &mut dyn Transactor,
        stepper: &mut Stepper,
        quotas: &mut Quotas,
        desk: &mut Desk,
    ) -> Result<(), Error> {
        let Desk { batch, spare, left, tenures, waiting, turns, backlog, subscribed, foresight } = desk;
        // The revision is read before the snapshot: a swap between the two is seen in the next turn at the latest.
        let state = State { revision: self.catalog.revision(), settled: self.library.settled() };
        let snapshot = self.catalog.load();
        let is_new = *subscribed != Some(state.revision);
        if is_new {
            member.subscribe(&snapshot.topics_of_pool(&self.pool))?;
            *subscribed = Some(state.revision);
        }
        hold_left(left, batch, waiting, member)?;
        waiting.let_go(member, state, (self.pace.now_ms)())?;
        let wait = waiting.patience(self.pace.gather_wait, (self.pace.now_ms)());
        member.gather_more(batch, &more_than(batch, &self.gather), wait)?;
        if tenures.admit(batch, member, &snapshot, &self.pool, (self.pace.now_ms)())? || is_new {
            foresight.look(member, &snapshot, &self.library);
        }
        stepper.release_modules();
        let quota = |tenant: &TenantId| snapshot.tenant(tenant.as_str()).and_then(|view| view.quota_ms_per_s);
        quotas.count_waits((self.pace.now_ms)(), quota, |tenant, waited| self.metrics.count_throttled(tenant, waited));
        let (lanes, now_ms) = (Lanes::of(batch, &snapshot, &self.pool), (self.pace.now_ms)());
        let mut queues = Queues::new(batch.topics().len());
        waiting.hold_back(batch, member, state, now_ms, |record| {
            queues.readiness(record, &lanes, stepper, |tenant| quotas.wait(tenant, quota(tenant), now_ms), now_ms)
        })?;
        if backlog.is_due() {
            backlog.tell(member.backlog(&|topic| name::tier_of(&self.pool, topic).is_none()) + batch.len() as u64);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let (begun, count) = (Instant::now(), batch.len());
        let done = batch::run(batch, &lanes, waiting, turns, quotas, stepper, member, &self.metrics, now_ms);
        stepper.end_batch();
        let done = done?;
        backlog.has_done(count - done.left.len(), begun.elapsed());
        self.metrics.take_over(&mut stepper.tally);
        self.metrics.instances.set(i64::try_from(stepper.instances()).unwrap_or(i64::MAX));
        waiting.forget_done(&done.committed);
        // The batch is committed, and must not be done again: the member has to begin anew from there, and nowhere before.
        spare.clear();
        done.left.iter().filter_map(|index| batch.get(*index)).for_each(|record| spare.push_record(&record));
        std::mem::swap(batch, spare);
        waiting.wait_in_place(done.waits, member).map_err(|error| Error { class: Class::Fatal, ..error })
    }

    /// Waits, but not longer than until the stop.
    fn pause(&self, wait: Duration) {
        if wait.is_zero() {
            return;
        }
        let until = Instant::now() + wait;
        while !self.stop.is_cancelled() {
            match until.checked_duration_since(Instant::now()) {
                Some(rest) if !rest.is_zero() => std::thread::sleep(rest.min(self.pace.gather_wait)),
                _ => return,
            }
        }
    }
}

impl Course {
    /// A worker that is about to join its group.
    #[must_use]
    pub fn new(worker: Worker) -> Self {
        let instances_max = worker.library.instances_max_per_worker();
        let (limits, library) = (worker.limits.clone(), worker.library.clone());
        let stepper = Stepper::new(&worker.pool, limits, library, instances_max, worker.traces);
        Self { worker, stepper, quotas: Quotas::default(), backoff: Backoff::default(), member: None }
    }

    /// Joins the group, or gathers a batch and does it; how long to wait before the next turn.
    pub fn turn(&mut self) -> Duration {
        let Some((member, desk)) = &mut self.member else { return self.join() };
        let Err(error) = self.worker.turn(&mut **member, &mut self.stepper, &mut self.quotas, desk) else {
            self.backoff.reset();
            return Duration::ZERO;
        };
        self.worker.metrics.aborts.with_label_values(&[&error.class.to_string()]).inc();
        self.stepper.tally.clear();
        if let Err(error) = recover(&mut **member, &mut desk.batch, error) {
            tracing::warn!(worker = self.worker.name, %error, "the member is made anew; nothing is lost");
            self.worker.metrics.rebuilds.inc();
            self.member = None;
        }
        self.backoff.next(&self.worker.pace)
    }

    fn join(&mut self) -> Duration {
        match self.worker.join() {
            Ok(member) => {
                self.worker.health.ready();
                self.member = Some((member, Desk::new(&self.worker)));
                Duration::ZERO
            }
            Err(error) => {
                self.worker.health.failing(&error);
                self.backoff.next(&self.worker.pace)
            }
        }
    }
}

/// What a worker has before it, from turn to turn.
struct Desk {
    /// What is gathered and not committed.
    batch: Batch,
    /// For what is left of it.
    spare: Batch,
    /// Partitions of what is left: no more is gathered of them before it is done.
    left: BTreeSet<TopicPartition>,
    tenures: Tenures,
    waiting: Waiting,
    turns: Turns,
    backlog: Backlog,
    /// The catalog's revision of which it has the topics.
    subscribed: Option<u64>,
    foresight: Foresight,
}

impl Desk {
    fn new(worker: &Worker) -> Self {
        Self {
            tenures: Tenures::new(&worker.name, worker.wants.clone()),
            batch: Batch::new(),
            spare: Batch::new(),
            left: BTreeSet::new(),
            waiting: Waiting::default(),
            turns: Turns::new(worker.batch_time),
            backlog: Backlog::new(&worker.metrics.backlog, worker.pace.measure_every),
            subscribed: None,
            foresight: Foresight::default(),
        }
    }
}

/// The limits of a batch in which something is left.
fn more_than(batch: &Batch, limits: &GatherLimits) -> GatherLimits {
    let more = |left: usize, limit: usize| left.saturating_add(limit).min(limit.saturating_mul(LEFT_BATCHES_MAX));
    GatherLimits {
        records_max: more(batch.len(), limits.records_max),
        bytes_max: more(batch.bytes_len(), limits.bytes_max),
    }
}

/// Gathers no more of partitions of which something is left, and again of those of which nothing is.
/// Who has come to wait meanwhile stays paused.
fn hold_left(
    left: &mut BTreeSet<TopicPartition>,
    batch: &Batch,
    waiting: &Waiting,
    member: &mut dyn Transactor,
) -> Result<(), Error> {
    if left.is_empty() && batch.is_empty() {
        return Ok(());
    }
    let now: BTreeSet<TopicPartition> = batch.first_offsets().into_keys().collect();
    let (done, new): (Vec<_>, Vec<_>) = (
        left.difference(&now).filter(|at| !waiting.holds(at)).cloned().collect(),
        now.difference(left).cloned().collect(),
    );
    // Noted first: what is paused when a later step fails must be resumed some time.
    left.extend(new.iter().cloned());
    member.resume(&done)?;
    member.pause(&new)?;
    *left = now;
    Ok(())
}

/// Whether the queues of a batch can be worked on, each asked once.
struct Queues(Vec<Option<Readiness>>);

impl Queues {
    fn new(topics: usize) -> Self {
        Self(vec![None; topics])
    }

    /// When a record can be run; `quota` says until when a tenant has to wait for its own.
    fn readiness(
        &mut self,
        record: &Record<'_>,
        lanes: &Lanes<'_>,
        stepper: &mut Stepper,
        quota: impl FnOnce(&TenantId) -> Option<i64>,
        now_ms: i64,
    ) -> Readiness {
        let mut of = |queue| if stepper.prepare(queue) { Readiness::Now } else { Readiness::AfterChange };
        let tier = match lanes.lane(record) {
            Lane::Queue(queue) => {
                return *self.0[record.topic_index()].get_or_insert_with(|| match of(queue) {
                    Readiness::Now => quota(&queue.tenant).map_or(Readiness::Now, Readiness::AtOrAfterChange),
                    other => other,
                });
            }
            Lane::Idle => return Readiness::AfterChange,
            Lane::Tier(tier) => tier,
        };
        match due_ms(record, tier) {
            due_ms if due_ms > now_ms => Readiness::At(due_ms),
            _ => match Origin::of_tier(record).ok().and_then(|(origin, _)| lanes.queue(origin.topic)) {
                Some(queue) => of(queue),
                // Its job is gone, or it says nothing of where it comes from: nothing to wait for.
                None => Readiness::Now,
            },
        }
    }
}

/// The time, milliseconds since 1970: Kafka's own measure.
fn now_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

/// Ends what an error left open, so that the batch is done again from where it began.
///
/// # Errors
/// The member is of no more use.
fn recover(member: &mut dyn Transactor, batch: &mut Batch, error: Error) -> Result<(), Error> {
    tracing::warn!(%error, class = %error.class, "a batch is given up and done again");
    match error.class {
        Class::Fatal => Err(error),
        Class::Retriable | Class::Abortable => {
            member.abort()?;
            member.rewind(&batch.first_offsets())?;
            batch.clear();
            Ok(())
        }
    }
}

/// Waits that grow.
#[derive(Debug, Default)]
struct Backoff {
    errors: u32,
}

impl Backoff {
    fn next(&mut self, pace: &Pace) -> Duration {
        let wait = pace.backoff_min.saturating_mul(1 << self.errors.min(10)).min(pace.backoff_max);
        self.errors += 1;
        wait
    }

    fn reset(&mut self) {
        self.errors = 0;
    }
}
