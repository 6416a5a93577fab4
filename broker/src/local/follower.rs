//! Reads whole topics, outside any group.

use std::sync::Arc;
use std::time::Duration;

use super::cursors::Cursors;
use super::{Log, Topic};
use crate::{Batch, Error, Follower, GatherLimits, Positions, Progress, Start};

/// What one [`Follower::poll`] takes.
const POLL: GatherLimits = GatherLimits { records_max: 10_000, bytes_max: 8 * 1024 * 1024 };
/// No limit but memory: who reads to the end wants it whole.
const ALL: GatherLimits = GatherLimits { records_max: usize::MAX, bytes_max: usize::MAX };

/// See [`Follower`]. Partitions that a topic gains are read from their beginning, wherever this began.
pub(super) struct LocalFollower {
    log: Arc<Log>,
    topics: Vec<Arc<Topic>>,
    cursors: Cursors,
}

impl LocalFollower {
    pub(super) fn new(log: Arc<Log>, topics: &[String], start: Start) -> Result<Self, Error> {
        let topics = topics.iter().map(|name| log.core.topic("follow", name)).collect::<Result<Vec<_>, _>>()?;
        let mut cursors = Cursors::default();
        for partition in topics.iter().flat_map(|topic| &topic.partitions) {
            let position = match start {
                Start::Beginning => 0,
                Start::End => partition.end(),
            };
            cursors.add(partition.clone(), position);
        }
        Ok(Self { log, topics, cursors })
    }

    /// Begins in the middle, and does not look for partitions that are added.
    pub(super) fn from(log: Arc<Log>, positions: &Positions) -> Result<Self, Error> {
        let mut cursors = Cursors::default();
        for (at, offset) in positions {
            let partition = log.core.partition("follow", at)?;
            let position = (*offset).clamp(0, partition.end());
            cursors.add(partition, position);
        }
        Ok(Self { log, topics: Vec::new(), cursors })
    }

    /// Looks at what came.
    fn look(&mut self) -> Result<(), Error> {
        if !self.cursors.look() {
            return Ok(());
        }
        for topic in &mut self.topics {
            let now = self.log.core.topic("follow", &topic.name)?;
            for partition in &now.partitions[topic.partitions.len()..] {
                self.cursors.add(partition.clone(), 0);
            }
            *topic = now;
        }
        Ok(())
    }
}

impl Follower for LocalFollower {
    fn poll(&mut self, batch: &mut Batch, wait: Duration) -> Result<(), Error> {
        batch.clear();
        let deadline = Cursors::deadline(wait);
        loop {
            self.look()?;
            self.cursors.fill(self.log.core.storage(), batch, &POLL)?;
            if !batch.is_empty() || !self.cursors.inbox().wait(deadline) {
                return Ok(());
            }
        }
    }

    fn read_some(&mut self, batch: &mut Batch, limits: &GatherLimits) -> Result<Progress, Error> {
        batch.clear();
        self.look()?;
        // Nothing is lost by an error: it comes only where nothing was read.
        self.cursors.fill(self.log.core.storage(), batch, limits)?;
        Ok(Progress { next: self.cursors.named_positions(), is_end: !self.cursors.has_more() })
    }

    fn read_to_end(&mut self, batch: &mut Batch) -> Result<(), Error> {
        batch.clear();
        self.look()?;
        let before = self.cursors.positions();
        // Ends only grow, so whatever was committed before this call comes before them.
        loop {
            if let Err(error) = self.cursors.fill(self.log.core.storage(), batch, &ALL) {
                batch.clear();
                before.into_iter().for_each(|(partition, position)| self.cursors.seek(partition, position));
                return Err(error);
            }
            if !self.cursors.has_more() {
                return Ok(());
            }
        }
    }
}
