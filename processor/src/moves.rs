//! Takes partitions over from the pools that queues were in before.
//!
//! ```text
//! workers ── wanted ─► who has it? ask each former pool's group ─► join that group, as any member of it
//!    ▲                                                                │ its own members let go of the topic, as the catalog says
//!    │                                                                ▼
//!    └── looks again ◄── one transaction: moved, of that group · here it stands, of this one ◄── assigned
//! ```
//!
//! Whoever has a partition in a group is decided by the group, and enforced by the log: while the mover has it, nothing that
//! a processor of the former pool does for it counts any more. So what was committed when the mover looks is what is handed
//! over. docs/decisions/0009 says why there is no gap and no overlap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jobico_broker::{Batch, Broker, Error, GatherLimits, Membership, Positions, Standing, TopicPartition, Transactor};
use jobico_catalog::Handle;
use jobico_event::name;
use jobico_event::snapshot::Snapshot;
use jobico_service::{BoxError, backoff};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// How long a member of a former pool's group waits for its partitions before it looks anew who has them.
const TAKEOVER_MAX: Duration = Duration::from_secs(60);
/// How long it waits in one turn; then it looks whether it has them.
const TAKEOVER_STEP: Duration = Duration::from_millis(50);
/// How long the mover rests where nothing is wanted; it is woken before.
const REST: Duration = Duration::from_millis(250);
/// How long it rests after an error, or where still nobody has what is wanted: each look makes clients of its own.
const REST_LONG: Duration = Duration::from_secs(1);
/// It reads no events: those that it gathers are dropped.
const GATHER: GatherLimits = GatherLimits { records_max: 1, bytes_max: 1 };

/// The partitions that the workers of a process wait for. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Wants(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By worker.
    wanted: BTreeMap<String, BTreeSet<TopicPartition>>,
    /// Of those, the ones that nobody ever began.
    granted: BTreeSet<TopicPartition>,
}

impl Wants {
    /// What a worker waits for, from now on.
    pub fn put(&self, worker: &str, wanted: BTreeSet<TopicPartition>) {
        let mut state = self.state();
        state.wanted.insert(worker.to_owned(), wanted);
        let State { wanted, granted } = &mut *state;
        granted.retain(|at| wanted.values().any(|wanted| wanted.contains(at)));
        self.0.changed.notify_all();
    }

    /// Whether a partition that was never committed is this pool's, though its queue was in other pools before.
    #[must_use]
    pub fn grants(&self, partition: &TopicPartition) -> bool {
        self.state().granted.contains(partition)
    }

    /// Another pool has begun a partition that this one was granted: it is wanted of that pool.
    pub fn withdraw(&self, partition: &TopicPartition) {
        self.state().granted.remove(partition);
    }

    fn grant(&self, partition: &TopicPartition) {
        self.state().granted.insert(partition.clone());
    }

    /// What is wanted and not granted.
    fn all(&self) -> BTreeSet<TopicPartition> {
        let state = self.state();
        state.wanted.values().flatten().filter(|at| !state.granted.contains(at)).cloned().collect()
    }

    fn wait(&self, wait: Duration) {
        // An early return costs a look, no more.
        drop(self.0.changed.wait_timeout(self.state(), wait));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module. One for each process.
pub struct Mover {
    /// The pool that partitions come to.
    pub pool: String,
    /// The same after a restart, so that it ends what its predecessor left open.
    pub transactional_id: String,
    /// What is wanted.
    pub wants: Wants,
    /// The log.
    pub broker: Arc<dyn Broker>,
    /// The catalog.
    pub catalog: Handle,
    /// What is counted.
    pub metrics: Metrics,
}

/// A mover at work, turn by turn.
pub struct Moving {
    mover: Mover,
    takeover: Option<Takeover>,
    /// Nobody has these: said once.
    nowhere: BTreeSet<TopicPartition>,
    /// Whether no transaction of this mover, or of its predecessor, can be open. While one is, nobody is told who has the
    /// partitions in it.
    is_clear: bool,
}

/// A membership in the group of a pool that has what is wanted.
struct Takeover {
    from: String,
    topics: BTreeSet<String>,
    /// Wanted, and not handed over yet.
    left: BTreeSet<TopicPartition>,
    /// Whether a partition of the topics is to be handed over from here.
    verdicts: BTreeMap<TopicPartition, bool>,
    member: Box<dyn Transactor>,
    batch: Batch,
    until: Instant,
}

/// Who has a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whose {
    /// A former pool.
    Pool(String),
    /// This pool: nobody ever began it, and it was the first.
    Unbegun,
    /// This pool, as ever.
    Here,
    /// A hand-over is under way, or somebody has deleted what was committed.
    Nowhere,
}

impl Mover {
    /// Works until it is told to stop. Errors of the log are survived here.
    ///
    /// # Errors
    /// None today; the signature is that of a task.
    pub fn run(self, stop: &CancellationToken) -> Result<(), BoxError> {
        let mut moving = Moving::new(self);
        while !stop.is_cancelled() {
            let rest = moving.turn(TAKEOVER_STEP);
            if !rest.is_zero() {
                moving.mover.wants.wait(rest.min(REST));
                backoff::sleep(stop, rest.saturating_sub(REST));
            }
        }
        Ok(())
    }
}

impl Moving {
    /// A mover that has done nothing yet.
    #[must_use]
    pub fn new(mover: Mover) -> Self {
        Self { mover, takeover: None, nowhere: BTreeSet::new(), is_clear: false }
    }

    /// Looks for what is wanted, or goes on taking it over, waiting `wait` at most; how long to rest after it.
    pub fn turn(&mut self, wait: Duration) -> Duration {
        let snapshot = self.mover.catalog.load();
        let mut wanted = self.mover.wants.all();
        // A worker may not have seen yet that a queue has gone on.
        wanted.retain(|at| self.mover.is_ours(at, &snapshot));
        self.mover.metrics.awaited_partitions.set(i64::try_from(wanted.len()).unwrap_or(i64::MAX));
        let turned = match &mut self.takeover {
            Some(takeover) => self.mover.go_on(takeover, &snapshot, wait).map(|done| {
                if done {
                    self.takeover = None;
                }
                Duration::ZERO
            }),
            None if wanted.is_empty() => Ok(REST),
            None => self.look(&wanted, &snapshot),
        };
        turned.unwrap_or_else(|error| {
            tracing::warn!(%error, "taking partitions over from another pool is tried again");
            self.takeover = None;
            self.is_clear = false;
            REST_LONG
        })
    }

    /// Finds out who has what is wanted, and joins the group of one of them.
    fn look(&mut self, wanted: &BTreeSet<TopicPartition>, snapshot: &Snapshot) -> Result<Duration, Error> {
        if !self.is_clear {
            // Taking the transactional id over ends it at once.
            drop(self.mover.broker.writer(&self.mover.transactional_id)?);
            self.is_clear = true;
        }
        let mut by_pool: BTreeMap<String, BTreeSet<TopicPartition>> = BTreeMap::new();
        let mut nowhere = BTreeSet::new();
        for (at, whose) in self.mover.whose(wanted, snapshot)? {
            match whose {
                Whose::Pool(pool) => drop(by_pool.entry(pool).or_default().insert(at)),
                Whose::Unbegun => self.mover.wants.grant(&at),
                Whose::Here => {}
                Whose::Nowhere => drop(nowhere.insert(at)),
            }
        }
        for at in nowhere.difference(&self.nowhere) {
            tracing::warn!(topic = %at.topic, partition = at.partition, pool = self.mover.pool,
                "no pool has this partition now: it waits for a hand-over that is under way; if it stays so, somebody has \
                 deleted offsets of its pool's group, and has to set them");
        }
        let rest = if nowhere.is_disjoint(&self.nowhere) { REST } else { REST_LONG };
        self.nowhere = nowhere;
        let Some((from, left)) = by_pool.pop_first() else { return Ok(rest) };
        self.takeover = Some(self.mover.take_over(from, left)?);
        Ok(Duration::ZERO)
    }
}

impl Mover {
    fn take_over(&self, from: String, left: BTreeSet<TopicPartition>) -> Result<Takeover, Error> {
        let topics: BTreeSet<String> = left.iter().map(|at| at.topic.to_string()).collect();
        let membership = self.membership(&from, topics.len());
        let mut member = self.broker.join_transactional(&membership, &self.transactional_id)?;
        member.subscribe(&topics)?;
        tracing::info!(from, to = self.pool, partitions = left.len(), "partitions are taken over");
        let verdicts = left.iter().map(|at| (at.clone(), true)).collect();
        Ok(Takeover { from, topics, left, verdicts, member, batch: Batch::new(), until: Instant::now() + TAKEOVER_MAX })
    }

    /// Hands over what this member of the former pool's group has been given. True: there is nothing more to wait for.
    fn go_on(&self, takeover: &mut Takeover, snapshot: &Snapshot, wait: Duration) -> Result<bool, Error> {
        takeover.member.gather(&mut takeover.batch, &GATHER, wait)?;
        // Nothing more of what it has been given: the next gathering waits for what is missing.
        let new = takeover.member.take_assigned();
        takeover.member.pause(&new)?;
        takeover.left.retain(|at| self.is_ours(at, snapshot));
        let mut assigned = takeover.member.assignment();
        assigned.retain(|at| takeover.topics.contains(&*at.topic) && self.is_ours(at, snapshot));
        // What another process of the pool waits for is handed over as well: each may have been given what the other wants.
        let unknown: BTreeSet<TopicPartition> =
            assigned.iter().filter(|at| !takeover.verdicts.contains_key(at)).cloned().collect();
        if !unknown.is_empty() {
            for (at, whose) in self.whose(&unknown, snapshot)? {
                takeover.verdicts.insert(at, whose == Whose::Pool(takeover.from.clone()));
            }
        }
        let take: Vec<TopicPartition> =
            assigned.into_iter().filter(|at| takeover.verdicts.get(at).copied().unwrap_or(false)).collect();
        if !take.is_empty() {
            let mut positions = Positions::new();
            for (at, standing) in takeover.member.standing(&take)? {
                match standing {
                    Standing::At(offset) => drop(positions.insert(at, offset)),
                    // Where the log has not got that record any more, it begins with the first that it has.
                    Standing::Never => drop(positions.insert(at, 0)),
                    // Another was faster.
                    Standing::Moved(_) => {}
                }
            }
            if !positions.is_empty() {
                takeover.member.hand_over(&positions, &name::processor_group(&self.pool))?;
                self.metrics.moved_partitions.inc_by(u64::try_from(positions.len()).unwrap_or(u64::MAX));
                tracing::info!(
                    from = takeover.from,
                    to = self.pool,
                    partitions = positions.len(),
                    "partitions were handed over"
                );
            }
            for at in take {
                takeover.left.remove(&at);
                takeover.verdicts.insert(at, false);
            }
        }
        Ok(takeover.left.is_empty() || Instant::now() >= takeover.until)
    }

    /// Who has partitions, by what the groups of all pools have committed that their queues were ever in.
    fn whose(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        snapshot: &Snapshot,
    ) -> Result<BTreeMap<TopicPartition, Whose>, Error> {
        let pools =
            |at: &TopicPartition| snapshot.queue(&at.topic).map(|queue| queue.pools.as_slice()).unwrap_or_default();
        let mut asked: BTreeMap<&str, Vec<TopicPartition>> = BTreeMap::new();
        for at in partitions {
            for pool in pools(at) {
                asked.entry(pool).or_default().push(at.clone());
            }
        }
        let mut standings = BTreeMap::new();
        for (pool, partitions) in &asked {
            // One that subscribes to nothing: it asks, and takes no part.
            let mut stranger = self.broker.join(&self.membership(pool, 0))?;
            standings.insert(*pool, stranger.standing(partitions)?);
        }
        let of = |at: &TopicPartition| {
            let mut history: Vec<(&str, Standing)> = Vec::new();
            for pool in pools(at) {
                if let Some(standing) = standings.get(pool.as_str()).and_then(|of_pool| of_pool.get(at)) {
                    history.push((pool, *standing));
                }
            }
            whose(&history, &self.pool)
        };
        Ok(partitions.iter().map(|at| (at.clone(), of(at))).collect())
    }

    fn is_ours(&self, at: &TopicPartition, snapshot: &Snapshot) -> bool {
        snapshot.queue(&at.topic).is_some_and(|queue| queue.pool == self.pool)
    }

    fn membership(&self, pool: &str, topics: usize) -> Membership {
        Membership { group: name::processor_group(pool), client_id: format!("jobico-mover-{}", self.pool), topics }
    }
}

/// Who has a partition, by how all pools stand to it that its queue was ever in, the first one first.
fn whose(history: &[(&str, Standing)], here: &str) -> Whose {
    let has = |(_, standing): &&(&str, Standing)| matches!(standing, Standing::At(_));
    match history.iter().filter(has).map(|(pool, _)| *pool).collect::<Vec<_>>().as_slice() {
        pools if pools.contains(&here) => Whose::Here,
        [.., last] => Whose::Pool((*last).to_owned()),
        [] => {
            match history.first() {
                Some((home, _)) if history.iter().all(|(_, standing)| *standing == Standing::Never) => {
                    if *home == here { Whose::Unbegun } else { Whose::Pool((*home).to_owned()) }
                }
                _ => Whose::Nowhere,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{At, Moved, Never};

    #[test]
    fn what_was_granted_and_is_anothers_by_now_is_wanted_again() {
        let (wants, at) = (Wants::default(), TopicPartition { topic: "t.q".into(), partition: 0 });
        let wanted = BTreeSet::from([at.clone()]);
        wants.put("worker", wanted.clone());
        wants.grant(&at);
        assert_eq!((wants.all(), wants.grants(&at)), (BTreeSet::new(), true));
        wants.withdraw(&at);
        assert_eq!((wants.all(), wants.grants(&at)), (wanted, false));
    }

    #[test]
    fn a_partition_is_with_the_pool_that_has_committed_it_and_not_moved_it() {
        let pool = |name: &str| Whose::Pool(name.to_owned());
        let cases: [(&[(&str, Standing)], Whose); 9] = [
            (&[("a", At(5)), ("here", Never)], pool("a")),
            (&[("here", Moved(2)), ("a", At(5))], pool("a")),
            (&[("a", Moved(2)), ("b", At(5)), ("here", Never)], pool("b")),
            (&[("a", Moved(2)), ("here", At(5))], Whose::Here),
            // Never begun: the first pool's.
            (&[("a", Never), ("b", Never), ("here", Never)], pool("a")),
            (&[("here", Never), ("a", Never)], Whose::Unbegun),
            // On its way.
            (&[("a", Moved(2)), ("here", Never)], Whose::Nowhere),
            (&[("here", Never), ("a", Moved(2))], Whose::Nowhere),
            (&[], Whose::Nowhere),
        ];
        for (history, expected) in cases {
            assert_eq!(whose(history, "here"), expected, "{history:?}");
        }
    }
}
