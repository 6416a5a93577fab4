//! A worker: one thread, one member of the pool's group, one transactional producer.
//!
//! ```text
//! joining ── joined ──► running ── stop ──► stopped
//!    ▲                    │ a turn: follow the catalog ─► gather ─► hold back ─► begin ─► step … ─► commit
//!    │                    │ an error before the commit: abort, rewind, wait, next turn
//!    └────────────────────┘ a fatal one, an abort that fails, or an error after the commit: the member is dropped
//! ```
//!
//! [`Worker::run`] is [`Course::turn`] after [`Course::turn`], with the waits in between. Tests take those turns themselves:
//! several workers in one thread, in an order that a seed decides, without waiting. A stop is looked for between turns: the
//! batch that is being done is committed, or aborted, before.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jobico_broker::{Broker, Class, Error, GatherLimits, Membership};
use jobico_catalog::Handle;
use jobico_event::TenantId;
use jobico_service::BoxError;
use jobico_service::backoff::{self, Backoff};
use jobico_service::health::Component;
use tokio_util::sync::CancellationToken;

use crate::arrival::Lanes;
use crate::batch::{Run, Stops};
use crate::config::Limits;
use crate::desk::Desk;
use crate::library::Library;
use crate::meter::Stopwatch;
use crate::metrics::{Metrics, Part};
use crate::moves::Wants;
use crate::quota::Quotas;
use crate::readiness::Changes;
use crate::step::Stepper;

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
    /// What measures how long functions run.
    pub stopwatch: Stopwatch,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            gather_wait: Duration::from_millis(50),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(2),
            measure_every: Duration::from_secs(5),
            now_ms: Arc::new(now_ms),
            stopwatch: stopwatch(),
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
    instances: Part,
    state: State,
}

/// Where a worker is in its course.
enum State {
    /// It has no member: at its start, and where the last one was of no more use.
    Joining,
    /// It has one; between turns no transaction of it is open.
    Running(Box<Desk>),
}

/// Why a turn did not end well.
enum Broken {
    /// Nothing of its batch counts, as far as anybody knows: it is aborted, or ended by the next member, and done again.
    BeforeCommit(Error),
    /// The batch is committed, and must not be done again: a new member begins behind it, and nowhere before.
    AfterCommit(Error),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::BeforeCommit(error)
    }
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
            backoff::sleep(&course.worker.stop, wait);
        }
        Ok(())
    }

    fn join(&self) -> Result<Desk, Error> {
        let membership = Membership {
            group: self.group.clone(),
            client_id: format!("jobico-processor-{}", self.name),
            topics: self.catalog.load().topics_of_pool(&self.pool).len(),
        };
        Ok(Desk::new(self, self.broker.join_transactional(&membership, &self.transactional_id)?))
    }

    /// One turn: follow the catalog, gather a batch, do it.
    fn turn(&self, desk: &mut Desk, stepper: &mut Stepper, quotas: &mut Quotas) -> Result<(), Broken> {
        // The revision is read before the snapshot: a swap between the two is seen in the next turn at the latest.
        let changes = Changes { revision: self.catalog.revision(), settled: self.library.settled() };
        let snapshot = self.catalog.load();
        let is_new = desk.follow(changes.revision, &snapshot, &self.pool)?;
        desk.gather(&self.gather, &self.pace, changes)?;
        // What was gathered may be younger than that catalog: an event is judged by the newest there is.
        let snapshot = self.catalog.load();
        if desk.admit(&snapshot, &self.pool, self.now_ms())? || is_new {
            desk.foresee(&snapshot, &self.library);
        }
        stepper.instances.release_modules();
        let quota = |tenant: &TenantId| snapshot.tenant(tenant.as_str()).and_then(|view| view.quota_ms_per_s);
        quotas.count_waits(self.now_ms(), quota, |tenant, waited| self.metrics.count_throttled(tenant, waited));
        let (lanes, now_ms) = (Lanes::of(&desk.batch, &snapshot, &self.pool), self.now_ms());
        let until = |tenant: &TenantId| quotas.wait(tenant, quota(tenant), now_ms);
        desk.hold_back(&lanes, changes, stepper, until, now_ms)?;
        desk.measure(&self.pool);
        if desk.batch.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let run = Run {
            batch: &desk.batch,
            lanes: &lanes,
            waiting: &desk.waiting,
            quotas,
            stepper,
            member: &mut *desk.member,
            now_ms,
            stops: Stops::default(),
        };
        let done = run.transact(&mut desk.turns, &self.metrics);
        stepper.end_batch();
        let done = done?;
        self.metrics.take_over(&mut stepper.tally);
        desk.backlog.has_done(done.events, begun.elapsed());
        desk.keep_left(done).map_err(Broken::AfterCommit)
    }

    /// Says that a batch is given up.
    fn gives_up(&self, error: &Error, is_first_in_a_row: bool) {
        tracing::warn!(worker = self.name, %error, class = %error.class, "a batch is given up and done again");
        self.metrics.aborts.with_label_values(&[&error.class.to_string()]).inc();
        // One alone says little: any rebalance that meets a commit makes one.
        if !is_first_in_a_row {
            self.health.failing(error);
        }
    }

    fn now_ms(&self) -> i64 {
        (self.pace.now_ms)()
    }
}

impl Course {
    /// A worker that is about to join its group.
    #[must_use]
    pub fn new(worker: Worker) -> Self {
        let (limits, library) = (worker.limits.clone(), worker.library.clone());
        let stopwatch = worker.pace.stopwatch.clone();
        Self {
            stepper: Stepper::new(&worker.pool, limits, library, worker.traces, stopwatch),
            quotas: Quotas::default(),
            backoff: Backoff::new(worker.pace.backoff_min, worker.pace.backoff_max),
            instances: Part::of(&worker.metrics.instances),
            state: State::Joining,
            worker,
        }
    }

    /// Joins the group, or gathers a batch and does it; how long to wait before the next turn.
    pub fn turn(&mut self) -> Duration {
        match &mut self.state {
            State::Joining => match self.worker.join() {
                Ok(desk) => {
                    // After an error it has to show first that it works.
                    if self.backoff.errors() == 0 {
                        self.worker.health.ready();
                    }
                    self.state = State::Running(Box::new(desk));
                    Duration::ZERO
                }
                Err(error) => {
                    self.worker.health.failing(&error);
                    self.backoff.after_error()
                }
            },
            State::Running(desk) => {
                let turned = self.worker.turn(desk, &mut self.stepper, &mut self.quotas);
                self.instances.set(self.stepper.instances.count());
                self.worker.metrics.instances_made.inc_by(self.stepper.instances.take_made());
                match turned {
                    Ok(()) => self.went_well(),
                    Err(Broken::BeforeCommit(error)) => {
                        self.stepper.tally.clear();
                        self.worker.gives_up(&error, self.backoff.errors() == 0);
                        let ended = if error.class == Class::Fatal { Err(error) } else { desk.abort() };
                        match ended {
                            Ok(()) => self.backoff.after_error(),
                            Err(error) => self.rebuild(&error),
                        }
                    }
                    Err(Broken::AfterCommit(error)) => self.rebuild(&error),
                }
            }
        }
    }

    fn went_well(&mut self) -> Duration {
        if self.backoff.errors() > 0 {
            self.backoff.reset();
            self.worker.health.ready();
        }
        Duration::ZERO
    }

    fn rebuild(&mut self, error: &Error) -> Duration {
        tracing::warn!(worker = self.worker.name, %error, "the member is made anew; nothing is lost");
        self.worker.metrics.rebuilds.inc();
        self.state = State::Joining;
        self.backoff.after_error()
    }
}

/// A stopwatch of real time.
fn stopwatch() -> Stopwatch {
    let started = Instant::now();
    Arc::new(move || started.elapsed())
}

/// The time, milliseconds since 1970: Kafka's own measure.
fn now_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
