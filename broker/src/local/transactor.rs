//! A member of a group whose outputs and offsets are committed as one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::member::Member;
use super::records::Records;
use super::request::Holder;
use super::{Log, Topic};
use crate::{
    Batch, Cause, Class, Consumer, Error, GatherLimits, Membership, Outgoing, Positions, Standing, TopicPartition,
    Transactor,
};

/// Bytes of records in one transaction; they are kept in memory until its commit.
const TRANSACTION_BYTES_MAX: usize = 256 * 1024 * 1024;

/// See [`Transactor`].
pub(crate) struct LocalTransactor {
    member: Member,
    holder: Holder,
    transaction: Option<Transaction>,
    /// Memory for the next transaction.
    spare: Records,
}

#[derive(Default)]
struct Transaction {
    records: Records,
    /// Why it can only be aborted.
    spoilt: Option<Error>,
    /// Where the last record went: the next mostly goes there, too.
    topic: Option<Arc<Topic>>,
}

impl LocalTransactor {
    pub(super) fn join(log: Arc<Log>, membership: &Membership, transactional_id: &str) -> Result<Self, Error> {
        // First the id, then the group: what the predecessor was committing is done before its offsets are looked up.
        let holder = log.acquire(transactional_id)?;
        Ok(Self { member: Member::join(log, membership), holder, transaction: None, spare: Records::default() })
    }

    /// See [`Member::evict`].
    pub(crate) fn evict(&self) {
        self.member.evict();
    }

    fn try_produce(&mut self, record: &Outgoing<'_>) -> Result<(), Error> {
        const OPERATION: &str = "produce";
        self.holder.check(OPERATION)?;
        let Some(transaction) = &mut self.transaction else { return Err(no_transaction(OPERATION)) };
        if transaction.records.bytes_len() > TRANSACTION_BYTES_MAX {
            let message = format!("the transaction has {TRANSACTION_BYTES_MAX} bytes");
            return Err(Error::new(Class::Abortable, Cause::Full, OPERATION, message));
        }
        let topic = match &transaction.topic {
            Some(topic) if &*topic.name == record.topic => topic,
            _ => {
                let topic = self.member.log().core.topic(OPERATION, record.topic);
                let topic = topic.map_err(|error| Error { class: Class::Abortable, ..error })?;
                transaction.topic.insert(topic)
            }
        };
        transaction.records.push(OPERATION, topic, record.key, record.value, record.headers.iter().copied())
    }

    fn try_commit(
        &mut self,
        operation: &'static str,
        positions: &Positions,
        moved_to: Option<&str>,
    ) -> Result<(), Error> {
        self.holder.check(operation)?;
        let Some(transaction) = &mut self.transaction else { return Err(no_transaction(operation)) };
        if let Some(error) = &transaction.spoilt {
            return Err(error.clone());
        }
        let records = std::mem::take(&mut transaction.records);
        // What cannot be written now is in no state to be written later: its records are gone with the attempt.
        let abortable = |error: Error| match error.class {
            Class::Retriable => Error { class: Class::Abortable, ..error },
            Class::Abortable | Class::Fatal => error,
        };
        let mut offsets = self.member.offsets(operation, positions).map_err(abortable)?;
        offsets.moved_to = moved_to.map(Into::into);
        let records = self.member.log().write(operation, &self.holder, records, Some(offsets)).map_err(abortable)?;
        self.spare = records.recycled();
        self.transaction = None;
        Ok(())
    }

    /// A transaction that met an error is not committed, whatever the caller does.
    fn spoil(&mut self, error: Error) -> Error {
        if let Some(transaction) = &mut self.transaction {
            transaction.spoilt = Some(error.clone());
        }
        error
    }
}

fn no_transaction(operation: &'static str) -> Error {
    Error::new(Class::Fatal, Cause::Other, operation, "no transaction is open")
}

impl Transactor for LocalTransactor {
    fn begin(&mut self) -> Result<(), Error> {
        self.holder.check("begin")?;
        if self.transaction.is_some() {
            return Err(Error::new(Class::Fatal, Cause::Other, "begin", "a transaction is open already"));
        }
        let records = std::mem::take(&mut self.spare);
        self.transaction = Some(Transaction { records, ..Transaction::default() });
        Ok(())
    }

    fn produce(&mut self, record: &Outgoing<'_>) -> Result<(), Error> {
        self.try_produce(record).map_err(|error| self.spoil(error))
    }

    fn commit(&mut self, positions: &Positions) -> Result<(), Error> {
        self.try_commit("commit", positions, None).map_err(|error| self.spoil(error))
    }

    fn hand_over(&mut self, positions: &Positions, to: &str) -> Result<(), Error> {
        self.begin()?;
        self.try_commit("hand over", positions, Some(to)).map_err(|error| self.spoil(error))
    }

    fn abort(&mut self) -> Result<(), Error> {
        if let Some(transaction) = self.transaction.take() {
            self.spare = transaction.records.recycled();
        }
        self.holder.check("abort")
    }
}

impl Consumer for LocalTransactor {
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

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), Error> {
        self.member.commit_offsets(positions)
    }
}
