//! Partitions that were assigned, and whether the pool has them: that a queue is with this pool is said by the catalog, that
//! the pool it was with before has done with it is said by the log.
//!
//! ```text
//! assigned ─► asked ── At x ─────────────────────► first record seen, not before x ─► worked on
//!               ▲ └── Moved, or never committed ─► held back, wanted of the mover (`moves`)
//!               └───────── looked at again ◄───────────┘
//! ```
//!
//! Every assignment begins with the question, whatever the catalog says: a process that has not seen a new catalog yet would
//! else begin anew what is with another pool by now. docs/decisions/0009 says why this is enough.

use std::collections::{BTreeMap, BTreeSet};

use jobico_broker::{Batch, Consumer, Error, Positions, Standing, TopicPartition};
use jobico_event::name;
use jobico_event::snapshot::{QueueView, Snapshot};

use crate::moves::Wants;

/// After how long a partition that another pool has is looked at again, milliseconds.
const LOOK_AGAIN_MS: i64 = 200;
/// After how long partitions are asked for again of which the log did not say it in time, milliseconds: the question blocks
/// the worker.
const ASK_AGAIN_MS: i64 = 2_000;

/// The partitions of a member that are not known to be its pool's, and those that are its pool's from an offset on.
pub struct Tenures {
    unproven: BTreeMap<TopicPartition, Unproven>,
    /// The pool's, from this offset on; no record of it was seen yet. The member may have begun before it: what the group has
    /// committed can have changed since. There may be thousands, of queues that have no events.
    opened: BTreeMap<TopicPartition, i64>,
    worker: String,
    wants: Wants,
    wanted: BTreeSet<TopicPartition>,
}

/// A partition that another pool has, as far as is known.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Unproven {
    /// It is looked at again once it is this late, milliseconds since 1970; none: nothing is known yet.
    due_ms: Option<i64>,
    /// Whether it is paused.
    held: bool,
}

impl Tenures {
    /// Of a member of the worker of that name, which has no partitions yet.
    #[must_use]
    pub fn new(worker: &str, wants: Wants) -> Self {
        Self {
            unproven: BTreeMap::new(),
            opened: BTreeMap::new(),
            worker: worker.to_owned(),
            wants,
            wanted: BTreeSet::new(),
        }
    }

    /// Takes what is not the pool's out of the batch, and holds its partition back; whether the member has partitions that it
    /// did not have before, which `assigned` names. To be called after each gather.
    ///
    /// # Errors
    /// The log's; the batch is to be given up.
    pub fn admit(
        &mut self,
        assigned: Vec<TopicPartition>,
        batch: &mut Batch,
        member: &mut dyn Consumer,
        snapshot: &Snapshot,
        pool: &str,
        now_ms: i64,
    ) -> Result<bool, Error> {
        let has_more = !assigned.is_empty();
        if has_more {
            for at in assigned.into_iter().filter(|at| name::tier_of(pool, &at.topic).is_none()) {
                self.opened.remove(&at);
                self.unproven.insert(at, Unproven::default());
            }
            self.forget_lost(member);
        }
        self.ask(batch, member, snapshot, pool, now_ms)?;
        self.hold_back(batch, member)?;
        self.want(snapshot, pool);
        Ok(has_more)
    }

    /// What is not the member's any more is nothing to ask about.
    fn forget_lost(&mut self, member: &dyn Consumer) {
        let owned = member.assignment();
        self.unproven.retain(|at, _| owned.contains(at));
        self.opened.retain(|at, _| owned.contains(at));
    }

    /// Asks the log about those that are due: about those with records first, since those without may have to wait for a
    /// transaction that is open.
    fn ask(
        &mut self,
        batch: &mut Batch,
        member: &mut dyn Consumer,
        snapshot: &Snapshot,
        pool: &str,
        now_ms: i64,
    ) -> Result<(), Error> {
        let due = |some: &dyn Fn(&TopicPartition) -> bool| -> Vec<TopicPartition> {
            let due = self.unproven.iter().filter(|(at, tenure)| tenure.due_ms <= Some(now_ms) && some(at));
            due.map(|(at, _)| at.clone()).collect()
        };
        let mut asked = due(&|_| true);
        if asked.is_empty() {
            return Ok(());
        }
        let firsts = batch.first_offsets();
        let with_records = due(&|at| firsts.contains_key(at));
        if !with_records.is_empty() {
            asked = with_records;
        } else {
            self.forget_lost(member);
            asked.retain(|at| self.unproven.contains_key(at));
        }
        let (standings, again_ms) = match member.standing(&asked) {
            Ok(standings) => (standings, LOOK_AGAIN_MS),
            Err(error) => {
                tracing::debug!(%error, partitions = asked.len(), "whether partitions are this pool's is asked again");
                (BTreeMap::new(), ASK_AGAIN_MS)
            }
        };
        for at in asked {
            let held = self.unproven.get(&at).is_some_and(|tenure| tenure.held);
            self.unproven.insert(at.clone(), Unproven { due_ms: Some(now_ms + again_ms), held });
            let queue = snapshot.queue(&at.topic).map(AsRef::as_ref);
            if let Some(Standing::Moved(_)) = standings.get(&at) {
                self.wants.withdraw(&at);
            }
            let opening =
                standings.get(&at).and_then(|standing| opening(*standing, queue, pool, self.wants.grants(&at)));
            if let Some(from) = opening {
                self.open(at, from, held, batch, member)?;
            }
        }
        Ok(())
    }

    /// A partition is the pool's, from this offset on; none = from wherever the member has begun.
    fn open(
        &mut self,
        at: TopicPartition,
        from: Option<i64>,
        held: bool,
        batch: &mut Batch,
        member: &mut dyn Consumer,
    ) -> Result<(), Error> {
        if held {
            if let Some(from) = from {
                member.rewind(&Positions::from([(at.clone(), from)]))?;
                batch.cut(&Positions::from([(at.clone(), i64::MIN)]));
            }
            member.resume(std::slice::from_ref(&at))?;
        }
        self.unproven.remove(&at);
        if let Some(from) = from {
            self.opened.insert(at, from);
        }
        Ok(())
    }

    fn hold_back(&mut self, batch: &mut Batch, member: &mut dyn Consumer) -> Result<(), Error> {
        if batch.is_empty() || (self.unproven.is_empty() && self.opened.is_empty()) {
            return Ok(());
        }
        let (mut heads, mut held_back) = (Positions::new(), Vec::new());
        for (at, first) in batch.first_offsets() {
            if let Some(tenure) = self.unproven.get_mut(&at) {
                // Noted first: what is paused when a later step fails must be resumed some time.
                tenure.held = true;
                heads.insert(at.clone(), first);
                held_back.push(at);
                continue;
            }
            match self.opened.get(&at) {
                Some(from) if first < *from => drop(heads.insert(at, *from)),
                Some(_) => drop(self.opened.remove(&at)),
                None => {}
            }
        }
        if !heads.is_empty() {
            member.pause(&held_back)?;
            member.rewind(&heads)?;
            batch.cut(&heads.into_keys().map(|at| (at, i64::MIN)).collect());
        }
        Ok(())
    }

    /// Tells the mover what another pool has still.
    fn want(&mut self, snapshot: &Snapshot, pool: &str) {
        if self.unproven.is_empty() && self.wanted.is_empty() {
            return;
        }
        let is_ours = |at: &TopicPartition| snapshot.queue(&at.topic).is_some_and(|queue| queue.pool == pool);
        let shut = self.unproven.iter().filter(|(_, tenure)| tenure.due_ms.is_some());
        let wanted: BTreeSet<_> = shut.map(|(at, _)| at).filter(|at| is_ours(at)).cloned().collect();
        if wanted != self.wanted {
            self.wants.put(&self.worker, wanted.clone());
            self.wanted = wanted;
        }
    }
}

impl Drop for Tenures {
    /// A member that is gone waits for nothing.
    fn drop(&mut self) {
        self.wants.put(&self.worker, BTreeSet::new());
    }
}

/// From where on a partition is the pool's, if it is: `Some(None)` where nothing of it was ever committed.
fn opening(standing: Standing, queue: Option<&QueueView>, pool: &str, granted: bool) -> Option<Option<i64>> {
    match standing {
        Standing::At(from) => Some(Some(from)),
        Standing::Moved(_) => None,
        // The first pool has what nobody has begun. Where there were others, the mover asks those.
        Standing::Never => {
            let queue = queue.filter(|queue| queue.pool == pool && queue.home() == pool)?;
            (!queue.has_moved() || granted).then_some(None)
        }
    }
}
