//! The seam to the log: what Jobico needs of it, and no more.
//!
//! ```text
//!  ingest        ── append ───────────────────────────────► topic        acknowledged, durable
//!  registry      ── Writer::write ────────────────────────► topic        fenced, in a transaction
//!  every service ── Follower ◄───────────────────────────── topic        from its start, or its end
//!  recorder      ── Consumer: gather ─► commit offsets                    a member of a group
//!  processor     ── Transactor: gather ─► begin ─► produce ─► commit      … outputs and offsets as one
//! ```
//!
//! Three implementations: [`kafka`] (production, the reference), [`embedded`] (a SQLite file; one process, nothing to
//! install) and [`simulated`] (in memory, with faults drawn from a seed). One conformance suite runs against all three
//! (`broker/tests`).
//!
//! The traits work in batches, so that the seam costs nothing per event. What blocks is a plain method and belongs on a
//! thread of its own; only what many tasks share ([`Broker`]) is async.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

mod batch;
mod error;
mod partitioner;

mod coordinator;
mod local;

pub mod crash_point;
pub mod embedded;
pub mod kafka;
pub mod simulated;

pub use batch::{Batch, Record};
pub use error::{Cause, Class, Error};
pub use partitioner::partition_of_key;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: i32,
}

/// The next offset to read, per partition.
pub type Positions = BTreeMap<TopicPartition, i64>;

/// Where a record came to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// What is thrown away.
    pub retention: Retention,
    /// Bytes of its largest record, up to [`RECORD_BYTES_CAP`]; none = the log's default, [`RECORD_BYTES_DEFAULT`] or what
    /// the operators of the cluster chose.
    pub record_bytes_max: Option<u32>,
}

/// Bytes of the largest record of a topic that asks for no other limit: Kafka's default (`message.max.bytes` of the broker),
/// in round numbers. Kafka counts a batch as it is sent, compressed; the logs of this process count key, value and headers.
pub const RECORD_BYTES_DEFAULT: u32 = 1 << 20;

/// The most that [`TopicSpec::record_bytes_max`] may ask for. Records in transactions may be as large, if their topic takes
/// them.
pub const RECORD_BYTES_CAP: u32 = 4 << 20;

/// What a topic throws away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// The broker's default.
    Default,
    /// Records older than this.
    For(Duration),
    /// All but the newest record of each key (`cleanup.policy=compact`).
    Compact,
}

/// A record to write. Header names and values are borrowed for the length of the call.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The topic; it must exist.
    pub topic: &'a str,
    /// The key: decides the partition (murmur2, as Kafka's own producers), none = spread.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// A record to append, owned: it outlives the call while its acknowledgement is awaited.
#[derive(Debug, Clone)]
pub struct Append {
    /// See [`Outgoing::topic`].
    pub topic: String,
    /// See [`Outgoing::key`].
    pub key: Option<Vec<u8>>,
    /// See [`Outgoing::value`].
    pub value: Option<Vec<u8>>,
    /// See [`Outgoing::headers`].
    pub headers: Vec<(String, Vec<u8>)>,
}

/// How much one [`Consumer::gather`] takes.
#[derive(Debug, Clone, Copy)]
pub struct GatherLimits {
    /// Records.
    pub records_max: usize,
    /// Bytes of keys, values and headers. One record may exceed it, so that none blocks for ever.
    pub bytes_max: usize,
}

/// Where a [`Follower`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record that the topic still has.
    Beginning,
    /// After the last record committed when the follower was made.
    End,
}

/// A member of a consumer group.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The group.
    pub group: String,
    /// The client's name in the broker's logs and metrics.
    pub client_id: String,
    /// How many topics it is going to read, about: what is fetched ahead is less of each where they are many. One that
    /// subscribes to very many more is told by a [`Class::Fatal`] error to be made anew.
    pub topics: usize,
}

/// How far a group is behind, per partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The partition.
    pub partition: TopicPartition,
    /// The group's committed offset; none = it never committed one.
    pub committed: Option<i64>,
    /// One past the last offset that can be read.
    pub end: i64,
}

/// How a group stands to a partition: what it has committed of it. See [`Transactor::hand_over`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It never committed anything.
    Never,
    /// What comes before this offset is done.
    At(i64),
    /// It handed the partition over to another group, at this offset.
    Moved(i64),
}

/// A member of a consumer group, as the log's coordinator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// [`Membership::client_id`].
    pub client_id: String,
    /// The machine it is at, as far as the log knows.
    pub host: String,
    /// What it has to read; none where the log does not say (of a group that is being rebalanced).
    pub partitions: Vec<TopicPartition>,
}

/// How far a [`Follower`] has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The next offset to read, of each of its partitions: where [`Broker::follow_from`] goes on.
    pub next: Positions,
    /// Whether everything was read that could be seen as committed when the call began.
    pub is_end: bool,
}

/// The log, shared by all tasks of a process.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// What it is, for people: `kafka at localhost:9092`, `embedded in …`.
    fn describe(&self) -> String;

    /// How long a transaction may be open before the log ends it on its own; none: for ever.
    fn transaction_timeout(&self) -> Option<Duration> {
        None
    }

    /// Makes the topics that do not exist yet; returns when each can be written and read. Topics that exist stay as they
    /// are, but for their partitions and their largest record, which grow to what is asked.
    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error>;

    /// The topics that exist.
    async fn topics(&self) -> Result<BTreeSet<String>, Error>;

    /// Appends records; one answer each, in their order, once the log has taken it durably (acks=all, idempotent
    /// producer). Records of one call for one partition stand in their order. An error says that nothing is certain of
    /// that record, unless its [`Cause`] does.
    async fn append(&self, records: Vec<Append>) -> Vec<Result<Position, Error>>;

    /// How far `group` is behind on `topics`.
    async fn lag(&self, group: &str, topics: &[String]) -> Result<Vec<Lag>, Error>;

    /// The members of `group` now, in any order; none of a group that nobody is in.
    async fn members(&self, group: &str) -> Result<Vec<GroupMember>, Error>;

    /// Whether the log answers.
    async fn check(&self) -> Result<(), Error>;

    /// Reads `topics` outside any group, committed records only.
    fn follow(&self, topics: &[String], start: Start) -> Result<Box<dyn Follower>, Error>;

    /// Like [`Broker::follow`], of these partitions and no others, each from its offset on: from the first that it still
    /// has where the offset is gone, and from its end where the offset is beyond it.
    fn follow_from(&self, positions: &Positions) -> Result<Box<dyn Follower>, Error>;

    /// Joins a group; offsets are committed on their own.
    fn join(&self, membership: &Membership) -> Result<Box<dyn Consumer>, Error>;

    /// Joins a group; offsets are committed with outputs. Ends at once whatever an earlier holder of `transactional_id`
    /// left open, and fences that holder.
    fn join_transactional(&self, membership: &Membership, transactional_id: &str)
    -> Result<Box<dyn Transactor>, Error>;

    /// A writer that fences all earlier ones of its `transactional_id`. It holds nothing before [`Writer::acquire`].
    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, Error>;
}

/// A reader of whole topics, outside any group.
pub trait Follower: Send {
    /// Fills `batch` (cleared first) with what comes next, at most waiting `wait` for the first record.
    fn poll(&mut self, batch: &mut Batch, wait: Duration) -> Result<(), Error>;

    /// Fills `batch` (cleared first) with everything that readers could see as committed when this was called and that was
    /// not returned before. Of a transaction that ended just now this may be nothing yet (see [`Transactor::commit`]): who
    /// waits for records of its own reads on with [`Follower::poll`].
    fn read_to_end(&mut self, batch: &mut Batch) -> Result<(), Error>;

    /// Like [`Follower::read_to_end`], but not beyond a limit: what is left comes with the next call. The limits may be
    /// exceeded by what was fetched in one go.
    fn read_some(&mut self, batch: &mut Batch, limits: &GatherLimits) -> Result<Progress, Error>;
}

/// A member of a group. It blocks, and belongs to one thread.
pub trait Consumer: Send {
    /// Sets the topics to read; partitions of others are given back.
    fn subscribe(&mut self, topics: &BTreeSet<String>) -> Result<(), Error>;

    /// Fills `batch` (cleared first) until a limit is met or nothing more is there, waiting at most `wait` for the first
    /// record and for none after it. Rebalances happen in here and nowhere else: records of a partition that was taken
    /// away are not in `batch`.
    /// Partitions take turns, so that a long backlog in one does not hold the others up.
    fn gather(&mut self, batch: &mut Batch, limits: &GatherLimits, wait: Duration) -> Result<(), Error> {
        batch.clear();
        self.gather_more(batch, limits, wait)
    }

    /// Adds to what is left in `batch` of earlier calls, until a limit is met or nothing more is there; it waits as
    /// [`Consumer::gather`] does, and not at all where `batch` holds something. Records of a partition that was taken away
    /// are taken out of `batch`.
    fn gather_more(&mut self, batch: &mut Batch, limits: &GatherLimits, wait: Duration) -> Result<(), Error>;

    /// The partitions this member has now.
    fn assignment(&self) -> BTreeSet<TopicPartition>;

    /// How many these are; it costs nothing where they are many.
    fn assigned(&self) -> usize;

    /// The partitions that became this member's since this was asked last, also those that it lost and has again.
    fn take_assigned(&mut self) -> Vec<TopicPartition>;

    /// How this member's group stands to `partitions`, whether they are the member's or not, and whether it has subscribed
    /// or not. Transactions that are about to change it are waited for, a second at most.
    ///
    /// # Errors
    /// [`Class::Retriable`] where the log does not say it in time.
    fn standing(&mut self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Standing>, Error>;

    /// How many offsets there are from what was gathered of the member's partitions, or else what the group has committed, to
    /// their ends, as far as the log has told it by now: a rough number, of partitions that `counts` and at no cost to the log.
    fn backlog(&mut self, counts: &dyn Fn(&str) -> bool) -> u64;

    /// Holds partitions back: [`Consumer::gather`] returns nothing of them until they are resumed.
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Error>;

    /// Ends a [`Consumer::pause`].
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Error>;

    /// Goes back to `positions`: the next [`Consumer::gather`] begins there. Partitions that are not this member's (any more)
    /// are passed over.
    fn rewind(&mut self, positions: &Positions) -> Result<(), Error>;

    /// Takes gathered records out of `batch` that have to wait, of each partition from the offset on that stands in `from`:
    /// they come again, before what follows them. As [`Consumer::rewind`], but the log is not asked for what is in memory.
    fn give_back(&mut self, batch: &mut Batch, from: &Positions) -> Result<(), Error> {
        self.rewind(from)?;
        batch.cut(from);
        Ok(())
    }

    /// Commits offsets on their own: what comes before them is done.
    ///
    /// # Errors
    /// [`Cause::Fenced`], [`Class::Abortable`], where a partition is not this member's (any more); then none is committed.
    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), Error>;
}

/// A member of a group that commits outputs and offsets as one (KIP-447).
pub trait Transactor: Consumer {
    /// Begins a transaction.
    fn begin(&mut self) -> Result<(), Error>;

    /// Adds a record to the transaction.
    fn produce(&mut self, record: &Outgoing<'_>) -> Result<(), Error>;

    /// Commits the records produced since [`Transactor::begin`] and `positions`, all or nothing. Readers see them soon after
    /// this returns, not always at once: Kafka answers when the outcome is durable, and marks the partitions afterwards.
    /// After an error of class [`Class::Abortable`] the transaction is open still, to be aborted.
    ///
    /// # Errors
    /// [`Cause::Fenced`]: [`Class::Fatal`] where another holds the transactional id, [`Class::Abortable`] where a partition
    /// of `positions` is not this member's (any more). [`Class::Fatal`] with [`Cause::Unavailable`] leaves open whether it
    /// was committed; whoever joins next with this transactional id begins behind it or before it, and nothing is in between.
    fn commit(&mut self, positions: &Positions) -> Result<(), Error>;

    /// Hands partitions over from this member's group to the group `to`, in a transaction of its own, all or nothing: of this
    /// group they are [`Standing::Moved`] from then on, of the other [`Standing::At`] their offset. Who has them in this
    /// group counts, as for [`Transactor::commit`]; nobody's word is asked for in the other, which must not have committed
    /// them meanwhile. No transaction may be open.
    ///
    /// # Errors
    /// Those of [`Transactor::commit`]; one that is left open is to be aborted.
    fn hand_over(&mut self, positions: &Positions, to: &str) -> Result<(), Error>;

    /// Ends the transaction without effect; without an open one it does nothing. The caller rewinds.
    fn abort(&mut self) -> Result<(), Error>;
}

/// The one writer of the control plane's topics.
pub trait Writer: Send {
    /// Becomes the writer: fences every other holder of the transactional id. To be called first, and again after an
    /// error with [`Cause::Fenced`].
    fn acquire(&mut self) -> Result<(), Error>;

    /// Writes records in one transaction.
    ///
    /// # Errors
    /// [`Cause::Fenced`] where another became the writer meanwhile; then nothing was written. [`Class::Fatal`] with any other cause
    /// where it is not known whether they were written. With another class, they were not.
    fn write(&mut self, records: &[Outgoing<'_>]) -> Result<(), Error>;
}
