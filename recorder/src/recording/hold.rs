//! How a member stays in its group while a batch cannot be written.
//!
//! A member that does not gather for long loses its partitions (Kafka: `max.poll.interval.ms`), and rebalances are served in
//! gather alone. So it goes on gathering, with every partition paused: nothing comes, but what belongs to the group is done.
//! A partition that is assigned meanwhile may deliver a record before it is paused; it is rewound to it.

use std::collections::BTreeSet;
use std::time::Duration;

use jobico_broker::{Batch, Consumer, Error, GatherLimits, Positions, TopicPartition};

/// Partitions that are held back while a batch waits.
#[derive(Debug, Default)]
pub struct Hold {
    paused: BTreeSet<TopicPartition>,
    /// Partitions that were taken away meanwhile: others read on there, and their offsets are not this member's to commit.
    lost: BTreeSet<TopicPartition>,
    scratch: Batch,
}

impl Hold {
    /// Gathers without taking anything.
    ///
    /// # Errors
    /// The log's.
    pub fn keep(&mut self, member: &mut dyn Consumer) -> Result<(), Error> {
        const ONE: GatherLimits = GatherLimits { records_max: 1, bytes_max: 1 };
        let before = member.assignment();
        self.pause(member, &before)?;
        member.gather(&mut self.scratch, &ONE, Duration::ZERO)?;
        let after = member.assignment();
        self.lost.extend(before.difference(&after).cloned());
        self.paused.retain(|partition| after.contains(partition));
        self.pause(member, &after)?;
        if !self.scratch.is_empty() {
            member.rewind(&self.scratch.first_offsets())?;
        }
        Ok(())
    }

    fn pause(&mut self, member: &mut dyn Consumer, assigned: &BTreeSet<TopicPartition>) -> Result<(), Error> {
        let fresh: Vec<TopicPartition> = assigned.difference(&self.paused).cloned().collect();
        if !fresh.is_empty() {
            member.pause(&fresh)?;
            self.paused.extend(fresh);
        }
        Ok(())
    }

    /// Takes partitions that were lost out of positions that are to be committed.
    pub fn forget_lost(&self, positions: &mut Positions) {
        positions.retain(|partition, _| !self.lost.contains(partition));
    }

    /// Lets all partitions go on.
    ///
    /// # Errors
    /// The log's; they are held back still.
    pub fn release(&mut self, member: &mut dyn Consumer) -> Result<(), Error> {
        self.lost.clear();
        if !self.paused.is_empty() {
            let paused: Vec<TopicPartition> = self.paused.iter().cloned().collect();
            member.resume(&paused)?;
            self.paused.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jobico_broker::Standing;

    use super::*;

    /// A member that gets partition 1 and loses partition 0 with the first gather, and has one record of each.
    #[derive(Default)]
    struct Member {
        gathered: usize,
        paused: BTreeSet<TopicPartition>,
        rewound: Positions,
    }

    fn partition(partition: i32) -> TopicPartition {
        TopicPartition { topic: "t.results".into(), partition }
    }

    impl Consumer for Member {
        fn subscribe(&mut self, _: &BTreeSet<String>) -> Result<(), Error> {
            Ok(())
        }
        fn gather_more(&mut self, batch: &mut Batch, _: &GatherLimits, _: Duration) -> Result<(), Error> {
            batch.clear();
            self.gathered += 1;
            for partition in self.assignment().difference(&self.paused) {
                batch.push(&partition.topic, partition.partition, 7, 0, None, None, std::iter::empty());
            }
            Ok(())
        }
        fn assignment(&self) -> BTreeSet<TopicPartition> {
            BTreeSet::from([partition(i32::from(self.gathered > 0)), partition(2)])
        }
        fn assigned(&self) -> usize {
            self.assignment().len()
        }
        fn take_assigned(&mut self) -> Vec<TopicPartition> {
            unreachable!("a recorder does not ask")
        }
        fn backlog(&mut self, _: &dyn Fn(&str) -> bool) -> u64 {
            unreachable!("a recorder does not ask")
        }
        fn standing(&mut self, _: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Standing>, Error> {
            unreachable!("a recorder does not ask")
        }
        fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
            self.paused.extend(partitions.iter().cloned());
            Ok(())
        }
        fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
            self.paused.retain(|partition| !partitions.contains(partition));
            Ok(())
        }
        fn rewind(&mut self, positions: &Positions) -> Result<(), Error> {
            self.rewound.extend(positions.iter().map(|(partition, offset)| (partition.clone(), *offset)));
            Ok(())
        }
        fn commit_offsets(&mut self, _: &Positions) -> Result<(), Error> {
            Ok(())
        }
    }

    #[test]
    fn a_member_that_holds_keeps_gathering_and_takes_nothing() {
        let (mut member, mut hold) = (Member::default(), Hold::default());
        hold.keep(&mut member).unwrap();
        hold.keep(&mut member).unwrap();
        assert_eq!(member.gathered, 2);
        assert_eq!(member.rewound, Positions::from([(partition(1), 7)]), "what came before the pause comes again");
        hold.release(&mut member).unwrap();
        assert_eq!(member.paused, BTreeSet::from([partition(0)]), "a partition that was lost is not resumed");
    }

    #[test]
    fn offsets_of_partitions_that_were_lost_are_not_committed() {
        let (mut member, mut hold) = (Member::default(), Hold::default());
        hold.keep(&mut member).unwrap();
        let mut positions = Positions::from([(partition(0), 5), (partition(2), 6)]);
        hold.forget_lost(&mut positions);
        assert_eq!(positions, Positions::from([(partition(2), 6)]));
    }
}
