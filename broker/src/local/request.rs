//! What is asked of [`super::Core::apply`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::index::Partition;
use super::records::Records;
use crate::coordinator::{MemberId, PartitionId};
use crate::{Cause, Class, Error, TopicSpec};

/// Called once with the outcome; dropped where the log closes first.
pub(crate) type Reply<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;

/// A change of the log.
pub(crate) enum Request {
    /// Records and offsets, all or nothing.
    Write(Write),
    /// Topics that are to be there.
    Ensure { topics: Vec<TopicSpec>, reply: Reply<()> },
    /// A transactional id changes hands.
    Acquire { id: String, reply: Reply<Holder> },
    /// Records that a topic's retention no longer keeps, by partition and offset.
    Delete { partition: Arc<Partition>, offsets: Vec<i64>, reply: Reply<()> },
}

/// Records and offsets.
pub(crate) struct Write {
    /// For errors.
    pub(crate) operation: &'static str,
    /// Who must still hold its transactional id.
    pub(crate) holder: Option<Holder>,
    pub(crate) records: Records,
    pub(crate) offsets: Option<Offsets>,
    /// Answered with the records, so that their memory can be used again.
    pub(crate) reply: Reply<Records>,
}

/// Offsets that a member commits.
pub(crate) struct Offsets {
    pub(crate) group: Arc<str>,
    pub(crate) member: MemberId,
    pub(crate) positions: Vec<(PartitionId, i64)>,
    /// The group that the partitions are handed over to, with their offsets.
    pub(crate) moved_to: Option<Arc<str>>,
}

/// What a group has committed of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset {
    pub(crate) next: i64,
    /// Whether the group has handed the partition over.
    pub(crate) moved: bool,
}

impl Offsets {
    /// What it does to groups: all offsets of each.
    pub(crate) fn by_group(&self) -> impl Iterator<Item = (&Arc<str>, PartitionId, Offset)> {
        let moved = self.moved_to.is_some();
        let own = self.positions.iter().map(move |(id, next)| (&self.group, *id, Offset { next: *next, moved }));
        let to = self.moved_to.iter().flat_map(|group| {
            self.positions.iter().map(move |(id, next)| (group, *id, Offset { next: *next, moved: false }))
        });
        own.chain(to)
    }
}

/// Whoever acquired a transactional id last.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    id: Arc<str>,
    epoch: u64,
    newest: Arc<AtomicU64>,
}

impl Write {
    pub(crate) fn of_records(records: Records, reply: Reply<Records>) -> Self {
        Self { operation: "append", holder: None, records, offsets: None, reply }
    }

    /// The offsets that it commits, with their groups.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = (&Arc<str>, PartitionId, Offset)> {
        self.offsets.iter().flat_map(Offsets::by_group)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.offsets.as_ref().is_none_or(|offsets| offsets.positions.is_empty())
    }
}

impl Request {
    /// About how many bytes it holds, for limits.
    pub(crate) fn bytes_len(&self) -> usize {
        match self {
            Self::Write(write) => write.records.bytes_len(),
            Self::Ensure { .. } | Self::Acquire { .. } | Self::Delete { .. } => 0,
        }
    }
}

impl Holder {
    pub(super) fn new(id: &str, epoch: u64, newest: Arc<AtomicU64>) -> Self {
        Self { id: id.into(), epoch, newest }
    }

    /// # Errors
    /// [`Cause::Fenced`] where another acquired the id since.
    pub(super) fn check(&self, operation: &'static str) -> Result<(), Error> {
        let newest = self.newest.load(Ordering::Acquire);
        if newest == self.epoch {
            return Ok(());
        }
        let message = format!("transactional id {} is held by another: epoch {newest}, not {}", self.id, self.epoch);
        Err(Error::new(Class::Fatal, Cause::Fenced, operation, message))
    }
}
