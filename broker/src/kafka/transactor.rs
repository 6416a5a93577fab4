//! A member of a group whose outputs and offsets are committed as one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::member::{self, Member};
use super::producer::TransactionalProducer;
use super::settings::Settings;
use crate::{
    Batch, Consumer, Error, GatherLimits, Membership, Outgoing, Positions, Standing, TopicPartition, Transactor,
    crash_point,
};

/// See [`crate::Broker::join_transactional`]. How outputs and offsets are committed is the producer's.
pub(super) struct KafkaTransactor<Producer = TransactionalProducer> {
    pub(super) member: Member,
    pub(super) producer: Producer,
}

impl KafkaTransactor {
    /// Takes the transactional id over, then makes the member: what a predecessor left open has ended before its offsets
    /// are read.
    pub(super) fn join(settings: &Settings, membership: &Membership, transactional_id: &str) -> Result<Self, Error> {
        let producer = TransactionalProducer::acquire(settings, &membership.client_id, transactional_id)?;
        Ok(Self { member: Member::join(settings, membership)?, producer })
    }
}

impl Transactor for KafkaTransactor {
    fn begin(&mut self) -> Result<(), Error> {
        crash_point::reach(crash_point::BEGIN)?;
        self.producer.begin()?;
        crash_point::reach(crash_point::BEGUN)
    }

    fn produce(&mut self, record: &Outgoing<'_>) -> Result<(), Error> {
        crash_point::reach(crash_point::PRODUCE)?;
        self.producer.produce(record)?;
        crash_point::reach(crash_point::PRODUCED)
    }

    fn commit(&mut self, positions: &Positions) -> Result<(), Error> {
        self.member.check_owner("commit", positions)?;
        crash_point::reach(crash_point::COMMIT)?;
        // The offsets go while records are on their way still: all of it is one transaction, in whatever order it comes.
        if !positions.is_empty() {
            self.producer.send_offsets(self.member.consumer(), &member::list(positions)?)?;
        }
        crash_point::reach(crash_point::SENDING)?;
        self.producer.drain()?;
        crash_point::reach(crash_point::DRAINED)?;
        self.producer.await_offsets()?;
        crash_point::reach(crash_point::OFFSETS)?;
        self.producer.commit()?;
        crash_point::reach(crash_point::COMMITTED)
    }

    fn hand_over(&mut self, positions: &Positions, to: &str) -> Result<(), Error> {
        self.member.check_owner("hand over", positions)?;
        self.producer.begin()?;
        // First this group's, which the broker refuses where the group went on.
        self.producer.send_offsets(self.member.consumer(), &member::moved(positions)?)?;
        self.producer.await_offsets()?;
        self.producer.send_offsets_of_nobody(to, &member::list(positions)?)?;
        self.producer.await_offsets()?;
        crash_point::reach(crash_point::HAND_OVER)?;
        self.producer.commit()?;
        crash_point::reach(crash_point::HANDED_OVER)
    }

    fn abort(&mut self) -> Result<(), Error> {
        crash_point::reach(crash_point::ABORT)?;
        self.producer.abort()?;
        crash_point::reach(crash_point::ABORTED)
    }
}

impl<Producer: Send> Consumer for KafkaTransactor<Producer> {
    fn subscribe(&mut self, topics: &BTreeSet<String>) -> Result<(), Error> {
        self.member.subscribe(topics)
    }

    fn gather_more(&mut self, batch: &mut Batch, limits: &GatherLimits, wait: Duration) -> Result<(), Error> {
        self.member.gather_more(batch, limits, wait)
    }

    fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.member.assignment()
    }

    fn assigned(&self) -> usize {
        self.member.assigned()
    }

    fn take_assigned(&mut self) -> Vec<TopicPartition> {
        self.member.take_assigned()
    }

    fn standing(&mut self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Standing>, Error> {
        self.member.standing(partitions)
    }

    fn backlog(&mut self, counts: &dyn Fn(&str) -> bool) -> u64 {
        self.member.backlog(counts)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.member.pause(partitions)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.member.resume(partitions)
    }

    fn rewind(&mut self, positions: &Positions) -> Result<(), Error> {
        self.member.rewind(positions)
    }

    fn give_back(&mut self, batch: &mut Batch, from: &Positions) -> Result<(), Error> {
        self.member.give_back(batch, from)
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), Error> {
        self.member.commit_offsets(positions)
    }
}
