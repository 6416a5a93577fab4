//! The simulated log: in memory, and as faulty as it is told to be.
//!
//! ```text
//!  Simulated ── Faults, seed ─► Dice ─► each call: goes well, fails, or fails although it was done
//!      └─ local::Log ─► Memory           the same log as the embedded one's, but for the file
//! ```
//!
//! Every handle draws from a sequence of its own, which the seed and the order in which handles are made decide. So a test
//! in one thread takes the same course each time, and of one in several each handle meets its faults at the same calls.
//! Retention is not simulated: all records stay.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::local::{AtOnce, Core, Loaded, Log};
use crate::{
    Append, Batch, Broker, Cause, Class, Consumer, Error, Follower, GroupMember, Lag, Membership, Position, Positions,
    Start, TopicSpec, Transactor, Writer,
};

mod faults;
mod memory;

mod consumer;
mod follower;
mod transactor;
mod writer;

pub use faults::Faults;

use faults::{Dials, Dice};
use memory::Memory;

/// The time of the first record, milliseconds since 1970. Each later one is a millisecond younger: time is simulated, too.
const FIRST_MS: i64 = 1_700_000_000_000;

/// A log in memory.
pub struct Simulated {
    log: Arc<Log>,
    seed: u64,
    dials: Arc<Dials>,
    handles: AtomicU64,
    /// For the calls of the broker itself.
    dice: Mutex<Dice>,
}

impl Simulated {
    /// An empty log. With [`Faults::default`] it behaves well.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Arc<Self> {
        let now = AtomicI64::new(FIRST_MS);
        let clock = Box::new(move || now.fetch_add(1, Ordering::Relaxed));
        let core = Core::new(Box::<Memory>::default(), Loaded::default(), clock);
        let dials = Arc::new(Dials::new(faults));
        Arc::new(Self {
            log: Log::new(core.clone(), Box::new(AtOnce(core))),
            seed,
            dice: Mutex::new(Dice::new(seed, 0, dials.clone())),
            dials,
            handles: AtomicU64::new(0),
        })
    }

    /// From now on it has these faults, in what it gave out already, too: a test sets up without them, runs with them, and
    /// looks at the outcome without them.
    pub fn misbehave(&self, faults: Faults) {
        self.dials.set(faults);
    }

    /// Everything that is committed in a topic, in the order of each partition. It never fails by a drawn fault.
    ///
    /// # Errors
    /// [`Cause::UnknownTopic`].
    pub fn committed(&self, topic: &str) -> Result<Batch, Error> {
        let mut batch = Batch::new();
        self.log.follow(&[topic.to_owned()], Start::Beginning)?.read_to_end(&mut batch)?;
        Ok(batch)
    }

    /// The offsets that a group committed.
    #[must_use]
    pub fn committed_offsets(&self, group: &str) -> Positions {
        self.log.core().committed(group)
    }

    fn dice_of_handle(&self) -> Dice {
        let handle = self.handles.fetch_add(1, Ordering::Relaxed) + 1;
        Dice::new(self.seed, handle, self.dials.clone())
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that may fail without effect.
    fn may_fail(&self, operation: &'static str) -> Result<(), Error> {
        self.dice().unavailable(operation)
    }
}

#[async_trait]
impl Broker for Simulated {
    fn describe(&self) -> String {
        format!("simulated from seed {}", self.seed)
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.may_fail("make topics")?;
        self.log.ensure_topics(topics).await?;
        self.dice().lost("make topics")
    }

    async fn topics(&self) -> Result<BTreeSet<String>, Error> {
        self.may_fail("topics")?;
        Ok(self.log.topics())
    }

    async fn append(&self, records: Vec<Append>) -> Vec<Result<Position, Error>> {
        let verdicts: Vec<_> = {
            let mut dice = self.dice();
            let draw =
                |record: &Append| dice.unavailable("append").and_then(|()| dice.unknown_topic("append", &record.topic));
            records.iter().map(draw).collect()
        };
        let taken = records.into_iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_ok()).map(|(record, _)| record);
        let mut answers = self.log.append(taken.collect()).await.into_iter();
        let mut dice = self.dice();
        let mut answer = || {
            let answer = answers.next().unwrap_or_else(|| Err(no_answer("append", Class::Retriable)))?;
            dice.lost("append").map(|()| answer)
        };
        verdicts.into_iter().map(|verdict| verdict.and_then(|()| answer())).collect()
    }

    async fn lag(&self, group: &str, topics: &[String]) -> Result<Vec<Lag>, Error> {
        self.may_fail("lag")?;
        self.log.lag(group, topics)
    }

    async fn members(&self, group: &str) -> Result<Vec<GroupMember>, Error> {
        self.may_fail("members")?;
        Ok(self.log.members(group))
    }

    async fn check(&self) -> Result<(), Error> {
        self.may_fail("check")?;
        self.log.check()
    }

    fn follow(&self, topics: &[String], start: Start) -> Result<Box<dyn Follower>, Error> {
        let mut dice = self.dice_of_handle();
        dice.unavailable("follow")?;
        Ok(Box::new(follower::FaultyFollower::new(self.log.follow(topics, start)?, dice)))
    }

    fn follow_from(&self, positions: &Positions) -> Result<Box<dyn Follower>, Error> {
        let mut dice = self.dice_of_handle();
        dice.unavailable("follow")?;
        Ok(Box::new(follower::FaultyFollower::new(self.log.follow_from(positions)?, dice)))
    }

    fn join(&self, membership: &Membership) -> Result<Box<dyn Consumer>, Error> {
        let mut dice = self.dice_of_handle();
        dice.unavailable("join")?;
        Ok(Box::new(consumer::FaultyConsumer::new(self.log.join(membership), dice)))
    }

    fn join_transactional(
        &self,
        membership: &Membership,
        transactional_id: &str,
    ) -> Result<Box<dyn Transactor>, Error> {
        let mut dice = self.dice_of_handle();
        dice.unavailable("join")?;
        let inner = self.log.join_transactional(membership, transactional_id)?;
        Ok(Box::new(transactor::FaultyTransactor::new(self.log.clone(), inner, transactional_id, dice)))
    }

    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, Error> {
        let inner = self.log.writer(transactional_id);
        Ok(Box::new(writer::FaultyWriter::new(self.log.clone(), inner, transactional_id, self.dice_of_handle())))
    }
}

/// No answer came: nothing is certain.
fn no_answer(operation: &'static str, class: Class) -> Error {
    Error::new(class, Cause::Unavailable, operation, "simulated: no answer came in time")
}
