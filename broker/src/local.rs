//! A log that lives in this process: what [`crate::embedded`] and [`crate::simulated`] have in common, so that the two
//! agree by construction. They differ in where records are kept ([`Storage`]) and who runs [`Core::apply`] ([`Submit`]).
//!
//! ```text
//!  append, Writer::write, Transactor::commit ─► Request ─► Submit ─► Core::apply ─► Storage::write   one transaction
//!                                                                        │
//!                                          partitions' ends, committed offsets, Inbox of each reader
//!                                                                        ▼
//!  gather, poll ◄─ Cursors ◄─ Storage::reader                        those that wait are woken
//! ```
//!
//! A transaction's records are kept in memory until its commit and written with its offsets, so whatever is in the
//! storage is committed, and readers need no isolation level.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, mpsc};

use tokio::sync::{Semaphore, oneshot};

use crate::coordinator::{Coordinator, MemberId, PartitionId};
use crate::{
    Append, Cause, Class, Error, Follower, GroupMember, Lag, Membership, Position, Positions, Standing, Start,
    TopicPartition, TopicSpec, Writer,
};

mod index;
mod records;
mod request;

mod apply;
mod storage;

mod cursors;
mod inbox;

mod follower;
mod member;
mod transactor;
mod writer;

pub(crate) use index::{Index, NewTopic, Partition, Topic};
pub(crate) use member::Member;
pub(crate) use records::headers;
pub(crate) use request::{Offset, Request, Write};
pub(crate) use storage::{Ranges, Storage, is_full};
pub(crate) use transactor::LocalTransactor;

use inbox::Inbox;
use records::Records;
use request::{Holder, Offsets};

/// Bytes of appended records that wait for their acknowledgement; who would exceed them waits for others' to end. In KiB,
/// because that is what a permit of a semaphore stands for here.
const APPENDS_KIB_MAX: u32 = 64 * 1024;

/// The log's state: what is kept in memory of what is in the storage, and the groups.
pub(crate) struct Core {
    storage: Box<dyn Storage>,
    index: RwLock<Index>,
    groups: Mutex<Groups>,
    /// The newest epoch of each transactional id. Holders have the counter, to see in one load whether they still hold it.
    epochs: Mutex<HashMap<String, Arc<AtomicU64>>>,
    /// Held by whoever applies requests.
    applying: Mutex<()>,
    clock: Clock,
}

/// Milliseconds since 1970.
pub(crate) type Clock = Box<dyn Fn() -> i64 + Send + Sync>;

/// Groups: who has what, and how far they are.
#[derive(Default)]
struct Groups {
    coordinator: Coordinator,
    committed: HashMap<Arc<str>, HashMap<PartitionId, Offset>>,
    inboxes: HashMap<MemberId, Arc<Inbox>>,
    /// What members call themselves.
    clients: HashMap<MemberId, String>,
}

/// What a storage held when it was opened.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) index: Index,
    pub(crate) committed: HashMap<Arc<str>, HashMap<PartitionId, Offset>>,
    pub(crate) epochs: HashMap<String, u64>,
}

/// Brings requests to [`Core::apply`], in the order they come.
pub(crate) trait Submit: Send + Sync {
    /// Takes a request. It is answered, or dropped where the log has closed.
    fn submit(&self, request: Request);
}

/// Carries requests out at once, in the thread of whoever asks.
pub(crate) struct AtOnce(pub(crate) Arc<Core>);

impl Submit for AtOnce {
    fn submit(&self, request: Request) {
        self.0.apply(vec![request]);
    }
}

/// A log that lives in this process.
pub(crate) struct Log {
    core: Arc<Core>,
    submit: Box<dyn Submit>,
    appends: Arc<Semaphore>,
}

impl Core {
    pub(crate) fn new(storage: Box<dyn Storage>, loaded: Loaded, clock: Clock) -> Arc<Self> {
        let epochs = loaded.epochs.into_iter().map(|(id, epoch)| (id, Arc::new(AtomicU64::new(epoch)))).collect();
        Arc::new(Self {
            storage,
            index: RwLock::new(loaded.index),
            groups: Mutex::new(Groups { committed: loaded.committed, ..Groups::default() }),
            epochs: Mutex::new(epochs),
            applying: Mutex::new(()),
            clock,
        })
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    pub(crate) fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// The topics, for what goes through all of them.
    pub(crate) fn all_topics(&self) -> Vec<Arc<Topic>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).topics().cloned().collect()
    }

    fn topic(&self, operation: &'static str, name: &str) -> Result<Arc<Topic>, Error> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.topic(name).cloned().ok_or_else(|| {
            Error::new(Class::Retriable, Cause::UnknownTopic, operation, format!("there is no topic {name}"))
        })
    }

    fn partition(&self, operation: &'static str, partition: &TopicPartition) -> Result<Arc<Partition>, Error> {
        let topic = self.topic(operation, &partition.topic)?;
        let number = usize::try_from(partition.partition).ok();
        number.and_then(|number| topic.partitions.get(number)).cloned().ok_or_else(|| {
            let message = format!("topic {} has no partition {}", partition.topic, partition.partition);
            Error::new(Class::Retriable, Cause::UnknownTopic, operation, message)
        })
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        lock(&self.groups)
    }

    fn epoch(&self, id: &str) -> Arc<AtomicU64> {
        lock(&self.epochs).entry(id.to_owned()).or_default().clone()
    }

    /// Puts a member out of its group, as a broker does with one that it has not heard of.
    pub(crate) fn evict(&self, group: &str, member: MemberId) {
        // No commit is between its check and its effect.
        let _applying = lock(&self.applying);
        let mut groups = self.groups();
        let woken = groups.coordinator.evict(group, member);
        groups.wake(&woken);
    }

    /// The offsets that a group committed.
    pub(crate) fn committed(&self, group: &str) -> Positions {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let groups = self.groups();
        let offsets = groups.committed.get(group).into_iter().flatten();
        offsets.filter_map(|(id, offset)| Some((index.partition(*id)?.name(), offset.next))).collect()
    }
}

impl Groups {
    fn wake<'a>(&self, members: impl IntoIterator<Item = &'a MemberId>) {
        for inbox in members.into_iter().filter_map(|id| self.inboxes.get(id)) {
            inbox.rebalance();
        }
    }

    fn committed(&self, group: &str, partition: PartitionId) -> Option<i64> {
        self.committed.get(group)?.get(&partition).map(|offset| offset.next)
    }

    fn standing(&self, group: &str, partition: PartitionId) -> Standing {
        match self.committed.get(group).and_then(|offsets| offsets.get(&partition)) {
            None => Standing::Never,
            Some(Offset { next, moved: false }) => Standing::At(*next),
            Some(Offset { next, moved: true }) => Standing::Moved(*next),
        }
    }
}

impl Log {
    pub(crate) fn new(core: Arc<Core>, submit: Box<dyn Submit>) -> Arc<Self> {
        let appends = Arc::new(Semaphore::new(APPENDS_KIB_MAX as usize));
        Arc::new(Self { core, submit, appends })
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.submit.submit(Request::Ensure {
            topics: topics.to_vec(),
            // Whoever has gone needs no answer; so in all replies below.
            reply: Box::new(move |result| drop(reply.send(result))),
        });
        answer.await.unwrap_or_else(|_| Err(closed("make topics")))
    }

    pub(crate) fn topics(&self) -> BTreeSet<String> {
        self.core.all_topics().iter().map(|topic| topic.name.to_string()).collect()
    }

    pub(crate) async fn append(&self, records: Vec<Append>) -> Vec<Result<Position, Error>> {
        const OPERATION: &str = "append";
        let mut taken = Records::default();
        let verdicts: Vec<Result<(), Error>> = records
            .iter()
            .map(|record| {
                let topic = self.core.topic(OPERATION, &record.topic)?;
                let headers = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
                taken.push(OPERATION, &topic, record.key.as_deref(), record.value.as_deref(), headers)
            })
            .collect();
        drop(records);
        let written = if taken.is_empty() { Ok(taken) } else { self.write_waiting(OPERATION, taken).await };
        match written {
            Ok(written) => {
                let mut positions = written.positions();
                let mut position = || positions.next().ok_or_else(|| closed(OPERATION));
                verdicts.into_iter().map(|verdict| verdict.and_then(|()| position())).collect()
            }
            Err(error) => verdicts.into_iter().map(|verdict| verdict.and(Err(error.clone()))).collect(),
        }
    }

    async fn write_waiting(&self, operation: &'static str, records: Records) -> Result<Records, Error> {
        let kib = u32::try_from(records.bytes_len() / 1024 + 1).unwrap_or(u32::MAX).min(APPENDS_KIB_MAX);
        let permit = self.appends.clone().acquire_many_owned(kib).await.map_err(|_| closed(operation))?;
        let (reply, answer) = oneshot::channel();
        self.submit.submit(Request::Write(Write::of_records(
            records,
            Box::new(move |result| {
                // Until here, not until the caller stops waiting: the records take memory all that time.
                drop(permit);
                drop(reply.send(result));
            }),
        )));
        answer.await.unwrap_or_else(|_| Err(closed(operation)))
    }

    /// Writes and blocks until it is done.
    fn write(
        &self,
        operation: &'static str,
        holder: &Holder,
        records: Records,
        offsets: Option<Offsets>,
    ) -> Result<Records, Error> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.submit.submit(Request::Write(Write {
            operation,
            holder: Some(holder.clone()),
            records,
            offsets,
            reply: Box::new(move |result| drop(reply.send(result))),
        }));
        answer.recv().unwrap_or_else(|_| Err(closed(operation)))
    }

    fn commit_offsets(&self, offsets: Offsets) -> Result<(), Error> {
        const OPERATION: &str = "commit offsets";
        let (reply, answer) = mpsc::sync_channel(1);
        self.submit.submit(Request::Write(Write {
            operation: OPERATION,
            holder: None,
            records: Records::default(),
            offsets: Some(offsets),
            reply: Box::new(move |result| drop(reply.send(result.map(drop)))),
        }));
        answer.recv().unwrap_or_else(|_| Err(closed(OPERATION)))
    }

    fn acquire(&self, id: &str) -> Result<Holder, Error> {
        const OPERATION: &str = "acquire the transactional id";
        let (reply, answer) = mpsc::sync_channel(1);
        self.submit
            .submit(Request::Acquire { id: id.to_owned(), reply: Box::new(move |result| drop(reply.send(result))) });
        answer.recv().unwrap_or_else(|_| Err(closed(OPERATION)))
    }

    /// Fences whoever holds `id`.
    pub(crate) fn fence(&self, id: &str) -> Result<(), Error> {
        self.acquire(id).map(drop)
    }

    pub(crate) fn lag(&self, group: &str, topics: &[String]) -> Result<Vec<Lag>, Error> {
        let topics: Vec<_> = topics.iter().map(|name| self.core.topic("lag", name)).collect::<Result<_, _>>()?;
        let groups = self.core.groups();
        let partitions = topics.iter().flat_map(|topic| &topic.partitions);
        let lag = |partition: &Arc<Partition>| Lag {
            partition: partition.name(),
            committed: groups.committed(group, partition.id),
            end: partition.end(),
        };
        Ok(partitions.map(lag).collect())
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.core.storage.check()
    }

    pub(crate) fn follow(self: &Arc<Self>, topics: &[String], start: Start) -> Result<Box<dyn Follower>, Error> {
        Ok(Box::new(follower::LocalFollower::new(self.clone(), topics, start)?))
    }

    pub(crate) fn follow_from(self: &Arc<Self>, positions: &Positions) -> Result<Box<dyn Follower>, Error> {
        Ok(Box::new(follower::LocalFollower::from(self.clone(), positions)?))
    }

    /// The members of a group. All are in this process, so that they are nowhere else.
    pub(crate) fn members(&self, group: &str) -> Vec<GroupMember> {
        let index = self.core.index.read().unwrap_or_else(PoisonError::into_inner);
        let groups = self.core.groups();
        let name = |id| index.partition(id).map(|partition| partition.name());
        let member = |(id, partitions): (MemberId, Vec<PartitionId>)| GroupMember {
            client_id: groups.clients.get(&id).cloned().unwrap_or_default(),
            host: "this process".to_owned(),
            partitions: partitions.into_iter().filter_map(name).collect(),
        };
        groups.coordinator.members(group).into_iter().map(member).collect()
    }

    pub(crate) fn join(self: &Arc<Self>, membership: &Membership) -> Member {
        Member::join(self.clone(), membership)
    }

    pub(crate) fn join_transactional(
        self: &Arc<Self>,
        membership: &Membership,
        transactional_id: &str,
    ) -> Result<LocalTransactor, Error> {
        LocalTransactor::join(self.clone(), membership, transactional_id)
    }

    pub(crate) fn writer(self: &Arc<Self>, transactional_id: &str) -> Box<dyn Writer> {
        Box::new(writer::LocalWriter::new(self.clone(), transactional_id))
    }
}

fn closed(operation: &'static str) -> Error {
    Error::new(Class::Fatal, Cause::Unavailable, operation, "the log has closed")
}

/// A panic elsewhere must not end everyone's use of the log: every section under a lock leaves what it guards whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
