//! What exactly-once is measured against, and nothing that anybody should run: the same member and the same records,
//! committed one after the other in place of together. A crash between the two has a batch done twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::Kafka;
use super::member::Member;
use super::outbox::Outbox;
use super::transactor::KafkaTransactor;
use crate::{
    Append, Broker, Cause, Class, Consumer, Error, Follower, GroupMember, Lag, Membership, Outgoing, Position,
    Positions, Start, TopicSpec, Transactor, Writer,
};

/// A Kafka whose [`Broker::join_transactional`] knows no transactions; all else is Kafka's.
pub struct AtLeastOnce(pub Arc<Kafka>);

impl Transactor for KafkaTransactor<Outbox> {
    fn begin(&mut self) -> Result<(), Error> {
        self.producer.begin();
        Ok(())
    }

    fn produce(&mut self, record: &Outgoing<'_>) -> Result<(), Error> {
        self.producer.produce(record)
    }

    fn commit(&mut self, positions: &Positions) -> Result<(), Error> {
        self.member.check_owner("commit", positions)?;
        self.producer.drain(|| false)?;
        self.member.commit_offsets(positions)
    }

    fn hand_over(&mut self, _: &Positions, _: &str) -> Result<(), Error> {
        let message = "two groups' offsets are committed together or not at all, and here there are no transactions";
        Err(Error::new(Class::Fatal, Cause::Other, "hand over", message))
    }

    /// What was sent is not taken back: when the batch is done again, it comes a second time.
    fn abort(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

#[async_trait]
impl Broker for AtLeastOnce {
    fn describe(&self) -> String {
        format!("{}, at least once", self.0.describe())
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.0.ensure_topics(topics).await
    }

    async fn topics(&self) -> Result<BTreeSet<String>, Error> {
        self.0.topics().await
    }

    async fn append(&self, records: Vec<Append>) -> Vec<Result<Position, Error>> {
        self.0.append(records).await
    }

    async fn lag(&self, group: &str, topics: &[String]) -> Result<Vec<Lag>, Error> {
        self.0.lag(group, topics).await
    }

    async fn members(&self, group: &str) -> Result<Vec<GroupMember>, Error> {
        self.0.members(group).await
    }

    async fn check(&self) -> Result<(), Error> {
        self.0.check().await
    }

    fn follow(&self, topics: &[String], start: Start) -> Result<Box<dyn Follower>, Error> {
        self.0.follow(topics, start)
    }

    fn follow_from(&self, positions: &Positions) -> Result<Box<dyn Follower>, Error> {
        self.0.follow_from(positions)
    }

    fn join(&self, membership: &Membership) -> Result<Box<dyn Consumer>, Error> {
        self.0.join(membership)
    }

    fn join_transactional(&self, membership: &Membership, _: &str) -> Result<Box<dyn Transactor>, Error> {
        let settings = &self.0.settings;
        let config = settings.without_transactions(&membership.client_id);
        let producer = Outbox::new("make the producer", settings, &config)?;
        Ok(Box::new(KafkaTransactor { member: Member::join(settings, membership)?, producer }))
    }

    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, Error> {
        self.0.writer(transactional_id)
    }
}
