//! What a worker has before it, from turn to turn: its member of the group, what is gathered and not committed, and what it
//! knows of its partitions. It goes with the member.

use std::collections::BTreeSet;

use jobico_broker::{Batch, Error, GatherLimits, Record, TopicPartition, Transactor};
use jobico_event::snapshot::Snapshot;
use jobico_event::{TenantId, name};

use crate::arrival::Lanes;
use crate::backlog::Backlog;
use crate::batch::Done;
use crate::foresight::Foresight;
use crate::library::Library;
use crate::metrics::Part;
use crate::readiness::{Changes, Queues, Waiting};
use crate::step::Stepper;
use crate::tenure::Tenures;
use crate::turns::Turns;
use crate::worker::{Pace, Worker};

/// Events that are gathered and not done, as multiples of what one batch takes: beyond that, no more are gathered.
const LEFT_BATCHES_MAX: usize = 4;

/// See the module.
pub struct Desk {
    pub(crate) member: Box<dyn Transactor>,
    /// What is gathered and not committed.
    pub(crate) batch: Batch,
    /// For what is left of it.
    spare: Batch,
    /// Partitions of what is left: no more is gathered of them before it is done.
    left: BTreeSet<TopicPartition>,
    tenures: Tenures,
    pub(crate) waiting: Waiting,
    pub(crate) turns: Turns,
    pub(crate) backlog: Backlog,
    assigned: Part,
    /// The catalog's revision of which the member has the topics.
    subscribed: Option<u64>,
    foresight: Foresight,
}

impl Desk {
    /// Of a member that has just been made.
    #[must_use]
    pub fn new(worker: &Worker, member: Box<dyn Transactor>) -> Self {
        Self {
            member,
            batch: Batch::new(),
            spare: Batch::new(),
            left: BTreeSet::new(),
            tenures: Tenures::new(&worker.name, worker.wants.clone()),
            waiting: Waiting::default(),
            turns: Turns::new(worker.batch_time),
            backlog: Backlog::new(&worker.metrics.backlog, worker.pace.measure_every),
            assigned: Part::of(&worker.metrics.assigned_partitions),
            subscribed: None,
            foresight: Foresight::default(),
        }
    }

    /// Subscribes to the pool's topics of a new revision of the catalog; whether it is new.
    pub(crate) fn follow(&mut self, revision: u64, snapshot: &Snapshot, pool: &str) -> Result<bool, Error> {
        let is_new = self.subscribed != Some(revision);
        if is_new {
            self.member.subscribe(&snapshot.topics_of_pool(pool))?;
            self.subscribed = Some(revision);
        }
        Ok(is_new)
    }

    /// Gathers events beside those that are left, of partitions that need not wait.
    pub(crate) fn gather(&mut self, limits: &GatherLimits, pace: &Pace, changes: Changes) -> Result<(), Error> {
        self.hold_left()?;
        self.waiting.let_go(&mut *self.member, changes, (pace.now_ms)())?;
        let wait = self.waiting.patience(pace.gather_wait, (pace.now_ms)());
        let limits = more_than(&self.batch, limits);
        self.member.gather_more(&mut self.batch, &limits, wait)
    }

    /// Gathers no more of partitions of which something is left, and again of those of which nothing is.
    /// Who has come to wait meanwhile stays paused.
    fn hold_left(&mut self) -> Result<(), Error> {
        if self.left.is_empty() && self.batch.is_empty() {
            return Ok(());
        }
        let now: BTreeSet<TopicPartition> = self.batch.first_offsets().into_keys().collect();
        let (done, new): (Vec<_>, Vec<_>) = (
            self.left.difference(&now).filter(|at| !self.waiting.holds(at)).cloned().collect(),
            now.difference(&self.left).cloned().collect(),
        );
        // Noted first: what is paused when a later step fails must be resumed some time.
        self.left.extend(new.iter().cloned());
        self.member.resume(&done)?;
        self.member.pause(&new)?;
        self.left = now;
        Ok(())
    }

    /// See [`Tenures::admit`].
    pub(crate) fn admit(&mut self, snapshot: &Snapshot, pool: &str, now_ms: i64) -> Result<bool, Error> {
        let assigned = self.member.take_assigned();
        self.waiting.begin_anew(&assigned);
        self.tenures.admit(assigned, &mut self.batch, &mut *self.member, snapshot, pool, now_ms)
    }

    /// Has the modules prepared that the member's partitions will need.
    pub(crate) fn foresee(&mut self, snapshot: &Snapshot, library: &Library) {
        self.foresight.look(&*self.member, snapshot, library);
    }

    /// Takes out of the batch what cannot be run yet; `quota` says until when a tenant has to wait.
    pub(crate) fn hold_back(
        &mut self,
        lanes: &Lanes<'_>,
        changes: Changes,
        stepper: &mut Stepper,
        mut quota: impl FnMut(&TenantId) -> Option<i64>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut queues = Queues::new(self.batch.topics().len());
        let readiness = |record: &Record<'_>| queues.readiness(record, lanes, stepper, &mut quota, now_ms);
        self.waiting.hold_back(&mut self.batch, &mut *self.member, changes, now_ms, readiness)
    }

    /// Measures how far the worker is behind, where it is time to.
    pub(crate) fn measure(&mut self, pool: &str) {
        if self.backlog.is_due() {
            let is_queue = |topic: &str| name::tier_of(pool, topic).is_none();
            let gathered = self.batch.iter().filter(|record| is_queue(record.topic())).count();
            self.backlog.tell(self.member.backlog(&is_queue) + gathered as u64);
            self.assigned.set(self.member.assigned());
        }
    }

    /// A batch is committed: keeps what is left of it, and has wait what is to wait in place.
    ///
    /// # Errors
    /// The log's: the member has read past what is to wait.
    pub(crate) fn keep_left(&mut self, done: Done) -> Result<(), Error> {
        self.waiting.forget_done(&done.committed);
        self.spare.clear();
        done.left.iter().filter_map(|index| self.batch.get(*index)).for_each(|record| self.spare.push_record(&record));
        self.waiting.wait_in_place(done.waits, &mut self.batch, &mut *self.member)?;
        std::mem::swap(&mut self.batch, &mut self.spare);
        Ok(())
    }

    /// Ends the transaction that may be open, and goes back to where the batch began.
    ///
    /// # Errors
    /// The member is of no more use.
    pub(crate) fn abort(&mut self) -> Result<(), Error> {
        self.member.abort()?;
        let firsts = self.batch.first_offsets();
        self.member.rewind(&firsts)?;
        self.batch.clear();
        self.waiting.look_again(firsts.keys(), &mut *self.member)
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
