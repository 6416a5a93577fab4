//! A member of a group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::cursors::Cursors;
use super::request::Offsets;
use super::{Log, Topic};
use crate::coordinator::{Change, MemberId, PartitionId};
use crate::{Batch, Consumer, Error, GatherLimits, Membership, Positions, Standing, TopicPartition};

/// See [`Consumer`]. It leaves its group when it is dropped, also when its thread panics.
pub(crate) struct Member {
    log: Arc<Log>,
    group: Arc<str>,
    id: MemberId,
    cursors: Cursors,
    /// Assigned since this was asked for last.
    assigned: Vec<TopicPartition>,
}

impl Member {
    pub(super) fn join(log: Arc<Log>, membership: &Membership) -> Self {
        let (group, cursors): (Arc<str>, _) = (membership.group.as_str().into(), Cursors::default());
        let mut groups = log.core.groups();
        let id = groups.coordinator.join(&group);
        groups.inboxes.insert(id, cursors.inbox().clone());
        groups.clients.insert(id, membership.client_id.clone());
        drop(groups);
        tracing::debug!(%group, member = id.0, client = membership.client_id, "joined");
        Self { log, group, id, cursors, assigned: Vec::new() }
    }

    /// Puts this member out of its group until its next gather.
    pub(crate) fn evict(&self) {
        self.log.core.evict(&self.group, self.id);
    }

    /// What `positions` are to a commit of this member.
    pub(super) fn offsets(&self, operation: &'static str, positions: &Positions) -> Result<Offsets, Error> {
        let mut last: Option<Arc<Topic>> = None;
        let mut offsets = Vec::with_capacity(positions.len());
        for (name, offset) in positions {
            // Positions are sorted, so a topic's partitions follow each other.
            let partition = last
                .as_ref()
                .filter(|topic| topic.name == name.topic)
                .and_then(|topic| usize::try_from(name.partition).ok().and_then(|number| topic.partitions.get(number)));
            let partition = match partition {
                Some(partition) => partition.id,
                None => {
                    let partition = self.log.core.partition(operation, name)?;
                    last = self.log.core.topic(operation, &name.topic).ok();
                    partition.id
                }
            };
            offsets.push((partition, *offset));
        }
        Ok(Offsets { group: self.group.clone(), member: self.id, positions: offsets, moved_to: None })
    }

    pub(super) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Gives and takes partitions. What it lost, though it may have it back already: it reads on from the
    /// committed offset then.
    fn rebalance(&mut self) -> Vec<TopicPartition> {
        let core = &self.log.core;
        let index = core.index.read().unwrap_or_else(PoisonError::into_inner);
        let mut groups = core.groups();
        let partitions_of = |topic: &str, partitions: &mut Vec<PartitionId>| {
            partitions.extend(index.topic(topic).into_iter().flat_map(|topic| &topic.partitions).map(|part| part.id));
        };
        let change = groups.coordinator.sync(&self.group, self.id, &partitions_of);
        groups.wake(&change.woken);
        let Change { generation, revoked, assigned, woken: _ } = change;
        if revoked.is_empty() && assigned.is_empty() {
            return Vec::new();
        }
        tracing::debug!(
            group = %self.group, member = self.id.0, generation, revoked = revoked.len(), assigned = assigned.len(),
            "rebalanced"
        );
        let lost = revoked.iter().filter_map(|id| index.partition(*id)).map(|partition| partition.name()).collect();
        for partition in revoked {
            self.cursors.remove(partition);
        }
        for id in assigned {
            if let Some(partition) = index.partition(id) {
                let position = groups.committed(&self.group, id).unwrap_or(0);
                self.cursors.add(partition.clone(), position);
                self.assigned.push(partition.name());
            }
        }
        lost
    }

    fn ids(&self, partitions: &[TopicPartition]) -> Vec<PartitionId> {
        partitions.iter().filter_map(|name| self.log.core.partition("", name).ok()).map(|part| part.id).collect()
    }
}

impl Consumer for Member {
    fn subscribe(&mut self, topics: &BTreeSet<String>) -> Result<(), Error> {
        let mut groups = self.log.core.groups();
        let woken = groups.coordinator.subscribe(&self.group, self.id, Arc::new(topics.clone()));
        groups.wake(&woken);
        Ok(())
    }

    fn gather_more(&mut self, batch: &mut Batch, limits: &GatherLimits, wait: Duration) -> Result<(), Error> {
        let deadline = Cursors::deadline(wait);
        loop {
            if self.cursors.look() {
                let lost = self.rebalance();
                if !lost.is_empty() && !batch.is_empty() {
                    let is_lost =
                        |topic: &str, number| lost.iter().any(|at| at.partition == number && &*at.topic == topic);
                    batch.retain(|topic, partition| !is_lost(topic, partition));
                }
            }
            self.cursors.fill(self.log.core.storage(), batch, limits)?;
            if !batch.is_empty() || !self.cursors.inbox().wait(deadline) {
                return Ok(());
            }
        }
    }

    fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.cursors.partitions().map(|partition| partition.name()).collect()
    }

    fn assigned(&self) -> usize {
        self.cursors.partitions().len()
    }

    fn take_assigned(&mut self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.assigned)
    }

    fn standing(&mut self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Standing>, Error> {
        let standing = |name: &TopicPartition| {
            let id = self.log.core.partition("read committed offsets", name)?.id;
            Ok((name.clone(), self.log.core.groups().standing(&self.group, id)))
        };
        partitions.iter().map(standing).collect()
    }

    fn backlog(&mut self, counts: &dyn Fn(&str) -> bool) -> u64 {
        self.cursors.backlog(counts)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.ids(partitions).into_iter().for_each(|id| self.cursors.pause(id));
        Ok(())
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.ids(partitions).into_iter().for_each(|id| self.cursors.resume(id));
        Ok(())
    }

    fn rewind(&mut self, positions: &Positions) -> Result<(), Error> {
        for (name, position) in positions {
            if let Ok(partition) = self.log.core.partition("rewind", name) {
                self.cursors.seek(partition.id, *position);
            }
        }
        Ok(())
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), Error> {
        let offsets = self.offsets("commit offsets", positions)?;
        self.log.commit_offsets(offsets)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut groups = self.log.core.groups();
        let woken = groups.coordinator.leave(&self.group, self.id);
        groups.inboxes.remove(&self.id);
        groups.clients.remove(&self.id);
        groups.wake(&woken);
    }
}
