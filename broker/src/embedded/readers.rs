//! Connections that read. In WAL mode they do not wait for the one that writes, nor it for them.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};

use super::error::classed;
use super::schema;
use crate::local::{Partition, Ranges, headers, is_full};
use crate::{Batch, Error, GatherLimits};

/// Connections, at most; whoever comes when all are in use waits for one. Each costs [`CACHE_KIB`] at most.
const READERS_MAX: usize = 4;
/// A reader's page cache.
const CACHE_KIB: i64 = 8 * 1024;

const READ: &str = "SELECT id, timestamp_ms, key, value, headers FROM record WHERE id >= ?1 AND id < ?2 ORDER BY id";

/// Connections that read, made when they are needed.
pub(super) struct Readers {
    path: PathBuf,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    made: usize,
}

/// A connection, for one gather.
pub(super) struct Reader<'a> {
    readers: &'a Readers,
    /// Taken only by `drop`.
    connection: Option<Connection>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), state: Mutex::default(), returned: Condvar::new() }
    }

    /// A connection that no other uses. Each read of it sees all that was committed before it began, so all up to an
    /// `end` that was published; one transaction around several reads would not see up to a later one's.
    pub(super) fn take(&self) -> Result<Reader<'_>, Error> {
        let connection = self.idle_or_new().map_err(classed("read"))?;
        Ok(Reader { readers: self, connection: Some(connection) })
    }

    fn idle_or_new(&self) -> rusqlite::Result<Connection> {
        let mut state = self.lock();
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok(connection);
            }
            if state.made < READERS_MAX {
                break;
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.made += 1;
        drop(state);
        let connection = open(&self.path);
        if connection.is_err() {
            self.lock().made -= 1;
            self.returned.notify_one();
        }
        connection
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}

impl Reader<'_> {
    pub(super) fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("only drop takes it")
    }

    fn read_range(
        &self,
        partition: &Partition,
        position: &mut i64,
        end: i64,
        limits: &GatherLimits,
        batch: &mut Batch,
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection().prepare_cached(READ)?;
        let mut rows = statement.query((schema::row(partition.id, *position), schema::row(partition.id, end)))?;
        while !is_full(batch, limits) {
            let Some(row) = rows.next()? else {
                *position = end;
                return Ok(());
            };
            let offset = schema::offset(row.get(0)?);
            let (key, value) = (row.get_ref(2)?.as_blob_or_null()?, row.get_ref(3)?.as_blob_or_null()?);
            let headers = headers::decode(row.get_ref(4)?.as_blob()?);
            batch.push(&partition.topic, partition.number, offset, row.get(1)?, key, value, headers);
            *position = offset + 1;
        }
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
        self.read_range(partition, position, end, limits, batch).map_err(classed("read"))
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.readers.lock().idle.push(connection);
            self.readers.returned.notify_one();
        }
    }
}
