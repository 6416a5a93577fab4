//! A follower that meets faults.

use std::time::Duration;

use super::faults::Dice;
use crate::{Batch, Error, Follower, GatherLimits, Progress};

pub(super) struct FaultyFollower {
    inner: Box<dyn Follower>,
    dice: Dice,
}

impl FaultyFollower {
    pub(super) fn new(inner: Box<dyn Follower>, dice: Dice) -> Self {
        Self { inner, dice }
    }
}

impl Follower for FaultyFollower {
    fn poll(&mut self, batch: &mut Batch, wait: Duration) -> Result<(), Error> {
        batch.clear();
        self.dice.unavailable("follow")?;
        self.inner.poll(batch, wait)
    }

    fn read_to_end(&mut self, batch: &mut Batch) -> Result<(), Error> {
        batch.clear();
        self.dice.unavailable("follow")?;
        self.inner.read_to_end(batch)
    }

    fn read_some(&mut self, batch: &mut Batch, limits: &GatherLimits) -> Result<Progress, Error> {
        batch.clear();
        self.dice.unavailable("follow")?;
        self.inner.read_some(batch, limits)
    }
}
