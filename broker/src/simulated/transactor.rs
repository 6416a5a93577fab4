//! A transactor that meets faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::faults::Dice;
use super::no_answer;
use crate::local::{LocalTransactor, Log};
use crate::{
    Batch, Cause, Class, Consumer, Error, GatherLimits, Outgoing, Positions, Standing, TopicPartition, Transactor,
};

pub(super) struct FaultyTransactor {
    log: Arc<Log>,
    inner: LocalTransactor,
    transactional_id: String,
    dice: Dice,
    /// Why the open transaction can only be aborted.
    spoilt: Option<Error>,
    /// Why this transactor is of no more use.
    dead: Option<Error>,
}

impl FaultyTransactor {
    pub(super) fn new(log: Arc<Log>, inner: LocalTransactor, transactional_id: &str, dice: Dice) -> Self {
        Self { log, inner, transactional_id: transactional_id.to_owned(), dice, spoilt: None, dead: None }
    }

    /// What may happen before any call of a transaction.
    fn before(&mut self) -> Result<(), Error> {
        if let Some(error) = &self.dead {
            return Err(error.clone());
        }
        if self.dice.falls(|faults| faults.fenced) {
            self.log.fence(&self.transactional_id)?;
        }
        Ok(())
    }

    fn may_be_spoilt(&mut self, operation: &'static str) -> Result<(), Error> {
        if self.dice.falls(|faults| faults.abortable) {
            return Err(no_answer(operation, Class::Abortable));
        }
        Ok(())
    }

    fn try_produce(&mut self, record: &Outgoing<'_>) -> Result<(), Error> {
        const OPERATION: &str = "produce";
        self.before()?;
        let full = |error| Error { cause: Cause::Full, ..error };
        self.dice.unavailable(OPERATION).map_err(full)?;
        self.may_be_spoilt(OPERATION)?;
        let unknown = self.dice.unknown_topic(OPERATION, record.topic);
        unknown.map_err(|error| Error { class: Class::Abortable, ..error })?;
        self.inner.produce(record)
    }

    /// Ends a transaction with `commit`, or what happens instead.
    fn try_commit(
        &mut self,
        operation: &'static str,
        mut commit: impl FnMut(&mut LocalTransactor) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.before()?;
        if let Some(error) = &self.spoilt {
            return Err(error.clone());
        }
        self.dice.unavailable(operation)?;
        self.may_be_spoilt(operation)?;
        if self.dice.falls(|faults| faults.rebalance) {
            self.inner.evict();
        }
        if self.dice.falls(|faults| faults.in_doubt) {
            if self.dice.coin() {
                commit(&mut self.inner)?;
            }
            let error = no_answer(operation, Class::Fatal);
            self.dead = Some(error.clone());
            return Err(error);
        }
        commit(&mut self.inner)
    }

    /// Remembers what an error does to the transaction.
    fn note<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            match error.class {
                Class::Retriable => {}
                Class::Abortable => self.spoilt = Some(error.clone()),
                Class::Fatal => self.dead = Some(error.clone()),
            }
        }
        result
    }
}

impl Transactor for FaultyTransactor {
    fn begin(&mut self) -> Result<(), Error> {
        let begun = self.before().and_then(|()| self.inner.begin());
        self.note(begun)
    }

    fn produce(&mut self, record: &Outgoing<'_>) -> Result<(), Error> {
        let produced = self.try_produce(record);
        self.note(produced)
    }

    fn commit(&mut self, positions: &Positions) -> Result<(), Error> {
        let committed = self.try_commit("commit", |inner| inner.commit(positions));
        self.note(committed)
    }

    fn hand_over(&mut self, positions: &Positions, to: &str) -> Result<(), Error> {
        let handed_over = self.try_commit("hand over", |inner| inner.hand_over(positions, to));
        self.note(handed_over)
    }

    fn abort(&mut self) -> Result<(), Error> {
        let aborted = self.before().and_then(|()| {
            self.dice.unavailable("abort")?;
            self.inner.abort()
        });
        if aborted.is_ok() {
            self.spoilt = None;
        }
        self.note(aborted)
    }
}

impl Consumer for FaultyTransactor {
    fn subscribe(&mut self, topics: &BTreeSet<String>) -> Result<(), Error> {
        self.dice.unavailable("subscribe")?;
        self.inner.subscribe(topics)
    }

    fn gather_more(&mut self, batch: &mut Batch, limits: &GatherLimits, wait: Duration) -> Result<(), Error> {
        self.dice.unavailable("gather")?;
        if self.dice.falls(|faults| faults.rebalance) {
            self.inner.evict();
        }
        self.inner.gather_more(batch, limits, wait)
    }

    fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.inner.assignment()
    }

    fn assigned(&self) -> usize {
        self.inner.assigned()
    }

    fn take_assigned(&mut self) -> Vec<TopicPartition> {
        self.inner.take_assigned()
    }

    fn standing(&mut self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Standing>, Error> {
        self.dice.unavailable("read committed offsets")?;
        self.inner.standing(partitions)
    }

    fn backlog(&mut self, counts: &dyn Fn(&str) -> bool) -> u64 {
        self.inner.backlog(counts)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.dice.unavailable("pause")?;
        self.inner.pause(partitions)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.dice.unavailable("resume")?;
        self.inner.resume(partitions)
    }

    fn rewind(&mut self, positions: &Positions) -> Result<(), Error> {
        self.dice.unavailable("rewind")?;
        self.inner.rewind(positions)
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), Error> {
        self.dice.unavailable("commit offsets")?;
        self.inner.commit_offsets(positions)?;
        self.dice.lost("commit offsets")
    }
}
