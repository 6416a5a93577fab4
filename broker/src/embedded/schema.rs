//! The file's tables.
//!
//! A record's key is its partition's id and its offset in one integer ([`row`]): SQLite keeps such a table in that order,
//! so a partition's records lie together, reading a range is one descent, and appending needs no second index. The view
//! `records` shows them to people, with topic, partition and offset.

use std::ops::Range;

use rusqlite::Connection;

use super::error::fatal;
use crate::coordinator::PartitionId;
use crate::{Cause, Class, Error};

const OPERATION: &str = "open the embedded log";

/// "JBCO": says that the file is ours, to `file(1)` too.
const APPLICATION_ID: i32 = 0x4a42_434f;
/// The version of [`TABLES`].
const VERSION: i32 = 3;
/// What makes a file of a version one of the next, from version 1 on.
const UPGRADES: [&str; VERSION as usize - 1] = [
    "ALTER TABLE topic ADD COLUMN record_bytes_max INTEGER",
    "ALTER TABLE group_offset ADD COLUMN moved INTEGER NOT NULL DEFAULT 0",
];
/// How many bits of a row's id are the offset: 10¹² records a partition, 8 million partitions.
const OFFSET_BITS: u32 = 40;

const TABLES: &str = "
CREATE TABLE topic (
    name TEXT PRIMARY KEY,
    -- 'default', 'compact', or 'for' with retention_ms
    retention TEXT NOT NULL,
    retention_ms INTEGER,
    -- none = the default
    record_bytes_max INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE partition (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL REFERENCES topic (name),
    number INTEGER NOT NULL,
    -- no record gets an offset below: says where the partition ends once its last record is deleted
    end_min INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, number)
) STRICT;
CREATE TABLE record (
    id INTEGER PRIMARY KEY, -- partition id << 40 | offset
    timestamp_ms INTEGER NOT NULL,
    key BLOB,
    value BLOB,
    headers BLOB NOT NULL
) STRICT;
CREATE TABLE group_offset (
    group_id TEXT NOT NULL,
    partition INTEGER NOT NULL REFERENCES partition (id),
    next_offset INTEGER NOT NULL,
    -- 1: the group has handed the partition over to another
    moved INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (group_id, partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE transactional_id (
    id TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE VIEW records AS
    SELECT topic, number AS partition, record.id & ((1 << 40) - 1) AS offset, timestamp_ms, key, value, headers
    FROM record JOIN partition ON partition.id = record.id >> 40;
";

/// Makes the tables where the file is new.
///
/// # Errors
/// Where the file is something else, or of a newer version.
pub(super) fn prepare(connection: &Connection) -> Result<(), Error> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(fatal(OPERATION));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).map_err(fatal(OPERATION))?;
    let refuse = |message: String| Err(Error::new(Class::Fatal, Cause::Other, OPERATION, message));
    if tables == 0 {
        let create = format!(
            "BEGIN; {TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
        );
        return connection.execute_batch(&create).map_err(fatal(OPERATION));
    }
    if application != APPLICATION_ID {
        return refuse("the file is a SQLite database, but no log of Jobico's: choose another folder".to_owned());
    }
    let missing = usize::try_from(version - 1).ok().and_then(|first| UPGRADES.get(first..)).unwrap_or_default();
    if !missing.is_empty() {
        let upgrade = format!("BEGIN; {}; PRAGMA user_version = {VERSION}; COMMIT;", missing.join("; "));
        return connection.execute_batch(&upgrade).map_err(fatal(OPERATION));
    }
    if version != VERSION {
        return refuse(format!("the file has version {version}, this Jobico reads version {VERSION}: use a newer one"));
    }
    Ok(())
}

/// The id of a record's row.
pub(super) fn row(partition: PartitionId, offset: i64) -> i64 {
    (i64::from(partition.0) << OFFSET_BITS) | offset
}

/// The ids of a partition's rows.
pub(super) fn rows(partition: PartitionId) -> Range<i64> {
    row(partition, 0)..row(PartitionId(partition.0 + 1), 0)
}

/// The offset in the id of a row.
pub(super) fn offset(row: i64) -> i64 {
    row & ((1 << OFFSET_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_keeps_partitions_apart() {
        let last = row(PartitionId(7), (1 << OFFSET_BITS) - 1);
        assert!(rows(PartitionId(7)).contains(&last) && !rows(PartitionId(8)).contains(&last));
        assert_eq!(last + 1, row(PartitionId(8), 0));
        assert_eq!(offset(row(PartitionId(7), 42)), 42);
    }

    #[test]
    fn a_strange_or_newer_file_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        prepare(&connection).unwrap();
        prepare(&connection).unwrap();
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        assert!(prepare(&connection).unwrap_err().message.contains("use a newer one"));
        connection.pragma_update(None, "user_version", 0).unwrap();
        assert!(prepare(&connection).is_err());
        let strange = Connection::open_in_memory().unwrap();
        strange.execute_batch("CREATE TABLE other (a)").unwrap();
        assert!(prepare(&strange).unwrap_err().message.contains("no log of Jobico's"));
    }

    #[test]
    fn a_file_of_the_first_version_becomes_one_of_the_newest() {
        let connection = Connection::open_in_memory().unwrap();
        prepare(&connection).unwrap();
        let columns = |connection: &Connection| -> [String; 2] {
            ["topic", "group_offset"].map(|table| {
                let names = format!(
                    "SELECT group_concat(name) FROM (SELECT name FROM pragma_table_info('{table}') ORDER BY name)"
                );
                connection.query_row(&names, (), |row| row.get(0)).unwrap()
            })
        };
        let newest = columns(&connection);
        let first = "ALTER TABLE topic DROP COLUMN record_bytes_max; ALTER TABLE group_offset DROP COLUMN moved; \
                     PRAGMA user_version = 1;";
        connection.execute_batch(first).unwrap();
        connection.execute("INSERT INTO topic (name, retention) VALUES ('t', 'default')", ()).unwrap();
        prepare(&connection).unwrap();
        assert_eq!(columns(&connection), newest);
        prepare(&connection).unwrap();
        let kept: i64 = connection.query_row("SELECT count(*) FROM topic", (), |row| row.get(0)).unwrap();
        assert_eq!(kept, 1);
    }
}
