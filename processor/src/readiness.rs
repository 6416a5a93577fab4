//! Partitions that wait: for a module that is being compiled, or for a job to come into force.

use std::collections::BTreeSet;

use jobico_broker::{Batch, Consumer, Error, Positions, TopicPartition};

/// The partitions held back, and since which state of the world.
#[derive(Debug, Default)]
pub struct Waiting {
    partitions: BTreeSet<TopicPartition>,
    since: Since,
}

/// What partitions wait for a change of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// The catalog's revision.
    pub revision: u64,
    /// How many modules were settled.
    pub settled: u64,
}

impl Waiting {
    /// Takes the records of topics that are not `ready` out of the batch, and holds their partitions back.
    ///
    /// # Errors
    /// The log's.
    pub fn hold_back(
        &mut self,
        batch: &mut Batch,
        member: &mut dyn Consumer,
        now: Since,
        mut ready: impl FnMut(&str) -> bool,
    ) -> Result<(), Error> {
        let mut present = vec![None; batch.topics().len()];
        for record in batch.iter() {
            let topic = &mut present[record.topic_index()];
            if topic.is_none() {
                *topic = Some(ready(record.topic()));
            }
        }
        if present.iter().all(|ready| *ready != Some(false)) {
            return Ok(());
        }
        let firsts = batch.first_offsets();
        let late: BTreeSet<String> = batch
            .topics()
            .iter()
            .zip(&present)
            .filter(|(_, ready)| **ready == Some(false))
            .map(|(topic, _)| topic.to_string())
            .collect();
        let held: Positions = firsts.into_iter().filter(|(partition, _)| late.contains(&*partition.topic)).collect();
        batch.retain(|topic, _| !late.contains(topic));
        let partitions: Vec<TopicPartition> = held.keys().cloned().collect();
        member.pause(&partitions)?;
        member.rewind(&held)?;
        self.partitions.extend(partitions);
        self.since = now;
        Ok(())
    }

    /// Lets all partitions go on, where something has changed since they were held back: each is looked at again.
    ///
    /// # Errors
    /// The log's.
    pub fn let_go(&mut self, member: &mut dyn Consumer, now: Since) -> Result<(), Error> {
        if self.partitions.is_empty() || self.since == now {
            return Ok(());
        }
        let owned = member.assignment();
        let partitions: Vec<TopicPartition> = self.partitions.intersection(&owned).cloned().collect();
        member.resume(&partitions)?;
        self.partitions.clear();
        Ok(())
    }
}
