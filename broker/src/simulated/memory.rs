//! Records in memory.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::coordinator::PartitionId;
use crate::local::{NewTopic, Partition, Ranges, Storage, Write, headers, is_full};
use crate::{Batch, Error, GatherLimits};

/// A partition's records, in order.
type Records = Vec<Kept>;

/// Keeps records. Offsets, topics and epochs are in the log's own memory already.
#[derive(Default)]
pub(super) struct Memory {
    partitions: RwLock<HashMap<PartitionId, Records>>,
}

struct Kept {
    offset: i64,
    timestamp_ms: i64,
    key: Option<Box<[u8]>>,
    value: Option<Box<[u8]>>,
    headers: Box<[u8]>,
}

struct Reader<'a>(RwLockReadGuard<'a, HashMap<PartitionId, Records>>);

impl Storage for Memory {
    fn write(&self, writes: &[Write], now_ms: i64) -> Result<(), Error> {
        let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
        for record in writes.iter().flat_map(|write| write.records.iter()) {
            partitions.entry(record.partition.id).or_default().push(Kept {
                offset: record.offset,
                timestamp_ms: now_ms,
                key: record.key.map(Into::into),
                value: record.value.map(Into::into),
                headers: record.headers.into(),
            });
        }
        Ok(())
    }

    fn create(&self, _: &[NewTopic]) -> Result<(), Error> {
        Ok(())
    }

    fn set_epoch(&self, _: &str, _: u64) -> Result<(), Error> {
        Ok(())
    }

    fn delete(&self, partition: &Partition, offsets: &[i64]) -> Result<(), Error> {
        let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(records) = partitions.get_mut(&partition.id) {
            records.retain(|record| !offsets.contains(&record.offset));
        }
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn Ranges + '_>, Error> {
        Ok(Box::new(Reader(self.partitions.read().unwrap_or_else(PoisonError::into_inner))))
    }

    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Ranges for Reader<'_> {
    fn read(
        &mut self,
        partition: &Partition,
        position: &mut i64,
        end: i64,
        limits: &GatherLimits,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let records = self.0.get(&partition.id).map_or(&[][..], Vec::as_slice);
        let first = records.partition_point(|record| record.offset < *position);
        for record in records[first..].iter().take_while(|record| record.offset < end) {
            if is_full(batch, limits) {
                return Ok(());
            }
            batch.push(
                &partition.topic,
                partition.number,
                record.offset,
                record.timestamp_ms,
                record.key.as_deref(),
                record.value.as_deref(),
                headers::decode(&record.headers),
            );
            *position = record.offset + 1;
        }
        // All there is, or the limit was met by the very last.
        *position = end;
        Ok(())
    }
}
