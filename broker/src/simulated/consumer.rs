//! A member that meets faults.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::faults::Dice;
use crate::local::Member;
use crate::{Batch, Consumer, Error, GatherLimits, Positions, Standing, TopicPartition};

pub(super) struct FaultyConsumer {
    inner: Member,
    dice: Dice,
}

impl FaultyConsumer {
    pub(super) fn new(inner: Member, dice: Dice) -> Self {
        Self { inner, dice }
    }
}

impl Consumer for FaultyConsumer {
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
        if self.dice.falls(|faults| faults.rebalance) {
            self.inner.evict();
        }
        self.inner.commit_offsets(positions)?;
        self.dice.lost("commit offsets")
    }
}
