//! What a topic no longer keeps, found and deleted in small bites: between two of them, whoever waits to write does.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::Connection;

use super::error::classed;
use super::readers::Readers;
use super::{Settings, schema};
use crate::coordinator::PartitionId;
use crate::local::{Partition, Request};
use crate::{Cause, Class, Error, Retention};

/// Records in one deletion, and looked at in one read.
const BITE_RECORDS: i64 = 1_000;
/// Keys that a compaction knows at a time. A partition with more is gone through in several rounds.
const COMPACT_KEYS_MAX: usize = 200_000;

const OLDEST: &str = "SELECT id, timestamp_ms FROM record WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3";
const KEYS: &str =
    "SELECT id, timestamp_ms, value IS NULL, key FROM record WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3";

/// Finds what is kept too long.
pub(super) struct Sweeper {
    retention: Duration,
    tombstone_retention: Duration,
    /// When a partition's oldest record will be too old: it is not looked at before.
    due_ms: HashMap<PartitionId, i64>,
    /// Where a compacted partition ended, and whether it had tombstones to drop later, when it was last gone through.
    cleaned: HashMap<PartitionId, (i64, bool)>,
}

/// Carries a deletion out and waits for it.
pub(super) type Delete<'a> = dyn FnMut(Request, mpsc::Receiver<Result<(), Error>>) -> Result<(), Error> + 'a;

/// A record as compaction sees it.
struct Seen {
    offset: i64,
    timestamp_ms: i64,
    tombstone: bool,
    key: Box<[u8]>,
}

impl Sweeper {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            retention: settings.retention,
            tombstone_retention: settings.tombstone_retention,
            due_ms: HashMap::new(),
            cleaned: HashMap::new(),
        }
    }

    /// Goes through one partition. Records may come and go meanwhile.
    pub(super) fn sweep(
        &mut self,
        readers: &Readers,
        partition: &Arc<Partition>,
        retention: Retention,
        now_ms: i64,
        delete: &mut Delete<'_>,
    ) -> Result<(), Error> {
        if partition.end() == 0 {
            return Ok(());
        }
        match retention {
            Retention::Compact => self.compact(readers, partition, now_ms, delete),
            Retention::Default => self.expire(readers, partition, self.retention, now_ms, delete),
            Retention::For(time) => self.expire(readers, partition, time, now_ms, delete),
        }
    }

    fn expire(
        &mut self,
        readers: &Readers,
        partition: &Arc<Partition>,
        kept: Duration,
        now_ms: i64,
        delete: &mut Delete<'_>,
    ) -> Result<(), Error> {
        if self.due_ms.get(&partition.id).is_some_and(|due| now_ms < *due) {
            return Ok(());
        }
        let kept_ms = millis(kept);
        loop {
            let oldest = oldest(readers.take()?.connection(), partition).map_err(classed("sweep"))?;
            let expired = oldest.iter().take_while(|(_, timestamp_ms)| timestamp_ms.saturating_add(kept_ms) <= now_ms);
            let expired: Vec<i64> = expired.map(|(offset, _)| *offset).collect();
            if let Some((_, timestamp_ms)) = oldest.get(expired.len()) {
                self.due_ms.insert(partition.id, timestamp_ms.saturating_add(kept_ms));
            }
            let more = expired.len() as i64 == BITE_RECORDS;
            submit(partition, expired, delete)?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Keeps the newest record of each key. Older ones go first and tombstones last, so that no key ever shows an older
    /// record than it did.
    fn compact(
        &mut self,
        readers: &Readers,
        partition: &Arc<Partition>,
        now_ms: i64,
        delete: &mut Delete<'_>,
    ) -> Result<(), Error> {
        let end = partition.end();
        if self.cleaned.get(&partition.id) == Some(&(end, false)) {
            return Ok(());
        }
        let tombstones_before = now_ms.saturating_sub(millis(self.tombstone_retention));
        let (mut from, mut tombstones_left) = (0, false);
        while from < end {
            let newest = newest(readers, partition, &mut from, end)?;
            let mut at = 0;
            while at < from {
                let seen = scan(readers, partition, &mut at, from)?;
                let mut gone = Vec::new();
                for record in seen {
                    match newest.get(&record.key) {
                        Some(newest) if record.offset < *newest => gone.push(record.offset),
                        Some(_) if record.tombstone && record.timestamp_ms <= tombstones_before => {
                            gone.push(record.offset)
                        }
                        Some(_) => tombstones_left |= record.tombstone,
                        // Of another round.
                        None => {}
                    }
                }
                submit(partition, gone, delete)?;
            }
        }
        self.cleaned.insert(partition.id, (end, tombstones_left));
        Ok(())
    }
}

fn submit(partition: &Arc<Partition>, offsets: Vec<i64>, delete: &mut Delete<'_>) -> Result<(), Error> {
    if offsets.is_empty() {
        return Ok(());
    }
    tracing::debug!(topic = %partition.topic, partition = partition.number, records = offsets.len(), "deleted");
    let (reply, answer) = mpsc::sync_channel(1);
    let reply = Box::new(move |result| drop(reply.send(result)));
    delete(Request::Delete { partition: partition.clone(), offsets, reply }, answer)
}

/// Waits for a deletion.
pub(super) fn await_deleted(answer: &mpsc::Receiver<Result<(), Error>>) -> Result<(), Error> {
    let closed = || Error::new(Class::Fatal, Cause::Unavailable, "sweep", "the log has closed");
    answer.recv().map_err(|_| closed())?
}

fn oldest(connection: &Connection, partition: &Partition) -> rusqlite::Result<Vec<(i64, i64)>> {
    let rows = schema::rows(partition.id);
    let mut statement = connection.prepare_cached(OLDEST)?;
    let oldest = statement
        .query_map((rows.start, rows.end, BITE_RECORDS), |row| Ok((schema::offset(row.get(0)?), row.get(1)?)))?;
    oldest.collect()
}

/// The newest offset of each key from `from` on, until there are too many keys; `from` moves behind them.
fn newest(
    readers: &Readers,
    partition: &Partition,
    from: &mut i64,
    end: i64,
) -> Result<HashMap<Box<[u8]>, i64>, Error> {
    let mut newest = HashMap::new();
    while *from < end && newest.len() < COMPACT_KEYS_MAX {
        let seen = scan(readers, partition, from, end)?;
        newest.extend(seen.into_iter().map(|record| (record.key, record.offset)));
    }
    Ok(newest)
}

/// Some records from `at` on; `at` moves behind them.
fn scan(readers: &Readers, partition: &Partition, at: &mut i64, end: i64) -> Result<Vec<Seen>, Error> {
    let read = || {
        let reader = readers.take()?;
        let mut statement = reader.connection().prepare_cached(KEYS).map_err(classed("sweep"))?;
        let range = (schema::row(partition.id, *at), schema::row(partition.id, end), BITE_RECORDS);
        let seen = statement.query_map(range, |row| {
            Ok(Seen {
                offset: schema::offset(row.get(0)?),
                timestamp_ms: row.get(1)?,
                tombstone: row.get(2)?,
                key: row.get_ref(3)?.as_blob_or_null()?.unwrap_or_default().into(),
            })
        });
        seen.and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>).map_err(classed("sweep"))
    };
    let seen = read()?;
    *at = match seen.last() {
        Some(last) if seen.len() as i64 == BITE_RECORDS => last.offset + 1,
        Some(_) | None => end,
    };
    Ok(seen)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
