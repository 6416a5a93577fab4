//! Where records are kept.

use super::index::{NewTopic, Partition};
use super::request::Write;
use crate::{Batch, Error, GatherLimits};

/// Keeps records, offsets, topics and epochs. Each call changes all it is given or nothing, and whatever it has changed
/// is there after the end of the process, where the storage outlives that at all. Calls that change are made one at a
/// time.
pub(crate) trait Storage: Send + Sync {
    /// Keeps the records (they have their offsets) and offsets of `writes`.
    fn write(&self, writes: &[Write], now_ms: i64) -> Result<(), Error>;

    /// Keeps new topics and partitions.
    fn create(&self, topics: &[NewTopic]) -> Result<(), Error>;

    /// Keeps the epoch of a transactional id.
    fn set_epoch(&self, id: &str, epoch: u64) -> Result<(), Error>;

    /// Forgets records of `partition`. Its end stays.
    fn delete(&self, partition: &Partition, offsets: &[i64]) -> Result<(), Error>;

    /// Something to read with. Several may read at once, and while something is written.
    fn reader(&self) -> Result<Box<dyn Ranges + '_>, Error>;

    /// Whether it answers.
    fn check(&self) -> Result<(), Error>;
}

/// Reads of a storage.
pub(crate) trait Ranges {
    /// Adds the records of `partition` from `position` up to `end` to `batch`, until `batch` meets a limit, and moves
    /// `position` along. Where the range is used up, `position` is `end`, whether there is a record before it or not.
    fn read(
        &mut self,
        partition: &Partition,
        position: &mut i64,
        end: i64,
        limits: &GatherLimits,
        batch: &mut Batch,
    ) -> Result<(), Error>;
}

/// Whether `batch` has as much as `limits` allow.
pub(crate) fn is_full(batch: &Batch, limits: &GatherLimits) -> bool {
    batch.len() >= limits.records_max.max(1) || (!batch.is_empty() && batch.bytes_len() >= limits.bytes_max)
}
