//! A log whose topics, groups and transactional ids all have a prefix: so that tests which write the control plane's own
//! topics share one Kafka without meeting.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jobico_broker::{
    Append, Batch, Broker, Consumer, Error, Follower, GatherLimits, GroupMember, Lag, Membership, Outgoing, Position,
    Positions, Progress, Start, TopicSpec, Transactor, Writer,
};

pub struct Prefixed {
    inner: Arc<dyn Broker>,
    prefix: String,
}

impl Prefixed {
    pub fn new(inner: Arc<dyn Broker>, prefix: &str) -> Self {
        Self { inner, prefix: prefix.to_owned() }
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

#[async_trait]
impl Broker for Prefixed {
    fn describe(&self) -> String {
        format!("{} below {}", self.inner.describe(), self.prefix)
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        let named: Vec<_> =
            topics.iter().map(|topic| TopicSpec { name: self.name(&topic.name), ..topic.clone() }).collect();
        self.inner.ensure_topics(&named).await
    }

    async fn topics(&self) -> Result<BTreeSet<String>, Error> {
        let all = self.inner.topics().await?;
        Ok(all.iter().filter_map(|name| name.strip_prefix(&self.prefix)).map(str::to_owned).collect())
    }

    async fn append(&self, mut records: Vec<Append>) -> Vec<Result<Position, Error>> {
        for record in &mut records {
            record.topic = self.name(&record.topic);
        }
        self.inner.append(records).await
    }

    async fn lag(&self, group: &str, topics: &[String]) -> Result<Vec<Lag>, Error> {
        let topics: Vec<_> = topics.iter().map(|topic| self.name(topic)).collect();
        self.inner.lag(&self.name(group), &topics).await
    }

    async fn members(&self, group: &str) -> Result<Vec<GroupMember>, Error> {
        panic!("a registry asks nothing of groups: {group}");
    }

    async fn check(&self) -> Result<(), Error> {
        self.inner.check().await
    }

    fn follow(&self, topics: &[String], start: Start) -> Result<Box<dyn Follower>, Error> {
        let topics: Vec<_> = topics.iter().map(|topic| self.name(topic)).collect();
        let inner = self.inner.follow(&topics, start)?;
        Ok(Box::new(PrefixedFollower { inner, prefix: self.prefix.clone(), batch: Batch::new() }))
    }

    fn follow_from(&self, positions: &Positions) -> Result<Box<dyn Follower>, Error> {
        panic!("a registry reads topics whole: {positions:?}");
    }

    fn join(&self, membership: &Membership) -> Result<Box<dyn Consumer>, Error> {
        panic!("a registry joins no group: {}", membership.group);
    }

    fn join_transactional(&self, membership: &Membership, _: &str) -> Result<Box<dyn Transactor>, Error> {
        panic!("a registry joins no group: {}", membership.group);
    }

    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, Error> {
        let inner = self.inner.writer(&self.name(transactional_id))?;
        Ok(Box::new(PrefixedWriter { inner, prefix: self.prefix.clone() }))
    }
}

struct PrefixedFollower {
    inner: Box<dyn Follower>,
    prefix: String,
    batch: Batch,
}

impl PrefixedFollower {
    fn strip(&self, batch: &mut Batch) {
        for record in self.batch.iter() {
            let topic = record.topic().strip_prefix(&self.prefix).expect("only topics with the prefix are followed");
            let (at, ts) = (record.partition(), record.timestamp_ms());
            batch.push(topic, at, record.offset(), ts, record.key(), record.value(), record.headers());
        }
    }
}

impl Follower for PrefixedFollower {
    fn poll(&mut self, batch: &mut Batch, wait: Duration) -> Result<(), Error> {
        batch.clear();
        self.inner.poll(&mut self.batch, wait)?;
        self.strip(batch);
        Ok(())
    }

    fn read_to_end(&mut self, batch: &mut Batch) -> Result<(), Error> {
        batch.clear();
        self.inner.read_to_end(&mut self.batch)?;
        self.strip(batch);
        Ok(())
    }

    fn read_some(&mut self, _: &mut Batch, _: &GatherLimits) -> Result<Progress, Error> {
        panic!("a registry reads to the end");
    }
}

struct PrefixedWriter {
    inner: Box<dyn Writer>,
    prefix: String,
}

impl Writer for PrefixedWriter {
    fn acquire(&mut self) -> Result<(), Error> {
        self.inner.acquire()
    }

    fn write(&mut self, records: &[Outgoing<'_>]) -> Result<(), Error> {
        let topics: Vec<String> = records.iter().map(|record| format!("{}{}", self.prefix, record.topic)).collect();
        let named: Vec<_> = records.iter().zip(&topics).map(|(record, topic)| Outgoing { topic, ..*record }).collect();
        self.inner.write(&named)
    }
}
