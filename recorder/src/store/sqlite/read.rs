//! Queries, each on a connection of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jobico_event::function_log::Line;
use jobico_event::result::View;
use jobico_event::{JobId, TenantId};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use serde_json::value::RawValue;

use super::schema;
use crate::row::{Key, level_named, line_bytes, now_ms, rfc3339, view_bytes};
use crate::store::collect::Collect;
use crate::store::{LogFilter, Page, PageRequest, ResultFilter, StoreError};

/// Connections kept for the next query. More are opened where more queries run at a time, which the API bounds.
const IDLE_MAX: usize = 8;
/// A bound for the places that a page without a cursor begins after: before all rows.
const AT_MAX: i64 = i64::MAX;

const OF_EVENT: &str = "SELECT at, topic, partition, offset, idx, event, job, function, status, code, data, attempts
    FROM results
    WHERE tenant = ?1 AND event = ?2 AND (topic, partition, offset, idx) > (?3, ?4, ?5, ?6) AND expires > ?7
    ORDER BY topic, partition, offset, idx";
const RESULTS: &str = "SELECT at, topic, partition, offset, idx, event, job, function, status, code, data, attempts
    FROM results
    WHERE tenant = ?1 AND (at, topic, partition, offset, idx) < (?2, ?3, ?4, ?5, ?6) AND at >= ?7 AND expires > ?8
    ORDER BY at DESC, topic DESC, partition DESC, offset DESC, idx DESC";
const LOGS: &str = "SELECT at, topic, partition, offset, idx, event, job, function, level, message
    FROM logs
    WHERE tenant = ?1 AND (at, topic, partition, offset, idx) < (?2, ?3, ?4, ?5, ?6) AND at >= ?7 AND expires > ?8
    ORDER BY at DESC, topic DESC, partition DESC, offset DESC, idx DESC";

/// Connections for queries.
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// No connections yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Arc::default() }
    }

    /// Runs a query where it may block.
    ///
    /// # Errors
    /// The file cannot be opened or the query fails.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (path, idle) = (self.path.clone(), self.idle.clone());
        let run = move || {
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = kept.map_or_else(|| schema::open(&path), Ok)?;
            let outcome = query(&connection).map_err(|source| StoreError::new(operation)(source.into()));
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            // A connection on which something failed is not used again: it may be the cause.
            if outcome.is_ok() && idle.len() < IDLE_MAX {
                idle.push(connection);
            }
            outcome
        };
        match tokio::task::spawn_blocking(run).await {
            Ok(outcome) => outcome,
            Err(error) => Err(StoreError::new(operation)(error.into())),
        }
    }
}

/// The place after which a page begins.
fn bound(page: &PageRequest) -> Key {
    let first = || Key { at_ms: AT_MAX, topic: String::new(), partition: 0, offset: 0, index: 0 };
    page.after.clone().unwrap_or_else(first)
}

/// See [`crate::store::Store::results_of_event`].
pub(super) fn of_event(
    connection: &Connection,
    tenant: &TenantId,
    event: &str,
    page: &PageRequest,
) -> rusqlite::Result<Page<View>> {
    // No topic's name is empty: this is before all.
    let first = || Key { at_ms: 0, topic: String::new(), partition: 0, offset: 0, index: 0 };
    let after = page.after.clone().unwrap_or_else(first);
    let mut query = connection.prepare_cached(OF_EVENT)?;
    let now_s = now_ms() / 1000;
    let mut rows =
        query.query(params![tenant.as_str(), event, after.topic, after.partition, after.offset, after.index, now_s])?;
    collect(&mut rows, page, view, |_| true, view_bytes)
}

/// See [`crate::store::Store::results`].
pub(super) fn results(
    connection: &Connection,
    tenant: &TenantId,
    filter: &ResultFilter,
    page: &PageRequest,
) -> rusqlite::Result<Page<View>> {
    let mut query = connection.prepare_cached(RESULTS)?;
    let mut rows = by_time(&mut query, tenant, page, filter.since_ms)?;
    collect(&mut rows, page, view, |view| filter.takes(view), view_bytes)
}

/// See [`crate::store::Store::logs`].
pub(super) fn logs(
    connection: &Connection,
    tenant: &TenantId,
    filter: &LogFilter,
    page: &PageRequest,
) -> rusqlite::Result<Page<Line>> {
    let mut query = connection.prepare_cached(LOGS)?;
    let mut rows = by_time(&mut query, tenant, page, filter.since_ms)?;
    collect(&mut rows, page, |row, key| line(row, key, tenant), |line| filter.takes(line), line_bytes)
}

fn by_time<'q>(
    query: &'q mut rusqlite::CachedStatement<'_>,
    tenant: &TenantId,
    page: &PageRequest,
    since_ms: Option<i64>,
) -> rusqlite::Result<rusqlite::Rows<'q>> {
    let before = bound(page);
    query.query(params![
        tenant.as_str(),
        before.at_ms,
        before.topic,
        before.partition,
        before.offset,
        before.index,
        since_ms.unwrap_or(0),
        now_ms() / 1000
    ])
}

fn collect<T>(
    rows: &mut rusqlite::Rows<'_>,
    page: &PageRequest,
    read: impl Fn(&Row<'_>, &Key) -> rusqlite::Result<T>,
    wanted: impl Fn(&T) -> bool,
    bytes: fn(&T) -> usize,
) -> rusqlite::Result<Page<T>> {
    let mut collect = Collect::new(page.limit);
    while let Some(row) = rows.next()? {
        let key = Key {
            at_ms: row.get(0)?,
            topic: row.get(1)?,
            partition: row.get(2)?,
            offset: row.get(3)?,
            index: row.get(4)?,
        };
        let item = read(row, &key)?;
        let (bytes, wanted) = (bytes(&item), wanted(&item));
        if collect.push(key, item, bytes, wanted).is_break() {
            return Ok(collect.page());
        }
    }
    Ok(collect.last_page())
}

fn view(row: &Row<'_>, key: &Key) -> rusqlite::Result<View> {
    Ok(View {
        event: row.get(5)?,
        job: job(row, 6)?,
        function: row.get(7)?,
        status: row.get_ref(8)?.as_str()?.parse().map_err(|error: String| not_ours(8, error))?,
        code: row.get::<_, i64>(9)?.cast_unsigned(),
        data: RawValue::from_string(row.get(10)?).map_err(|error| not_ours(10, error))?,
        topic: key.topic.clone(),
        partition: key.partition,
        offset: key.offset,
        at: rfc3339(key.at_ms),
        attempts: row.get(11)?,
    })
}

fn line(row: &Row<'_>, key: &Key, tenant: &TenantId) -> rusqlite::Result<Line> {
    Ok(Line {
        tenant: tenant.clone(),
        event: row.get(5)?,
        job: job(row, 6)?,
        function: row.get(7)?,
        level: level_named(row.get_ref(8)?.as_str()?).ok_or_else(|| not_ours(8, "no level"))?,
        message: row.get(9)?,
        line: key.index.unsigned_abs(),
        topic: key.topic.clone(),
        partition: key.partition,
        offset: key.offset,
        at: rfc3339(key.at_ms),
    })
}

fn job(row: &Row<'_>, column: usize) -> rusqlite::Result<JobId> {
    JobId::new(row.get_ref(column)?.as_str()?).map_err(|error| not_ours(column, error))
}

/// A value that this module never writes.
fn not_ours(column: usize, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
