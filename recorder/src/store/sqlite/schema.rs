//! The tables, and how the file is opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use crate::store::StoreError;

/// The version of the tables below (`PRAGMA user_version`).
const VERSION: i64 = 1;
/// How long a statement waits for a lock, which only a checkpoint or another process holds for long.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Keys are the source coordinates, so that a record delivered again overwrites; the order by time is an index.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS results (
    tenant TEXT NOT NULL, event TEXT NOT NULL,
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, idx INTEGER NOT NULL,
    at INTEGER NOT NULL, expires INTEGER NOT NULL,
    job TEXT NOT NULL, function TEXT NOT NULL, status TEXT NOT NULL, code INTEGER NOT NULL,
    data TEXT NOT NULL, attempts INTEGER NOT NULL,
    PRIMARY KEY (tenant, event, topic, partition, offset, idx)
) STRICT;
CREATE INDEX IF NOT EXISTS results_by_time ON results (tenant, at DESC, topic DESC, partition DESC, offset DESC, idx DESC);
CREATE INDEX IF NOT EXISTS results_by_expiry ON results (expires);
CREATE TABLE IF NOT EXISTS logs (
    tenant TEXT NOT NULL,
    at INTEGER NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, idx INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    event TEXT NOT NULL, job TEXT NOT NULL, function TEXT NOT NULL, level TEXT NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (tenant, at DESC, topic DESC, partition DESC, offset DESC, idx DESC)
) STRICT;
CREATE INDEX IF NOT EXISTS logs_by_expiry ON logs (expires);
";

/// Opens the file for reading and writing.
///
/// # Errors
/// It cannot be opened.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let error = |source: rusqlite::Error| StoreError::new("open its file")(source.into());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| StoreError::new("make its folder")(error.into()))?;
    }
    let connection = Connection::open(path).map_err(error)?;
    connection.busy_timeout(BUSY_WAIT).map_err(error)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(error)?;
    // What is acknowledged is on the disk: the offsets that are committed next say that it is.
    connection.pragma_update(None, "synchronous", "FULL").map_err(error)?;
    Ok(connection)
}

/// Makes the tables.
///
/// # Errors
/// They cannot be made, or the file is of a newer version.
pub(super) fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let error = |source: rusqlite::Error| StoreError::new("make its tables")(source.into());
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(error)?;
    if version > VERSION {
        let reason = format!("the file is of version {version}, this Jobico knows {VERSION}: use a newer one");
        return Err(StoreError::new("open its file")(reason.into()));
    }
    connection.execute_batch(TABLES).map_err(error)?;
    connection.pragma_update(None, "user_version", VERSION).map_err(error)
}
