//! What a file says of topics, offsets and epochs: all of it is kept in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::schema;
use crate::coordinator::PartitionId;
use crate::local::{Loaded, Offset, Partition, Topic};
use crate::{RECORD_BYTES_DEFAULT, Retention};

/// Reads it.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded::default();
    let mut partitions = partitions(connection)?;
    let mut statement = connection.prepare("SELECT name, retention, retention_ms, record_bytes_max FROM topic")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let name: Arc<str> = row.get::<_, String>(0)?.into();
        let retention = retention(&row.get::<_, String>(1)?, row.get(2)?);
        let partitions = partitions.remove(&*name).unwrap_or_default();
        let record_bytes_max = row.get::<_, Option<u32>>(3)?.unwrap_or(RECORD_BYTES_DEFAULT);
        loaded.index.insert(Topic::new(name, partitions, retention, record_bytes_max));
    }
    let mut statement = connection.prepare("SELECT group_id, partition, next_offset, moved FROM group_offset")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let group: Arc<str> = row.get::<_, String>(0)?.into();
        let offset = Offset { next: row.get(2)?, moved: row.get(3)? };
        loaded.committed.entry(group).or_default().insert(PartitionId(row.get(1)?), offset);
    }
    let mut statement = connection.prepare("SELECT id, epoch FROM transactional_id")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        loaded.epochs.insert(row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0));
    }
    Ok(loaded)
}

/// How a topic's retention is written.
pub(super) fn retention_columns(retention: Retention) -> (&'static str, Option<i64>) {
    match retention {
        Retention::Default => ("default", None),
        Retention::Compact => ("compact", None),
        Retention::For(time) => ("for", Some(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))),
    }
}

fn retention(word: &str, ms: Option<i64>) -> Retention {
    match (word, ms.and_then(|ms| u64::try_from(ms).ok())) {
        ("compact", _) => Retention::Compact,
        ("for", Some(ms)) => Retention::For(Duration::from_millis(ms)),
        _ => Retention::Default,
    }
}

fn partitions(connection: &Connection) -> rusqlite::Result<HashMap<String, Vec<Arc<Partition>>>> {
    let mut last = connection.prepare("SELECT id FROM record WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT 1")?;
    let mut statement =
        connection.prepare("SELECT id, topic, number, end_min FROM partition ORDER BY topic, number")?;
    let mut rows = statement.query(())?;
    let mut partitions: HashMap<String, Vec<Arc<Partition>>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let (id, topic, number, end_min) =
            (PartitionId(row.get(0)?), row.get::<_, String>(1)?, row.get(2)?, row.get(3)?);
        let range = schema::rows(id);
        let last: Option<i64> = last.query_row((range.start, range.end), |row| row.get(0)).optional()?;
        let end = last.map_or(0, |row| schema::offset(row) + 1).max(end_min);
        let partition = Partition::new(id, topic.as_str().into(), number, end);
        partitions.entry(topic).or_default().push(partition);
    }
    Ok(partitions)
}
