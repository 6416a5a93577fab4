//! How far a reader is in each of its partitions, and which of them have more for it. Reading costs nothing for the
//! partitions that have nothing: a reader of ten thousand topics looks only at those it was told of.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::inbox::Inbox;
use super::index::Partition;
use super::storage::{Storage, is_full};
use crate::coordinator::PartitionId;
use crate::{Batch, Error, GatherLimits, Positions};

/// The places of a reader.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    by_partition: HashMap<PartitionId, Cursor>,
    /// Those with records beyond their position, in turn.
    ready: VecDeque<PartitionId>,
    inbox: Arc<Inbox>,
    grown: Vec<PartitionId>,
}

#[derive(Debug)]
struct Cursor {
    partition: Arc<Partition>,
    position: i64,
    paused: bool,
    /// Whether it is in `ready`.
    queued: bool,
}

impl Cursors {
    pub(super) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    pub(super) fn partitions(&self) -> impl ExactSizeIterator<Item = &Arc<Partition>> {
        self.by_partition.values().map(|cursor| &cursor.partition)
    }

    pub(super) fn add(&mut self, partition: Arc<Partition>, position: i64) {
        partition.add_reader(&self.inbox);
        let id = partition.id;
        self.by_partition.insert(id, Cursor { partition, position, paused: false, queued: false });
        self.queue(id);
    }

    pub(super) fn remove(&mut self, id: PartitionId) {
        if let Some(cursor) = self.by_partition.remove(&id) {
            cursor.partition.remove_reader(&self.inbox);
            if cursor.queued {
                self.ready.retain(|ready| *ready != id);
            }
        }
    }

    /// Goes to `position`, where the reader has the partition.
    pub(super) fn seek(&mut self, id: PartitionId, position: i64) {
        if let Some(cursor) = self.by_partition.get_mut(&id) {
            cursor.position = position.max(0);
            self.queue(id);
        }
    }

    pub(super) fn pause(&mut self, id: PartitionId) {
        if let Some(cursor) = self.by_partition.get_mut(&id) {
            cursor.paused = true;
        }
    }

    pub(super) fn resume(&mut self, id: PartitionId) {
        if let Some(cursor) = self.by_partition.get_mut(&id) {
            cursor.paused = false;
            self.queue(id);
        }
    }

    /// Looks at what came; says whether there is a rebalance.
    pub(super) fn look(&mut self) -> bool {
        let mut grown = std::mem::take(&mut self.grown);
        let rebalance = self.inbox.take(&mut grown);
        for id in grown.drain(..) {
            self.queue(id);
        }
        self.grown = grown;
        rebalance
    }

    /// Adds what is there to `batch`, until it meets a limit. Each partition gets its share, and who had its turn goes to
    /// the end: none starves, whatever another has.
    ///
    /// # Errors
    /// Only where this call read nothing, so that no record that was read is lost.
    pub(super) fn fill(
        &mut self,
        storage: &dyn Storage,
        batch: &mut Batch,
        limits: &GatherLimits,
    ) -> Result<(), Error> {
        if self.ready.is_empty() {
            return Ok(());
        }
        let before = batch.len();
        let mut reader = storage.reader()?;
        // Each that is ready now has a turn with an equal share; what is left of the room is for the turns after that.
        let (mut turns, mut share) = (0, 0);
        while !is_full(batch, limits) {
            if turns == 0 {
                turns = self.ready.len();
                share = ((limits.records_max.max(1) - batch.len()) / turns.max(1)).max(1);
            }
            let Some(id) = self.ready.pop_front() else { break };
            turns -= 1;
            let Some(cursor) = self.by_partition.get_mut(&id) else { continue };
            let end = cursor.partition.end();
            if cursor.paused || cursor.position >= end {
                cursor.queued = false;
                continue;
            }
            let turn = GatherLimits { records_max: batch.len().saturating_add(share), ..*limits };
            let result = reader.read(&cursor.partition, &mut cursor.position, end, &turn, batch);
            if cursor.position < end {
                self.ready.push_back(id);
            } else {
                cursor.queued = false;
            }
            match result {
                Err(error) if batch.len() == before => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "a read was cut short; it is made again with the next");
                    break;
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Whether a call of [`Cursors::fill`] may find more.
    pub(super) fn has_more(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many offsets are between the positions and the ends, of topics that `counts`.
    pub(super) fn backlog(&self, counts: &dyn Fn(&str) -> bool) -> u64 {
        let counted = self.by_partition.values().filter(|cursor| counts(&cursor.partition.topic));
        counted.map(|cursor| u64::try_from(cursor.partition.end() - cursor.position).unwrap_or(0)).sum()
    }

    /// The positions of all partitions.
    pub(super) fn positions(&self) -> Vec<(PartitionId, i64)> {
        self.by_partition.iter().map(|(id, cursor)| (*id, cursor.position)).collect()
    }

    /// The positions of all partitions, by name.
    pub(super) fn named_positions(&self) -> Positions {
        self.by_partition.values().map(|cursor| (cursor.partition.name(), cursor.position)).collect()
    }

    /// When a wait that begins now ends; none = never.
    pub(super) fn deadline(wait: Duration) -> Option<Instant> {
        Instant::now().checked_add(wait)
    }

    fn queue(&mut self, id: PartitionId) {
        let Some(cursor) = self.by_partition.get_mut(&id) else { return };
        if !cursor.queued && !cursor.paused && cursor.position < cursor.partition.end() {
            cursor.queued = true;
            self.ready.push_back(id);
        }
    }
}

impl Drop for Cursors {
    fn drop(&mut self) {
        for cursor in self.by_partition.values() {
            cursor.partition.remove_reader(&self.inbox);
        }
    }
}
