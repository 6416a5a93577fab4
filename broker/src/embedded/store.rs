//! The file: one connection writes, [`Readers`] read.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction};

use super::error::{classed, fatal};
use super::lock::Lock;
use super::readers::Readers;
use super::{Fsync, load, schema};
use crate::Error;
use crate::coordinator::PartitionId;
use crate::local::{Loaded, NewTopic, Offset, Partition, Ranges, Storage, Write};

/// The writer's page cache. It has to hold the last page of each partition that is being written, to write without reading.
const CACHE_KIB: i64 = 64 * 1024;
/// Pages in the WAL before a commit moves them into the file (with an fsync): 32 MiB of 4 KiB, so that it happens seldom
/// under load and the file stays small without.
const CHECKPOINT_PAGES: i64 = 8_192;
/// The WAL shrinks back to this, once it was larger.
const WAL_BYTES_KEPT: i64 = 64 * 1024 * 1024;

const INSERT_RECORD: &str = "INSERT INTO record (id, timestamp_ms, key, value, headers) VALUES (?1, ?2, ?3, ?4, ?5)";
const PUT_OFFSET: &str = "INSERT INTO group_offset (group_id, partition, next_offset, moved) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset, moved = excluded.moved";
const PUT_TOPIC: &str = "INSERT INTO topic (name, retention, retention_ms, record_bytes_max) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT DO UPDATE SET record_bytes_max = excluded.record_bytes_max";
const INSERT_PARTITION: &str = "INSERT INTO partition (id, topic, number) VALUES (?1, ?2, ?3)";
const PUT_EPOCH: &str = "INSERT INTO transactional_id (id, epoch) VALUES (?1, ?2) \
     ON CONFLICT DO UPDATE SET epoch = excluded.epoch";
const DELETE_RECORD: &str = "DELETE FROM record WHERE id = ?1";
const SET_END_MIN: &str = "UPDATE partition SET end_min = ?2 WHERE id = ?1";

/// The file.
pub(super) struct Store {
    // Connections close before the lock goes.
    writing: Mutex<Connection>,
    readers: Arc<Readers>,
    _lock: Lock,
}

impl Store {
    /// Opens the file and reads what is kept in memory.
    pub(super) fn open(path: &Path, fsync: Fsync, lock: Lock) -> Result<(Self, Loaded), Error> {
        const OPERATION: &str = "open the embedded log";
        let connection = Connection::open(path).map_err(fatal(OPERATION))?;
        configure(&connection, fsync).map_err(fatal(OPERATION))?;
        schema::prepare(&connection)?;
        let loaded = load::load(&connection).map_err(fatal(OPERATION))?;
        Ok((Self { writing: Mutex::new(connection), readers: Arc::new(Readers::new(path)), _lock: lock }, loaded))
    }

    pub(super) fn readers(&self) -> Arc<Readers> {
        self.readers.clone()
    }

    fn transact(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), Error> {
        let mut connection = self.writing();
        let run = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            work(&transaction)?;
            transaction.commit()
        };
        run(&mut connection).map_err(classed(operation))
    }

    fn writing(&self) -> MutexGuard<'_, Connection> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn configure(connection: &Connection, fsync: Fsync) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match fsync {
        Fsync::AtCheckpoints => "NORMAL",
        Fsync::EachCommit => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)
}

impl Storage for Store {
    fn write(&self, writes: &[Write], now_ms: i64) -> Result<(), Error> {
        self.transact("write", |transaction| {
            let mut insert = transaction.prepare_cached(INSERT_RECORD)?;
            let mut put_offset = transaction.prepare_cached(PUT_OFFSET)?;
            for write in writes {
                for record in write.records.iter() {
                    let row = schema::row(record.partition.id, record.offset);
                    insert.execute((row, now_ms, record.key, record.value, record.headers))?;
                }
                for (group, PartitionId(partition), Offset { next, moved }) in write.offsets() {
                    put_offset.execute((&**group, partition, next, moved))?;
                }
            }
            Ok(())
        })
    }

    fn create(&self, topics: &[NewTopic]) -> Result<(), Error> {
        self.transact("make topics", |transaction| {
            let mut put_topic = transaction.prepare_cached(PUT_TOPIC)?;
            let mut insert_partition = transaction.prepare_cached(INSERT_PARTITION)?;
            for NewTopic { topic, first_new } in topics {
                let (retention, ms) = load::retention_columns(topic.retention);
                put_topic.execute((&*topic.name, retention, ms, topic.record_bytes_max))?;
                for partition in &topic.partitions[*first_new..] {
                    insert_partition.execute((partition.id.0, &*topic.name, partition.number))?;
                }
            }
            Ok(())
        })
    }

    fn set_epoch(&self, id: &str, epoch: u64) -> Result<(), Error> {
        self.transact("acquire the transactional id", |transaction| {
            transaction.prepare_cached(PUT_EPOCH)?.execute((id, i64::try_from(epoch).unwrap_or(i64::MAX))).map(drop)
        })
    }

    fn delete(&self, partition: &Partition, offsets: &[i64]) -> Result<(), Error> {
        self.transact("delete records", |transaction| {
            let mut delete = transaction.prepare_cached(DELETE_RECORD)?;
            for offset in offsets {
                delete.execute([schema::row(partition.id, *offset)])?;
            }
            transaction.prepare_cached(SET_END_MIN)?.execute((partition.id.0, partition.end())).map(drop)
        })
    }

    fn reader(&self) -> Result<Box<dyn Ranges + '_>, Error> {
        Ok(Box::new(self.readers.take()?))
    }

    fn check(&self) -> Result<(), Error> {
        let reader = self.readers.take()?;
        reader.connection().query_row("SELECT count(*) FROM transactional_id", (), |_| Ok(())).map_err(classed("check"))
    }
}

#[cfg(test)]
mod tests;
