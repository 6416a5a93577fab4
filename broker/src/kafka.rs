//! Kafka, over librdkafka: production, and the reference for what the other implementations do.
//!
//! ```text
//!  Settings ── what librdkafka is told, and why
//!  Kafka ──┬── append ───────► Appender            one producer for all tasks; a ticket per record
//!          ├── ensure_topics … Enquirer, Maker     topics, offsets, lag
//!          ├── join ─────────► Member              gather: PartitionQueues ─► Batch; rebalances in there
//!          ├── join_transactional ► KafkaTransactor = Member + TransactionalProducer, over an Outbox
//!          ├── writer ───────► KafkaWriter         = TransactionalProducer
//!          └── follow ───────► KafkaFollower       all partitions, to their ends
//! ```
//!
//! `native` alone is `unsafe`; `error` alone classes errors; what is dropped closes within bounded time (`retire`).

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Append, Broker, Cause, Class, Consumer, Error, Follower, GroupMember, Lag, Membership, Position, Positions, Start,
    TopicSpec, Transactor, Writer,
};

mod append;
#[cfg(feature = "at-least-once")]
mod at_least_once;
mod breadth;
mod context;
mod errand;
mod error;
mod follower;
mod lifeline;
mod member;
mod native;
mod offsets;
mod outbox;
mod producer;
mod rebalance;
mod retire;
mod settings;
mod topics;
mod transactor;
mod writer;

#[cfg(feature = "at-least-once")]
pub use at_least_once::AtLeastOnce;
pub use settings::Settings;

use append::Appender;
use topics::{Enquirer, Maker};

/// A Kafka cluster.
pub struct Kafka {
    settings: Settings,
    appender: RwLock<Arc<Appender>>,
    enquirer: Arc<Enquirer>,
    maker: Maker,
}

impl Kafka {
    /// Makes the clients that all tasks share. They connect by themselves, and go on trying: whether the cluster is there
    /// is said by [`Broker::check`].
    ///
    /// # Errors
    /// [`Class::Fatal`] where a property has no such name or value.
    pub fn connect(settings: Settings) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            appender: RwLock::new(Arc::new(Appender::new(&settings)?)),
            enquirer: Arc::new(Enquirer::new(&settings)?),
            maker: Maker::new(&settings)?,
            settings,
        }))
    }

    fn appender(&self) -> Arc<Appender> {
        self.appender.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the shared producer where librdkafka gave it up, which no retry mends.
    fn replace(&self, lost: &Arc<Appender>) {
        let mut appender = self.appender.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&appender, lost) {
            return;
        }
        match Appender::new(&self.settings) {
            Ok(new) => {
                tracing::warn!("the shared producer met a fatal error and is replaced");
                *appender = Arc::new(new);
            }
            Err(error) => tracing::error!(%error, "the shared producer met a fatal error and cannot be replaced"),
        }
    }

    /// Runs a blocking question where it may block.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Enquirer) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let enquirer = self.enquirer.clone();
        match tokio::task::spawn_blocking(move || question(&enquirer)).await {
            Ok(answer) => answer,
            Err(error) => Err(Error::new(Class::Retriable, Cause::Other, "ask Kafka", error)),
        }
    }
}

#[async_trait]
impl Broker for Kafka {
    fn describe(&self) -> String {
        format!("kafka at {}", self.settings.bootstrap)
    }

    fn transaction_timeout(&self) -> Option<Duration> {
        Some(self.settings.transaction_timeout())
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        let wanted = topics.to_vec();
        let missing = self.ask(move |enquirer| enquirer.missing(&wanted)).await?;
        self.maker.make(&missing.make, self.settings.replication).await?;
        self.maker.grow(&missing.grow).await?;
        self.maker.enlarge(&missing.large).await?;
        let wanted = topics.to_vec();
        self.ask(move |enquirer| enquirer.await_ready(&wanted)).await
    }

    async fn topics(&self) -> Result<BTreeSet<String>, Error> {
        self.ask(Enquirer::topics).await
    }

    async fn append(&self, records: Vec<Append>) -> Vec<Result<Position, Error>> {
        let appender = self.appender();
        let answers = appender.append(records).await;
        if answers.iter().any(Result::is_err) && appender.is_lost() {
            self.replace(&appender);
        }
        answers
    }

    async fn lag(&self, group: &str, topics: &[String]) -> Result<Vec<Lag>, Error> {
        let (settings, group, topics) = (self.settings.clone(), group.to_owned(), topics.to_vec());
        self.ask(move |enquirer| enquirer.lag(&settings, &group, &topics)).await
    }

    async fn members(&self, group: &str) -> Result<Vec<GroupMember>, Error> {
        let group = group.to_owned();
        self.ask(move |enquirer| enquirer.members(&group)).await
    }

    async fn check(&self) -> Result<(), Error> {
        self.ask(Enquirer::check).await
    }

    fn follow(&self, topics: &[String], start: Start) -> Result<Box<dyn Follower>, Error> {
        Ok(Box::new(follower::KafkaFollower::start(&self.settings, self.enquirer.clone(), topics, start)?))
    }

    fn follow_from(&self, positions: &Positions) -> Result<Box<dyn Follower>, Error> {
        Ok(Box::new(follower::KafkaFollower::from(&self.settings, self.enquirer.clone(), positions)?))
    }

    fn join(&self, membership: &Membership) -> Result<Box<dyn Consumer>, Error> {
        Ok(Box::new(member::Member::join(&self.settings, membership)?))
    }

    fn join_transactional(
        &self,
        membership: &Membership,
        transactional_id: &str,
    ) -> Result<Box<dyn Transactor>, Error> {
        Ok(Box::new(transactor::KafkaTransactor::join(&self.settings, membership, transactional_id)?))
    }

    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, Error> {
        Ok(Box::new(writer::KafkaWriter::new(self.settings.clone(), transactional_id)))
    }
}
